"""The compact replay buffer."""
