"""What `finrl-ray audit` looks at."""
