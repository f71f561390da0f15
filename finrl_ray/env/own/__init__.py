"""Envs of the user's own (`env.class`): built per window, with an account and an exact state."""
