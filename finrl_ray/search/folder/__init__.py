"""A search's folder: names, opening, checkpoints, the copy in a store."""
