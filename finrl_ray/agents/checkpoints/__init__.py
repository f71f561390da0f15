"""The files of a checkpoint: written whole, loaded with a message."""
