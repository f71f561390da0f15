"""Whole tasks above a search or beside it."""
