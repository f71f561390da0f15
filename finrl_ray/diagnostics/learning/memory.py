"""What a recurrent model remembers at each step of episodes that were run."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm

from finrl_ray._typing import FloatArray
from finrl_ray.agents.sb3_internals import memory_states
from finrl_ray.diagnostics.learning.episodes import Episodes


@dataclass(frozen=True)
class Memory:
    """The LSTM states of several accounts before they act; of other models there are none.

    Parameters
    ----------
    states : sb3-contrib's `RNNStates`; None: the model remembers nothing
    starts : tensor of shape (E,), 1.0 for an account whose episode begins, of which nothing is
        remembered
    """

    states: Any = None
    starts: Any = None

    def of_account(self, index: int) -> "Memory":
        """Return what is remembered of one account whose episode goes on."""
        if self.states is None:
            return self
        parts = (tuple(one[:, index : index + 1].contiguous() for one in p) for p in self.states)
        return Memory(type(self.states)(*parts), th.zeros(1, device=self.starts.device))

    def values(self, model: BaseAlgorithm, observations: Any) -> FloatArray:
        """Return what the critic of a model says of each account's observation, of shape (E,)."""
        policy: Any = model.policy
        tensor, _ = policy.obs_to_tensor(observations)
        with th.no_grad():
            if self.states is None:
                values = policy.predict_values(tensor)
            else:
                values = policy.predict_values(tensor, self.states.vf, self.starts)
        result: FloatArray = values.cpu().numpy().reshape(-1).astype(np.float64)
        return result

    def distribution(self, model: BaseAlgorithm, observations: Any) -> Any:
        """Return SB3's distribution of a model's actions in these observations."""
        policy: Any = model.policy
        tensor, _ = policy.obs_to_tensor(observations)
        if self.states is None:
            return policy.get_distribution(tensor)
        return policy.get_distribution(tensor, self.states.pi, self.starts)[0]


def memories(model: BaseAlgorithm, episodes: Episodes) -> list[Memory]:
    """Return what a model remembers before each kept step of episodes, and after the last.

    Parameters
    ----------
    model : the one that has run the episodes
    episodes : with their first steps' observations in one array each
    """
    own, n_steps = memory_states(model), len(episodes.observations)
    if own is None:
        return [Memory()] * (n_steps + 1)
    policy: Any = model.policy
    n_accounts = len(episodes.observations[0]) if n_steps else 1
    shape = (own.pi[0].shape[0], n_accounts, own.pi[0].shape[2])
    empty = tuple(th.zeros(shape, device=model.device) for _ in range(2))
    states, starts = type(own)(empty, empty), th.ones(n_accounts, device=model.device)
    found = [Memory(states, starts)]
    for seen, dones in zip(episodes.observations, episodes.dones, strict=True):
        tensor, _ = policy.obs_to_tensor(seen)
        with th.no_grad():
            # deterministic, because the actions are those that were taken, and none is drawn
            states = policy(tensor, states, starts, deterministic=True)[3]
        starts = th.as_tensor(np.asarray(dones), dtype=th.float32, device=model.device)
        found.append(Memory(states, starts))
    return found
