"""What a figure shows, and the two libraries that draw it."""
