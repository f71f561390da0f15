"""The user's own classes and functions: named by text, loaded, carried to wherever they run."""
