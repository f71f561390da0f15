"""One agent, from its data to its test."""
