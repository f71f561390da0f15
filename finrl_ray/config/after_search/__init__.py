"""Sections of the config that no search reads: what becomes of what it has found."""
