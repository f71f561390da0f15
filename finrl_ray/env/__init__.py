"""Trading environments over shared market arrays."""
