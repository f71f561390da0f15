"""Prices and features: sources, indicators, windows."""
