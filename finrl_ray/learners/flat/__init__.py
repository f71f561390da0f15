"""Parameters, optimizers and activations on flat arrays."""
