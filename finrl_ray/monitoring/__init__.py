"""Live views of a run, from its files."""
