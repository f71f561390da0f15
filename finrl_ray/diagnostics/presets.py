"""Keywords for machines with little memory, and for training that is unstable, per algorithm."""

import logging
from typing import Any

from finrl_ray.agents.algorithms import find_algorithm
from finrl_ray.diagnostics.memory_estimate import buffer_bytes, memory_estimate
from finrl_ray.support.text import readable_bytes

logger = logging.getLogger(__name__)

memory_efficient_policy: dict[str, Any] = {"net_arch": [64, 64], "activation_fn": "relu"}
"""`policy_kwargs` of a small network; plain values, so that a config file can hold them."""


def create_memory_efficient_config(
    algorithm: str = "ppo", *, observation_size: int | None = None, n_envs: int = 1
) -> dict[str, Any]:
    """Return `model_kwargs` with small buffers and batches, and log the bytes that they take.

    Every key is one that the algorithm has.

    Parameters
    ----------
    algorithm : name of the algorithm, as in `DRLAgent.get_model`
    observation_size : entries of one observation, for the estimate; None: per entry
    n_envs : accounts stepped together, for the estimate

    Raises
    ------
    ConfigError
        If there is no algorithm of that name.
    """
    config = dict(find_algorithm(algorithm).small)
    if observation_size is None:
        per_entry = buffer_bytes(algorithm, config, 1, 0, n_envs)
        per_entry -= buffer_bytes(algorithm, config, 0, 0, n_envs)
        logger.info(
            "%s: the buffer takes %s per entry of the observation",
            algorithm,
            readable_bytes(per_entry),
        )
        return config
    # an observation is 1 + N x (2 + indicators), or longer: N is at most half of it
    n_actions = max(1, observation_size // 2)
    small = {**config, "policy_kwargs": memory_efficient_policy}
    estimates = [
        memory_estimate(algorithm, kwargs, observation_size, n_actions, n_envs)
        for kwargs in (config, small, {})
    ]
    logger.info(
        "%s: buffer and networks take at most %s (%s with memory_efficient_policy), the defaults "
        "%s, for observations of %d entries and %d envs",
        algorithm,
        *[readable_bytes(estimate) for estimate in estimates],
        observation_size,
        n_envs,
    )
    return config


def create_stable_config(algorithm: str = "ppo") -> dict[str, Any]:
    """Return `model_kwargs` for training that swings or diverges: small steps, damped critics.

    Every key is one that the algorithm has. On-policy: a low learning rate, little exploration,
    clipped gradients, a small weight of the value loss, and for ppo a small clip range. Off-policy:
    a low learning rate, slow targets and large batches, as SB3 clips no gradients there.

    Parameters
    ----------
    algorithm : name of the algorithm, as in `DRLAgent.get_model`

    Raises
    ------
    ConfigError
        If there is no algorithm of that name.
    """
    return dict(find_algorithm(algorithm).stable)
