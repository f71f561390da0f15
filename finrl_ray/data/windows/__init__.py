"""Train, validation and test windows, folds and paths."""
