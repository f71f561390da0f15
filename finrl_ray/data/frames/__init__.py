"""FinRL's long frames, cell by cell, into arrays."""
