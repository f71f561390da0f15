"""The trading environments for Gymnasium and SB3."""
