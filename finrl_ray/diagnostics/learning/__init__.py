"""Whether a model has learned anything."""
