"""The search: spaces, scheduling, running, results."""
