"""A small search in which everything that can be the user's own is."""

from pathlib import Path
from typing import Any

FILES = {
    "my_policy.py": """
import torch as th
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn


class Squash(BaseFeaturesExtractor):
    def __init__(self, observation_space, features_dim=8):
        super().__init__(observation_space, features_dim)
        self.layer = nn.Linear(observation_space.shape[0], features_dim)

    def forward(self, observations):
        return th.tanh(self.layer(observations))


class MyPolicy(ActorCriticPolicy):
    def __init__(self, *args, hidden=4, **kwargs):
        kwargs["net_arch"] = [hidden]
        super().__init__(*args, **kwargs)
""",
    "my_callback.py": '''
from my_numbers import PACE
from stable_baselines3.common.callbacks import BaseCallback


class Cooling(BaseCallback):
    """Lowers the entropy bonus as it counts: what it has counted decides what is learned."""

    def __init__(self, pace=PACE):
        super().__init__()
        self.pace = pace
        self.seen = []

    def _on_step(self):
        if self.n_calls % self.pace == 0:
            self.seen.append(self.num_timesteps)
            self.model.ent_coef = 0.1 / (1 + len(self.seen))
        return True
''',
    "my_numbers.py": "PACE = 7\n",
    "my_reward.py": """
import numpy as np


def reward(account_value, account_value_before, drawdown, *, fear=0.1):
    return np.log(account_value / account_value_before) + fear * drawdown
""",
    "my_features.py": """
def compute(prices, window=5):
    return (prices["close"] / prices["close"].rolling(window).mean() - 1.0).rename("trend")
""",
    "my_source.py": """
from finrl_ray.data.sources.bundled import read_bundled


def read(*, tickers=None):
    rows = read_bundled()
    return rows[rows["tic"].isin(["AAPL", "MSFT"])]
""",
    "my_metric.py": """
def metric(account_value, *, weight=2.0):
    worst = min(account_value / account_value.max())
    return float(account_value[-1] / account_value[0] - 1.0 + weight * (worst - 1.0))
""",
}


def write_files(folder: Path) -> None:
    """Write the user's files beside where a config is, or will be."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        (folder / name).write_text(text.lstrip(), encoding="utf-8")


def own_config(hidden: tuple[int, ...] = (4, 8), **search: Any) -> dict[str, Any]:
    """Return the config; its trials differ in the width of the policy."""
    return {
        "name": "small",
        "seed": 3,
        "data": {"source": "my_source:read", "features": ["my_features:compute"]},
        "split": {
            "train": ["2007-06-01", "2008-01-01"],
            "validation": ["2008-01-01", "2008-07-01"],
            "test": ["2008-07-01", "2009-01-01"],
        },
        "env": {"random_start": True, "reward": "my_reward:reward", "reward_scaling": 100.0},
        "agent": {
            "total_timesteps": 256,
            "n_envs": 2,
            "policy": "my_policy:MyPolicy",
            "callbacks": ["my_callback:Cooling"],
            "model_kwargs": {
                "n_steps": 16,
                "batch_size": 16,
                "policy_kwargs": {"features_extractor_class": "my_policy:Squash"},
            },
        },
        "evaluation": {"eval_freq": 64, "metric": "my_metric:metric"},
        "search": {
            "num_samples": 1,
            "scheduler": {"type": "fifo"},
            "default_space": False,
            "space": {
                "agent.policy_kwargs.hidden": {"grid": list(hidden)},
                "agent.callback_kwargs.Cooling.pace": {"choice": [3, 5]},
                "env.reward_kwargs.fear": {"uniform": [0.0, 1.0]},
                "data.feature_kwargs.window": {"choice": [5, 10]},
                "gamma": {"uniform": [0.9, 0.99]},
            },
            **search,
        },
    }
