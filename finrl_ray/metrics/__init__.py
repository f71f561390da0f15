"""Performance measures on returns and account values."""
