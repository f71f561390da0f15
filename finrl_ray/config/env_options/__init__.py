"""The options of the `env` section, by whose they are: FinRL's, or this package's own."""
