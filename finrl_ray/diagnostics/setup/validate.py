"""`validate_training_setup`: every problem of a model and its env, before they are trained."""

import logging
import time
from typing import Any

import gymnasium as gym
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.agents.models import as_vec_env
from finrl_ray.diagnostics.findings import DATA, FindingList, FindingsReport
from finrl_ray.diagnostics.setup.env_checks import ENV_ERRORS, check_env
from finrl_ray.diagnostics.setup.probe import copy_model, probe_env
from finrl_ray.errors import ConfigError
from finrl_ray.training.divergence import TrialDivergedError, check_finite

logger = logging.getLogger(__name__)

TRAINING_ERRORS = (*ENV_ERRORS, MemoryError)
UNCHANGED = 1e-12
"""Parameters are of order 0.01 to 1; one that has moved less has not learned."""


def validate_training_setup(
    model: BaseAlgorithm,
    env: "gym.Env[Any, Any] | VecEnv",
    n_test_steps: int = 1000,
) -> bool:
    """Check a model and its env as `inspect_training_setup` does; warnings are logged.

    Parameters
    ----------
    model : the model, which is not changed in any way; nor is its env
    env : the env it is to be trained in
    n_test_steps : timesteps of the trial training of a copy, and of each walk through the env

    Returns
    -------
    bool
        True.

    Raises
    ------
    ConfigError, DataError
        Listing every problem found.
    ValueError
        If `n_test_steps` is less than 1.
    """
    report = inspect_training_setup(model, env, n_test_steps)
    for warning in report.warnings:
        logger.warning("%s", warning)
    for note in report.notes:
        logger.info("%s", note)
    report.raise_errors("the training setup")
    logger.info("the training setup has no problems")
    return True


def inspect_training_setup(
    model: BaseAlgorithm,
    env: "gym.Env[Any, Any] | VecEnv",
    n_test_steps: int = 1000,
) -> FindingsReport:
    """Look through a model and its env, and train a copy of the model for a moment.

    Looked at are: the spaces, the first and later observations and rewards (NaN, infinite, outside
    their space, of another shape or dtype), the whole table of prices and features, the size of
    rewards, whether the same seed and actions give the same trajectory, whether batch, rollout and
    buffer fit together, and whether a short training of a copy leaves its parameters finite.

    The model, its optimizers, VecNormalize statistics, buffers, logger and counters, every random
    stream and the env's accounts stay as they are, bit for bit.

    Parameters
    ----------
    model, env, n_test_steps : as in `validate_training_setup`

    Raises
    ------
    ValueError
        If `n_test_steps` is less than 1.
    """
    if n_test_steps < 1:
        raise ValueError(f"n_test_steps must be >= 1, got {n_test_steps}")
    findings = FindingList()
    usable = _check_finite(model, "the model's", findings)
    _check_sizes(model, as_vec_env(env).num_envs, n_test_steps, findings)
    try:
        with probe_env(model, env) as probe:
            of_env = check_env(probe, n_test_steps)
            for finding in of_env:
                findings.add(finding)
            if usable and not of_env.of_level("error"):
                _train_copy(model, probe, n_test_steps, findings)
            else:
                findings.note(
                    "model", "no copy was trained, because it would only fail of the errors"
                )
    except ConfigError as error:
        findings.error("env", str(error))
    # those of the data first: they are often the cause of the others
    return FindingsReport(tuple(sorted(findings, key=lambda finding: finding.where != DATA)))


def _check_finite(model: BaseAlgorithm, whose: str, findings: FindingList) -> bool:
    wrong = [
        name
        for name, value in model.policy.named_parameters()
        if not bool(th.isfinite(value).all())
    ]
    if wrong:
        findings.error(
            "model",
            f"{whose} parameters must be finite, but {len(wrong)} are NaN or infinite, the first "
            f"{wrong[0]}; a lower learning_rate, normalised observations or a lower max_grad_norm "
            "usually help",
        )
    return not wrong


# -- sizes that must fit together ---------------------------------------------------------------


def _check_sizes(
    model: BaseAlgorithm, n_envs: int, n_test_steps: int, findings: FindingList
) -> None:
    if isinstance(model, OnPolicyAlgorithm):
        _check_rollout(model, n_envs, findings)
    elif isinstance(model, OffPolicyAlgorithm):
        _check_buffer(model, n_test_steps, findings)


