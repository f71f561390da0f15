"""The rolling ensemble strategy: the best validated agent of each quarter trades the next."""
