"""SB3 models under FinRL's names."""
