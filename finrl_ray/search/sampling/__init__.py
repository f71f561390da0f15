"""What is sampled: domains, first points, searchers, the objective."""
