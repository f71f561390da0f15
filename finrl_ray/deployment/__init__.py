"""What a trained agent does tomorrow: its folder, and the orders that follow from a market."""
