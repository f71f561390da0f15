"""Algorithms learn what can be worked out: the sign that the best action has in each step.

A coin with a memory: at the start of an episode of 8 steps a sign is drawn, and an action a within
[-1, 1] is paid a times the sign. Whoever follows the sign gets 8 per episode; whoever cannot, 0 on
average, as a random policy does.
"""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.rollout import evaluate_episodes
from finrl_ray.agents.state.training_state import learn_from

STEPS = 8


class Coin(gym.Env[Any, Any]):
    """Pays an action times a sign, which is shown in each step, or in the first one alone."""

    def __init__(self, discrete: bool = False, *, remember: bool = False) -> None:
        self.discrete, self.remember = discrete, remember
        self.observation_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.action_space: Any = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
        if discrete:
            self.action_space = gym.spaces.Discrete(3)

    def _seen(self) -> Any:
        shown = self.sign if self.step_number == 0 or not self.remember else 0.0
        return np.array([shown, self.step_number / STEPS], dtype=np.float32)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.step_number, self.sign = 0, float(self.np_random.choice([-1.0, 1.0]))
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        wanted = float(action) - 1.0 if self.discrete else float(np.clip(action[0], -1.0, 1.0))
        self.step_number += 1
        return self._seen(), wanted * self.sign, self.step_number == STEPS, False, {}


OFF_POLICY = {
    "learning_rate": 3e-3, "buffer_size": 2000, "learning_starts": 100, "batch_size": 32,
    "gamma": 0.0, "train_freq": 4, "gradient_steps": 2,
}  # fmt: skip
ON_POLICY = {"learning_rate": 3e-3, "n_steps": 128, "batch_size": 64, "gamma": 0.0}
SMALL = {"net_arch": [32]}
LEARNS: dict[str, tuple[int, dict[str, Any]]] = {
    "tqc": (1000, {**OFF_POLICY, "policy_kwargs": {**SMALL, "n_quantiles": 5}}),
    "crossq": (1600, {**OFF_POLICY, "policy_delay": 1, "policy_kwargs": SMALL}),
    "dqn": (1000, {**OFF_POLICY, "target_update_interval": 100, "policy_kwargs": SMALL}),
    "trpo": (2048, {**ON_POLICY, "target_kl": 0.05, "policy_kwargs": SMALL}),
    "recurrent_ppo": (
        1024,
        {
            **ON_POLICY,
            **{"learning_rate": 1e-2, "n_epochs": 5, "ent_coef": 0.0},
            "policy_kwargs": {**SMALL, "lstm_hidden_size": 16, "enable_critic_lstm": False},
        },
    ),
}


def trained(algorithm: str, **changes: Any) -> Any:
    total, kwargs = LEARNS[algorithm]
    entry = ALGORITHMS[algorithm]
    coin = {"discrete": "continuous" not in entry.actions, "remember": entry.is_recurrent}
    env = DummyVecEnv([lambda: Coin(**{**coin, **changes}) for _ in range(2)])
    model = DRLAgent(env).get_model(algorithm, model_kwargs=kwargs, verbose=0, seed=1)
    untrained = reward_of(model)
    assert learn_from(model, total)
    return untrained, model


def reward_of(model: Any) -> float:
    episodes = evaluate_episodes(model, model.env, 40, seed=5, require_account=False)
    return float(np.mean([episode.reward for episode in episodes]))


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", LEARNS)
def test_the_sign_is_followed(algorithm: str) -> None:
    untrained, model = trained(algorithm)
    assert untrained < 5.0
    # of 8: what a policy that follows the sign gets; a memory that is lost gets 1 at most
    assert reward_of(model) > 7.0
