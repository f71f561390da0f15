"""Steps of accounts inside compiled loops, without Python between them."""
