"""FinRL's rolling ensemble strategy."""
