"""The user's own reward: a function of named arrays, called after each step of the kernel."""
