"""PPO and A2C."""
