"""SB3 agents under FinRL's names."""
