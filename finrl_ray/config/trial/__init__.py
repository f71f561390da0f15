"""The config of one trial: what a search may choose besides hyperparameters, and what follows."""
