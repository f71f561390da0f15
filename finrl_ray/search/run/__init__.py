"""Preparing, running, resuming and finishing a search."""
