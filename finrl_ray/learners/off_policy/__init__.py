"""SAC, TD3 and DDPG."""
