"""Training a trial again and comparing the numbers with the recorded ones."""
