"""Files and folders on disk: whole, or known to be damaged."""
