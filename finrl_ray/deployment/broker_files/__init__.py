"""Reading the exports of brokers: which cells are what, and what their numbers mean."""
