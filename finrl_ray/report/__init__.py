"""A search as tables, figures and one HTML page."""
