"""Training the same again, and comparing."""
