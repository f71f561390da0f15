"""The compiled trading rules and the arrays that they read and write."""
