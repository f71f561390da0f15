"""What evaluations have found, kept as lists and written as `evaluations.npz`."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.agents.rollout import Episode
from finrl_ray.files.atomic import atomic_path


@dataclass(kw_only=True)
class EvaluationLog:
    """Every evaluation of one training run, oldest first.

    Parameters
    ----------
    timesteps : timesteps of training at each evaluation
    measures : per evaluation, measure by name
    reasons : per evaluation, why its metric is NaN; empty where it is not
    account_values : per evaluation, per episode, the account curve; empty where there is none
    rewards, lengths : per evaluation, per episode
    """

    timesteps: list[int] = field(default_factory=list)
    measures: list[dict[str, float]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    account_values: list[list[FloatArray]] = field(default_factory=list)
    rewards: list[list[float]] = field(default_factory=list)
    lengths: list[list[int]] = field(default_factory=list)

    def append(
        self, timesteps: int, measures: dict[str, float], reason: str, episodes: list[Episode]
    ) -> None:
        """Add one evaluation."""
        self.timesteps.append(timesteps)
        self.measures.append(measures)
        self.reasons.append(reason)
        histories = [e.history for e in episodes if e.history is not None]
        self.account_values.append([np.asarray(h.account_value) for h in histories])
        self.rewards.append([e.reward for e in episodes])
        self.lengths.append([e.length for e in episodes])

    def history(self, name: str) -> list[float]:
        """Return one measure over all evaluations, NaN where one of them lacks it."""
        return [measures.get(name, math.nan) for measures in self.measures]

    def get_state(self) -> dict[str, Any]:
        """Return the log as plain values, copied."""
        return {
            "timesteps": list(self.timesteps),
            "measures": [dict(measures) for measures in self.measures],
            "reasons": list(self.reasons),
            "account_values": [list(values) for values in self.account_values],
            "rewards": [list(rewards) for rewards in self.rewards],
            "lengths": [list(lengths) for lengths in self.lengths],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "EvaluationLog":
        """Undo `get_state`."""
        return cls(**cls(**state).get_state())

    def save(self, path: str | Path) -> None:
        """Write `evaluations.npz`, complete or not at all, with the keys of SB3's and more.

        Keys: `timesteps` (E,), `results` and `ep_lengths` (E, K) as SB3 writes them,
        `account_value` (E, K, D) where the env gives accounts, one (E,) array per measure and
        `reasons` (E,); E evaluations of K episodes. Shorter episodes, and evaluations with fewer of
        them, are filled up with NaN (lengths with 0).
        """
        arrays: dict[str, Any] = {
            "timesteps": np.asarray(self.timesteps, dtype=np.int64),
            "results": _filled([[np.asarray([r]) for r in row] for row in self.rewards])[:, :, 0],
            "reasons": np.asarray(self.reasons, dtype=np.str_),
        }
        if any(self.account_values):
            arrays["account_value"] = _filled(self.account_values)
        lengths = _filled([[np.asarray([n]) for n in row] for row in self.lengths])[:, :, 0]
        arrays["ep_lengths"] = np.nan_to_num(lengths).astype(np.int64)
        # an evaluation can lack some, as the exposure of an account that has become infinite
        for name in dict.fromkeys(name for measures in self.measures for name in measures):
            arrays[name] = np.asarray(self.history(name), dtype=np.float64)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)


def _filled(rows: list[list[Any]]) -> FloatArray:
    """Return ragged rows of 1-D arrays as one (E, K, D) array, NaN where there is nothing."""
    n_episodes = max((len(row) for row in rows), default=1)
    longest = max((len(values) for row in rows for values in row), default=1)
    filled = np.full((len(rows), n_episodes, longest), np.nan)
    for i, row in enumerate(rows):
        for k, values in enumerate(row):
            filled[i, k, : len(values)] = values
    return filled
