"""A search as a Ray job."""
