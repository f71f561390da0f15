"""Everything that reports findings."""
