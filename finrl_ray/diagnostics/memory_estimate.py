"""How many bytes the buffers and networks of an agent take."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from finrl_ray.agents.algorithm_registry import entry_of
from finrl_ray.agents.algorithms import find_algorithm
from finrl_ray.config.env_options.trading import MOST_COMBINATIONS

FLOAT_BYTES = 4
"""SB3 keeps observations, actions and parameters as float32."""
PROCESS_BYTES = 450 * 1024**2
"""What a process takes after importing torch, SB3, numba and pandas, before any buffer."""

# copies per parameter: value, gradient, two moments of Adam (RMSprop has one)
_TRAINED = 4
_SB3_DEFAULTS = {"buffer_size": 1_000_000, "n_steps": 2048}
# advantages, returns, values, log probabilities, rewards, episode starts
_ROLLOUT_SCALARS = 6
# hidden and cell states of the policy and of the critic
_LSTM_STATES = 4
# rewards, dones, timeouts
_REPLAY_SCALARS = 3
# of `MarketReplayBuffer`: cash, the day, and a link to what is seen next
_RECORD_SCALARS = 3
# a choice is a whole number of eight bytes
_CHOICE = 2
_CHOICES_OF_A_TICKER = 3


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
    algorithm : name of the algorithm, such as `ppo`
    model_kwargs : keywords over FinRL's defaults, as for `DRLAgent.get_model`
    observation_size : entries of one observation
    n_actions : entries of one action; of `dqn`, which chooses one of three things for each ticker,
        the tickers
    n_envs : accounts stepped together
    shares_market : whether the env is a StockTradingEnv or StockTradingVecEnv, of which a replay
        buffer keeps the accounts alone; False counts SB3's own buffer

    Raises
    ------
    ConfigError
        If there is no algorithm of that name.
    """
    find_algorithm(algorithm)
    kwargs = {**entry_of(algorithm).defaults, **(model_kwargs or {})}
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
    entry = entry_of(algorithm)
    if not entry.on_policy:
        stored = _CHOICE if entry.actions == ("discrete",) else n_actions
        rows = int(kwargs.get("buffer_size", _SB3_DEFAULTS["buffer_size"]))
        rows = max(rows // n_envs, 1) * n_envs
        own = "replay_buffer_class" not in kwargs and kwargs.get("n_steps", 1) == 1
        if shares_market and own:
            record = n_actions + _RECORD_SCALARS
            entries = rows * (record + stored + _REPLAY_SCALARS) + n_envs * (record - 1)
            return entries * FLOAT_BYTES
        observations = 1 if kwargs.get("optimize_memory_usage") else 2
        entries = observations * observation_size + stored + _REPLAY_SCALARS
        return rows * entries * FLOAT_BYTES
    rows = int(kwargs.get("n_steps", _SB3_DEFAULTS["n_steps"])) * n_envs
    entries = observation_size + n_actions + _ROLLOUT_SCALARS
    if entry.is_recurrent:
        policy = _policy_keywords(algorithm, kwargs)
        entries += _LSTM_STATES * policy["n_lstm_layers"] * policy["lstm_hidden_size"]
    return rows * entries * FLOAT_BYTES


def network_bytes(
    algorithm: str, kwargs: Mapping[str, Any], observation_size: int, n_actions: int
) -> int:
    """Return the bytes of all networks with their gradients, moments and targets."""
    entry = entry_of(algorithm)
    policy_kwargs = kwargs.get("policy_kwargs") or {}
    arch = policy_kwargs.get("net_arch")
    branches = arch if isinstance(arch, Mapping) else {}
    plain = arch if isinstance(arch, Sequence) else entry.net_arch
    actor_arch = branches.get("pi", plain)
    policy = _policy_keywords(algorithm, kwargs)
    if entry.is_recurrent:
        return _recurrent_weights(policy, observation_size, n_actions, branches, plain) * (
            _TRAINED * FLOAT_BYTES
        )
    if entry.on_policy:
        actor = _layers(observation_size, actor_arch, n_actions)
        critic = _layers(observation_size, branches.get("vf", plain), 1)
        return (actor + critic) * _TRAINED * FLOAT_BYTES
    if not entry.policy_outputs:  # one network values every action
        choices = min(_CHOICES_OF_A_TICKER**n_actions, MOST_COMBINATIONS)
        return _layers(observation_size, plain, choices) * (_TRAINED + 1) * FLOAT_BYTES
    norm = entry.batch_norm
    actor = _layers(observation_size, actor_arch, entry.policy_outputs * n_actions, norm=norm)
    critic_arch = branches.get("qf", plain if arch else entry.critic_arch or plain)
    seen, outputs = observation_size + n_actions, policy.get("n_quantiles", 1)
    critic = _layers(seen, critic_arch, outputs, norm=norm)
    critics: int = policy.get("n_critics", entry.critics) * critic
    targets = critics if entry.target_critics else 0
    targets += actor if entry.target_policy else 0
    return ((actor + critics) * _TRAINED + targets) * FLOAT_BYTES


def _policy_keywords(algorithm: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of the policy that its size depends on, with its own defaults."""
    return {**entry_of(algorithm).policy_keywords, **(kwargs.get("policy_kwargs") or {})}


def _recurrent_weights(
    policy: Mapping[str, Any],
    observation_size: int,
    n_actions: int,
    branches: Mapping[str, Sequence[int]],
    plain: Sequence[int],
) -> int:
    """Return the number of weights of a policy with an LSTM before its layers, and its critic."""
    hidden: int = policy["lstm_hidden_size"]
    inputs = [observation_size, *[hidden] * (policy["n_lstm_layers"] - 1)]
    # four gates, each of the input, of the last output, and with torch's two biases
    lstm = sum(4 * hidden * (size + hidden + 2) for size in inputs)
    own: bool = policy["enable_critic_lstm"]
    # a critic without an LSTM of its own or the policy's has one linear layer in its place
    linear = 0 if own or policy["shared_lstm"] else (observation_size + 1) * hidden
    layers: int = _layers(hidden, branches.get("pi", plain), n_actions)
    layers += _layers(hidden, branches.get("vf", plain), 1)
    return (2 if own else 1) * lstm + linear + layers


def _layers(inputs: int, widths: Sequence[int], outputs: int, *, norm: bool = False) -> int:
    """Return the number of weights and biases of a fully connected network.

    Parameters
    ----------
    inputs, widths, outputs : entries of each layer
    norm : whether what goes into a layer is normalised, scaled and shifted
    """
    sizes = [inputs, *widths, outputs]
    scales = 2 * sum(sizes[:-1]) if norm else 0
    return sum((before + 1) * after for before, after in pairwise(sizes)) + scales
