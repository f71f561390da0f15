"""The durable record of a search: events, and what they add up to."""
