"""A search as a job of a Ray cluster: sent, followed, and its results fetched."""
