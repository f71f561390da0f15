"""Checks before a night of compute, diagnosis after it, and training that goes on."""
