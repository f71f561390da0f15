"""What can be wrong with an env before anything is trained in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from finrl_ray._typing import AnyArray
from finrl_ray.agents.state.env import base_vec_env, wrappers
from finrl_ray.diagnostics.findings import DATA, Finding, FindingList
from finrl_ray.diagnostics.setup.bad_cells import frame_cells, table_cells
from finrl_ray.env.accounts import Accounts
from finrl_ray.env.observed_columns import entry_names
from finrl_ray.errors import DataError

REWARD_RANGE = (1e-6, 100.0)
"""Mean |reward| outside of it usually means a wrong reward_scaling."""
WALK_SEED = 0
_SHOWN_CELLS = 20

# what a user's env may raise when it is reset or stepped
ENV_ERRORS = (
    ValueError,
    TypeError,
    RuntimeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    NotImplementedError,
    OSError,
    EOFError,
)


def check_env(env: VecEnv, n_steps: int) -> FindingList:
    """Return what is wrong with the spaces, observations, rewards and data of an env.

    Two walks with the same seed and the same random actions are compared. Observations and rewards
    are looked at before any VecNormalize.

    Parameters
    ----------
    env : an env that may be stepped freely
    n_steps : timesteps of each walk, summed over the accounts
    """
    findings = FindingList()
    base = base_vec_env(env)
    _check_spaces(base, findings)
    _check_data(base, findings)
    try:
        _check_single_reset(base, findings)
        first, second = _walk(base, n_steps), _walk(base, n_steps)
    except ENV_ERRORS as error:
        findings.error("env", f"the env cannot be reset and stepped: {_words(error)}")
        return findings
    for what, count in first.faults.items():
        findings.add(Finding(level="error", where="env", what=f"{what} ({count} such values)"))
    _compare(first, second, findings)
    normalizer = next((w for w in wrappers(env) if isinstance(w, VecNormalize)), None)
    _check_reward_scale(first, normalizer is not None and normalizer.norm_reward, findings)
    return findings


def _words(error: Exception) -> str:
    first_line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first_line}"


# -- spaces -----------------------------------------------------------------------------------


def _check_spaces(env: VecEnv, findings: FindingList) -> None:
    space = env.action_space
    if not isinstance(space, gym.spaces.Box):
        findings.note("env", f"the action space is a {type(space).__name__}, not a Box")
        return
    low, high = float(np.min(space.low)), float(np.max(space.high))
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        findings.error(
            "env",
            f"the action space must have finite bounds, got [{low:g}, {high:g}]; use [-1, 1] and "
            "scale inside the env",
        )
    elif low < -1 or high > 1:
        findings.warning(
            "env",
            f"the action space is [{low:g}, {high:g}]: policies start with actions of order 1, so "
            "use [-1, 1] and scale inside the env",
        )


def _check_single_reset(env: VecEnv, findings: FindingList) -> None:
    """Look at what one env returns before DummyVecEnv casts it to the space's shape and dtype."""
    if type(env) is not DummyVecEnv:
        return
    returned: Any = env.envs[0].reset(seed=WALK_SEED)
    if not (isinstance(returned, tuple) and len(returned) == 2):
        findings.error(
            "env", f"reset() must return (observation, info), got a {type(returned).__name__}"
        )
        return
    space = env.observation_space
    if not isinstance(space, gym.spaces.Box):
        return
    observation = np.asarray(returned[0])
    if observation.shape != space.shape:
        findings.error(
            "env",
            f"an observation must have the space's shape {space.shape}, got {observation.shape}",
        )
    if observation.dtype != space.dtype:
        findings.warning(
            "env",
            f"observations are {observation.dtype} and the observation space is {space.dtype}: "
            "they are cast, which may lose digits",
        )


# -- data -------------------------------------------------------------------------------------


def _check_data(env: VecEnv, findings: FindingList) -> None:
    """Look through the whole table of prices and features, not only at what a walk passes."""
    cells = []
    if env.has_attr("accounts"):
        accounts = env.get_attr("accounts", indices=[0])[0]
        cells = table_cells(accounts.table) if hasattr(accounts, "table") else []
    elif env.has_attr("df"):
        df = env.get_attr("df", indices=[0])[0]
        if isinstance(df, pd.DataFrame) and {"date", "tic"} <= set(df.columns):
            names = [str(name) for name in df.columns if name not in ("date", "tic")]
            numbers = [n for n in names if pd.api.types.is_numeric_dtype(df[n])]
            try:
                cells = frame_cells(df, numbers)
            except DataError as error:  # another package's env, which may not need dates
                findings.warning("env", f"the cells of df were not looked at: {error}")
    sentences = [str(item) for item in cells[:_SHOWN_CELLS]]
    if len(cells) > _SHOWN_CELLS:
        sentences.append(f"and {len(cells) - _SHOWN_CELLS} more such columns")
    for what in sentences:
        findings.add(Finding(level="error", where=DATA, what=what))


