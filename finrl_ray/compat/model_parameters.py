"""FinRL's default keywords of each algorithm, under its names."""

from finrl_ray.agents.algorithm_registry import ALGORITHMS

A2C_PARAMS = dict(ALGORITHMS["a2c"].defaults)
PPO_PARAMS = dict(ALGORITHMS["ppo"].defaults)
DDPG_PARAMS = dict(ALGORITHMS["ddpg"].defaults)
TD3_PARAMS = dict(ALGORITHMS["td3"].defaults)
SAC_PARAMS = dict(ALGORITHMS["sac"].defaults)
