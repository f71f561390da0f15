"""The best configurations of a search, trained again with new seeds on walk-forward windows."""
