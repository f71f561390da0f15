"""What can be wrong with an env and a model before training."""
