"""The leak audit: whether the data and features of an experiment know the future."""
