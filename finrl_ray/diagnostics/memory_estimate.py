"""How many bytes the buffers and networks of an agent take."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.algorithms import find_algorithm

FLOAT_BYTES = 4
"""SB3 keeps observations, actions and parameters as float32."""
PROCESS_BYTES = 450 * 1024**2
"""What a process takes after importing torch, SB3, numba and pandas, before any buffer."""

# copies per parameter: value, gradient, two moments of Adam (RMSprop has one)
_TRAINED = 4
_SB3_DEFAULTS = {"buffer_size": 1_000_000, "n_steps": 2048}
# advantages, returns, values, log probabilities, rewards, episode starts
_ROLLOUT_SCALARS = 6
# rewards, dones, timeouts
_REPLAY_SCALARS = 3
# of `MarketReplayBuffer`: cash, the day, and a link to what is seen next
_RECORD_SCALARS = 3


def memory_estimate(
    algorithm: str,
    model_kwargs: Mapping[str, Any] | None,
    observation_size: int,
    n_actions: int,
    n_envs: int = 1,
    *,
    shares_market: bool = False,
) -> int:
    """Return the bytes that a model's buffer and networks take, without the process around them.

    Parameters
    ----------
    algorithm : one of `a2c`, `ppo`, `ddpg`, `td3`, `sac`
    model_kwargs : keywords over FinRL's defaults, as for `DRLAgent.get_model`
    observation_size : entries of one observation
    n_actions : entries of one action
    n_envs : accounts stepped together
    shares_market : whether the env is a StockTradingEnv or StockTradingVecEnv, of which a replay
        buffer keeps the accounts alone; False counts SB3's own buffer

    Raises
    ------
    ConfigError
        If there is no algorithm of that name.
    """
    find_algorithm(algorithm)
    kwargs = {**ALGORITHMS[algorithm].defaults, **(model_kwargs or {})}
    buffer = buffer_bytes(
        algorithm, kwargs, observation_size, n_actions, n_envs, shares_market=shares_market
    )
    return buffer + network_bytes(algorithm, kwargs, observation_size, n_actions)


def buffer_bytes(
    algorithm: str,
    kwargs: Mapping[str, Any],
    observation_size: int,
    n_actions: int,
    n_envs: int,
    *,
    shares_market: bool = False,
) -> int:
    """Return the bytes of the replay buffer, or of the rollout buffer of on-policy algorithms."""
    if not ALGORITHMS[algorithm].on_policy:
        rows = int(kwargs.get("buffer_size", _SB3_DEFAULTS["buffer_size"]))
        rows = max(rows // n_envs, 1) * n_envs
        own = "replay_buffer_class" not in kwargs and kwargs.get("n_steps", 1) == 1
        if shares_market and own:
            record = n_actions + _RECORD_SCALARS
            entries = rows * (record + n_actions + _REPLAY_SCALARS) + n_envs * (record - 1)
            return entries * FLOAT_BYTES
        observations = 1 if kwargs.get("optimize_memory_usage") else 2
        entries = observations * observation_size + n_actions + _REPLAY_SCALARS
        return rows * entries * FLOAT_BYTES
    rows = int(kwargs.get("n_steps", _SB3_DEFAULTS["n_steps"])) * n_envs
    return rows * (observation_size + n_actions + _ROLLOUT_SCALARS) * FLOAT_BYTES


def network_bytes(
    algorithm: str, kwargs: Mapping[str, Any], observation_size: int, n_actions: int
) -> int:
    """Return the bytes of all networks with their gradients, moments and targets."""
    entry = ALGORITHMS[algorithm]
    policy_kwargs = kwargs.get("policy_kwargs") or {}
    arch = policy_kwargs.get("net_arch")
    branches = arch if isinstance(arch, Mapping) else {}
    plain = arch if isinstance(arch, Sequence) else entry.net_arch
    actor_arch = branches.get("pi", plain)
    if entry.on_policy:
        actor = _layers(observation_size, actor_arch, n_actions)
        critic = _layers(observation_size, branches.get("vf", plain), 1)
        return (actor + critic) * _TRAINED * FLOAT_BYTES
    actor = _layers(observation_size, actor_arch, entry.policy_outputs * n_actions)
    critic = _layers(observation_size + n_actions, branches.get("qf", plain), 1)
    critics = entry.critics * critic
    targets = critics + actor if entry.target_policy else critics
    return ((actor + critics) * _TRAINED + targets) * FLOAT_BYTES


def _layers(inputs: int, widths: Sequence[int], outputs: int) -> int:
    """Return the number of weights and biases of a fully connected network."""
    sizes = [inputs, *widths, outputs]
    return sum((before + 1) * after for before, after in pairwise(sizes))
