"""One agent from data to its test evaluation, in one folder."""