def _entry_names(env: VecEnv) -> Sequence[str] | None:
    """Return what each entry of an observation is, for envs of finrl_ray."""
    if not env.has_attr("accounts"):
        return None
    accounts = env.get_attr("accounts", indices=[0])[0]
    if not isinstance(accounts, Accounts):
        return None
    table = accounts.table
    return entry_names(accounts.rules, table.tickers, table.feature_names)


# -- walks ------------------------------------------------------------------------------------


@dataclass
class _Walk:
    """One walk: what was wrong on it, and what it saw, for comparison with another."""

    faults: dict[str, int] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    seen: list[tuple[bytes, ...]] = field(default_factory=list)
    rewards: list[AnyArray] = field(default_factory=list)

    def fault(self, what: str, key: str) -> None:
        """Count a fault under the words of its first occurrence."""
        words = self.words.setdefault(key, what)
        self.faults[words] = self.faults.get(words, 0) + 1


def _walk(env: VecEnv, n_steps: int) -> _Walk:
    """Reset to the same seed and take the same random actions as every walk."""
    rng = np.random.default_rng(WALK_SEED)
    walk, names = _Walk(), _entry_names(env)
    env.seed(WALK_SEED)
    observations: Any = env.reset()
    _look(walk, env, observations, "the first observation", names)
    for step in range(1, max(2, -(-n_steps // env.num_envs)) + 1):
        observations, rewards, dones, _ = env.step(_random_actions(env, rng))
        where = f"the observation after step {step}"
        _look(walk, env, observations, where, names)
        for index in np.flatnonzero(~np.isfinite(rewards)):
            what = f"the reward of account {index} in step {step} is {rewards[index]}"
            walk.fault(what, f"reward {np.isnan(rewards[index])}")
        walk.rewards.append(np.array(rewards, dtype=np.float64))
        parts = [array.tobytes() for _, array in _parts(observations)]
        walk.seen.append((*parts, np.asarray(rewards).tobytes(), np.asarray(dones).tobytes()))
    return walk


def _random_actions(env: VecEnv, rng: np.random.Generator) -> AnyArray:
    space = env.action_space
    if isinstance(space, gym.spaces.Box):
        shape = (env.num_envs, *space.shape)
        low, high = np.clip(space.low, -1e6, 1e6), np.clip(space.high, -1e6, 1e6)
        return rng.uniform(low, high, shape).astype(space.dtype)
    space.seed(int(rng.integers(2**31)))
    return np.array([space.sample() for _ in range(env.num_envs)])


def _parts(observations: Any) -> Iterator[tuple[str, AnyArray]]:
    if isinstance(observations, dict):
        yield from ((str(key), np.asarray(value)) for key, value in observations.items())
    elif isinstance(observations, tuple):
        yield from ((str(key), np.asarray(value)) for key, value in enumerate(observations))
    else:
        yield "", np.asarray(observations)


def _look(
    walk: _Walk,
    env: VecEnv,
    observations: Any,
    where: str,
    names: Sequence[str] | None,
) -> None:
    for key, array in _parts(observations):
        if array.dtype.kind != "f":
            continue
        for index, entry in np.argwhere(~np.isfinite(array.reshape(env.num_envs, -1))):
            value = array.reshape(env.num_envs, -1)[index, entry]
            label = f"{key} entry {entry}".strip()
            if names is not None and entry < len(names):
                label += f" ({names[entry]})"
            what = f"{label} of {where} is {value} in account {index}"
            walk.fault(what, f"{label} {np.isnan(value)}")
    space = env.observation_space
    if isinstance(space, gym.spaces.Box):
        array = np.asarray(observations)
        outside = np.argwhere((array < space.low) | (array > space.high))
        if outside.size:
            what = (
                f"{where} leaves the observation space: entry {list(outside[0][1:])} is "
                f"{array[tuple(outside[0])]:g}"
            )
            walk.fault(what, "outside")


def _compare(first: _Walk, second: _Walk, findings: FindingList) -> None:
    pairs = zip(first.seen, second.seen, strict=True)
    differ = [step for step, (one, other) in enumerate(pairs, 1) if one != other]
    if differ:
        findings.warning(
            "env",
            "the env is not reproducible: the same seed and the same actions gave another "
            f"trajectory from step {differ[0]} on; draw every random number from "
            "self.np_random",
        )


def _check_reward_scale(walk: _Walk, normalized: bool, findings: FindingList) -> None:
    rewards = np.concatenate(walk.rewards)
    rewards = rewards[np.isfinite(rewards)]
    size = float(np.abs(rewards).mean()) if rewards.size else 0.0
    low, high = REWARD_RANGE
    if size == 0.0:
        findings.warning(
            "env",
            f"all rewards of {rewards.size} random steps are 0: there is nothing to learn from",
        )
    elif not low <= size <= high:
        words = (
            f"the mean |reward| under random actions is {size:.3g}, outside {low:g}..{high:g}; "
            "change reward_scaling"
        )
        if normalized:
            findings.note("env", f"{words} (VecNormalize makes up for it)")
        else:
            findings.warning("env", words)
