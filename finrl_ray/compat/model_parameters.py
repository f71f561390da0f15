"""FinRL's default keywords of each algorithm under its names, and those of the others."""

from finrl_ray.agents.algorithm_registry import ALGORITHMS

A2C_PARAMS = dict(ALGORITHMS["a2c"].defaults)
PPO_PARAMS = dict(ALGORITHMS["ppo"].defaults)
DDPG_PARAMS = dict(ALGORITHMS["ddpg"].defaults)
TD3_PARAMS = dict(ALGORITHMS["td3"].defaults)
SAC_PARAMS = dict(ALGORITHMS["sac"].defaults)
TQC_PARAMS = dict(ALGORITHMS["tqc"].defaults)
CROSSQ_PARAMS = dict(ALGORITHMS["crossq"].defaults)
RECURRENT_PPO_PARAMS = dict(ALGORITHMS["recurrent_ppo"].defaults)
TRPO_PARAMS = dict(ALGORITHMS["trpo"].defaults)
DQN_PARAMS = dict(ALGORITHMS["dqn"].defaults)
