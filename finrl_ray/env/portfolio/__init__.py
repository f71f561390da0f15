"""The environment of portfolio weights."""
