"""SB3's own classes that programs of the training guide import beside ours."""

from stable_baselines3.common.callbacks import BaseCallback as BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv as DummyVecEnv
