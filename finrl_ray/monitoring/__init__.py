"""Watching a run from outside: TensorBoard, live figures and text, from its files alone."""
