"""SB3 callbacks."""