def _check_rollout(model: OnPolicyAlgorithm, n_envs: int, findings: FindingList) -> None:
    batch_size, rollout = getattr(model, "batch_size", None), model.n_steps * n_envs
    if batch_size is None:
        return
    words = f"the rollout of {rollout} (n_steps {model.n_steps} x {n_envs} envs)"
    if batch_size > rollout:
        findings.error(
            "model",
            f"batch_size must be <= {words}, got {batch_size}: every batch would be the whole "
            "rollout; lower batch_size or raise n_steps",
        )
    elif rollout % batch_size:
        findings.warning(
            "model",
            f"batch_size {batch_size} does not divide {words}: the last batch of each epoch has "
            f"{rollout % batch_size} rows",
        )


def _check_buffer(model: OffPolicyAlgorithm, n_test_steps: int, findings: FindingList) -> None:
    if model.batch_size > model.buffer_size:
        findings.error(
            "model",
            f"batch_size must be <= buffer_size {model.buffer_size}, got {model.batch_size}: "
            "batches would repeat transitions",
        )
    if model.learning_starts > model.buffer_size:
        findings.warning(
            "model",
            f"learning starts at timestep {model.learning_starts}, when the buffer of "
            f"{model.buffer_size} has already lost the first transitions",
        )
    if model.learning_starts >= n_test_steps:
        findings.note(
            "model",
            f"learning starts at timestep {model.learning_starts}, after the {n_test_steps} of "
            "the test; the copy starts earlier",
        )


# -- training a copy ----------------------------------------------------------------------------


def shortened(model: BaseAlgorithm, n_envs: int, n_steps: int) -> dict[str, Any]:
    """Return the attributes with which a copy learns something within `n_steps` timesteps."""
    if isinstance(model, OnPolicyAlgorithm):
        rollouts = -(-n_steps // (model.n_steps * n_envs))
        # the advantages of one sample cannot be normalised; PPO takes no single sample at all
        several = hasattr(model, "batch_size") or getattr(model, "normalize_advantage", False)
        least = 2 if n_envs == 1 and several else 1
        return {"n_steps": max(least, -(-n_steps // (rollouts * n_envs)))}
    if isinstance(model, OffPolicyAlgorithm):
        given: Any = model.train_freq  # a TrainFreq once the model is set up
        often = max(1, n_steps // (4 * n_envs))
        by_steps = given.unit == TrainFrequencyUnit.STEP
        frequency = min(given.frequency, often) if by_steps else often
        return {
            "buffer_size": min(model.buffer_size, n_steps + n_envs),
            "learning_starts": min(model.learning_starts, n_steps // 2),
            "train_freq": TrainFreq(frequency, TrainFrequencyUnit.STEP),
        }
    return {}


def _train_copy(model: BaseAlgorithm, env: VecEnv, n_steps: int, findings: FindingList) -> None:
    started = time.perf_counter()
    twin: BaseAlgorithm | None = None
    try:
        twin = copy_model(model, env, **shortened(model, env.num_envs, n_steps))
        before = [value.detach().clone() for value in twin.policy.parameters()]
        twin.learn(n_steps)
    except TRAINING_ERRORS as error:
        logger.debug("the trial training failed", exc_info=True)
        findings.error(
            "model",
            f"a copy of the model cannot be trained in this env: {_first_line(twin, error)}",
        )
        return
    speed = twin.num_timesteps / (time.perf_counter() - started)
    finite = _check_finite(twin, f"after {twin.num_timesteps} timesteps a copy's", findings)
    pairs = zip(before, twin.policy.parameters(), strict=True)
    if finite and all(th.allclose(old, new, rtol=0, atol=UNCHANGED) for old, new in pairs):
        findings.warning(
            "model",
            f"{twin.num_timesteps} timesteps of training changed no parameter; is learning_rate 0?",
        )
    findings.note(
        "model",
        f"a copy was trained for {twin.num_timesteps} timesteps, at {speed:,.0f} per second",
    )


def _first_line(twin: BaseAlgorithm | None, error: Exception) -> str:
    """Return what stopped a training, in one line; of a diverged one, what is NaN in it."""
    try:
        if twin is not None:
            check_finite(twin, error)
    except TrialDivergedError as diverged:
        return str(diverged)
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
