"""Measures of one account."""
