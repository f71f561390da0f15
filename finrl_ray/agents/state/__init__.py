"""The exact state of a training run."""
