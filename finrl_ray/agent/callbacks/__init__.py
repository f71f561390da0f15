"""SB3 callbacks, one a file."""
