"""What `finrl-ray doctor` looks at."""
