"""Models that do what the test says, with the attributes of SB3's that an ensemble needs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces

from finrl_ray._typing import AnyArray
from finrl_ray.agents.ensemble_model.model import Member
from finrl_ray.config.env import EnvConfig


class ToldModel:
    """Gives the actions of a list, one a step, and keeps what it has seen.

    Parameters
    ----------
    actions : array of shape (steps, N)
    size : of its observations
    """

    device = th.device("cpu")

    def __init__(self, actions: Any, size: int = 3) -> None:
        self.actions = np.array(actions, dtype=np.float32)
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, self.actions.shape[1:], np.float32)
        self.seen: list[AnyArray] = []

    def predict(
        self,
        observation: AnyArray,
        state: int | None = None,
        episode_start: AnyArray | None = None,
        deterministic: bool = False,
    ) -> tuple[AnyArray, int]:
        self.seen.append(np.array(observation))
        step = state or 0
        action = self.actions[step]
        batch = np.ndim(observation) > 1
        return (np.repeat(action[None], len(observation), axis=0) if batch else action), step + 1


def told_member(actions: Any, size: int = 3, **options: Any) -> Member:
    """Return a member with these actions; `options` are those of its env, and of `Member`."""
    own = {name: options.pop(name) for name in ("statistics", "view", "name") if name in options}
    env = EnvConfig(**{"action": "target_weights", "no_trade_band": 0.0, **options})
    return Member(model=ToldModel(actions, size), env=env, **own)  # type: ignore[arg-type]  # acts as one


def seen_by(member: Member) -> Sequence[AnyArray]:
    """Return the observations that a told member has been shown."""
    model = member.model
    assert isinstance(model, ToldModel)
    return model.seen
