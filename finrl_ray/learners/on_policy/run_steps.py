"""Steps of a rollout of PPO and A2C as one compiled call: act, trade, normalise, store."""

from typing import Any, NamedTuple

from finrl_ray._typing import Float32Array, IntArray
from finrl_ray.env.compiled import step
from finrl_ray.env.compiled.step import Stepping, take_step
from finrl_ray.env.kernel.arrays import Books
from finrl_ray.env.kernel.compile import cached_njit, digest_of, njit
from finrl_ray.learners import running_normalization, vec_normalize
from finrl_ray.learners.on_policy import (
    kernels,
    per_ticker_rows,
    planned_networks,
    small_batches,
)
from finrl_ray.learners.on_policy.kernels import advantages_of, sample_actions
from finrl_ray.learners.on_policy.planned_networks import Planned, forward
from finrl_ray.learners.on_policy.small_batches import act_on_rows, judge_rows
from finrl_ray.learners.products import network, tiles, vector_code, vectors
from finrl_ray.learners.running_normalization import copy_rows, normalize_step

TAKEN, BAD_POLICY, REFUSED = 0, 1, 2
"""How a run ended: with a step, before one that the policy has no numbers for, or that the env
refused."""


class Policy(NamedTuple):
    """What actions are chosen with; see `act_on_rows` and `Planned`."""

    values: Float32Array
    places: tuple[IntArray, IntArray]
    is_tanh: bool
    log_std: Float32Array
    work: Float32Array
    mean: Float32Array
    planned: Any
    """The fields of Planned, its weights packed."""
    one_by_one: bool
    """Few accounts act one after the other, more of them by products of matrices."""


class Rollout(NamedTuple):
    """The arrays of SB3's rollout buffer that steps are written into, T steps of E accounts."""

    observations: Float32Array
    actions: Float32Array
    rewards: Float32Array
    values: Float32Array
    """(T, E, 1)"""
    log_probs: Float32Array
    episode_starts: Float32Array


class Present(NamedTuple):
    """Where E accounts stand between two steps, and memory for one."""

    seen: Float32Array
    """(E, S), what the policy sees."""
    starts: Float32Array
    """(E,), 1 where an episode begins."""
    clipped: Float32Array
    """(E, N), the actions that the env was given last."""
    raw: Float32Array
    """(E, S), observations as the env gave them last."""
    rewards: Float32Array
    """(E,)"""
    low: Float32Array
    """(N,), bounds of actions."""
    high: Float32Array


@njit
def _act(k: int, policy: Any, noise: Float32Array, now: Any, rollout: Any) -> bool:
    """Choose the actions of step k, and store all that is known before it is taken."""
    n_envs = now.seen.shape[0]
    copy_rows(now.seen, rollout.observations[k])
    for e in range(n_envs):
        rollout.episode_starts[k, e] = now.starts[e]
    actions, log_probs, values = rollout.actions[k], rollout.log_probs[k], rollout.values[k]
    if policy.one_by_one:
        fine = act_on_rows(
            policy.values,
            policy.places,
            policy.is_tanh,
            now.seen,
            policy.work,
            policy.log_std,
            noise,
            policy.mean,
            (actions, log_probs, values),
        )
    else:
        forward(Planned(*policy.planned), policy.values, now.seen, policy.mean, values)
        fine = sample_actions(policy.mean, policy.log_std, noise, actions, log_probs)
    for e in range(n_envs):
        for j in range(actions.shape[1]):
            # in this order a NaN stays one
            action = actions[e, j]
            action = now.low[j] if action < now.low[j] else action
            now.clipped[e, j] = now.high[j] if action > now.high[j] else action
    return bool(fine)


@njit
def _any_finished(records: Any) -> bool:
    finished = False
    for e in range(records.shape[0]):
        finished |= records[e].finished
    return bool(finished)


def _act_and_store(digest: int) -> Any:
    """Return `act_and_store`, kept on disk as `run_steps` is."""

    @cached_njit
    def act_and_store(k: int, policy: Any, noise: Float32Array, now: Any, rollout: Any) -> bool:
        """Choose the actions of step k, for envs that Python steps; see `run_steps`.

        Parameters
        ----------
        noise : array of shape (E, A), standard normal

        Returns
        -------
        bool
            Whether all means are numbers and all deviations are above 0.
        """
        _ = digest
        return _act(k, Policy(*policy), noise, Present(*now), Rollout(*rollout))

    return act_and_store


def _finish_rollout(digest: int) -> Any:
    """Return `finish_rollout`, kept on disk as `run_steps` is."""

    @cached_njit
    def finish_rollout(
        policy: Any,
        seen: Float32Array,
        last_values: Float32Array,
        stored: tuple[Float32Array, Float32Array, Float32Array],
        last_dones: Float32Array,
        gamma: Any,
        gamma_lambda: Any,
        filled: tuple[Float32Array, Float32Array],
    ) -> None:
        """Fill the advantages and returns of a rollout, and the values of what is seen after it.

        Parameters
        ----------
        seen : array of shape (E, S)
        last_values : array of shape (E, 1), filled
        stored : rewards, values and starts of episodes, (T, E)
        last_dones, gamma, gamma_lambda : see `advantages_of`
        filled : advantages and returns, (T, E)
        """
        _ = digest
        agent = Policy(*policy)
        if agent.one_by_one:
            judge_rows(agent.values, agent.places[1], agent.is_tanh, seen, agent.work, last_values)
        else:
            forward(Planned(*agent.planned), agent.values, seen, agent.mean, last_values)
        rewards, values, starts = stored
        advantages, returns = filled
        following = last_values.reshape(last_values.shape[0])
        advantages_of(
            rewards, values, starts, following, last_dones, gamma, gamma_lambda, advantages
        )
        for t in range(values.shape[0]):
            for e in range(values.shape[1]):
                returns[t, e] = advantages[t, e] + values[t, e]

    return finish_rollout


def _run_steps(digest: int) -> Any:
    """Return `run_steps`, kept on disk until this file or those behind `digest` change."""

    @cached_njit
    def run_steps(
        first: int,
        stop: int,
        whole: bool,
        policy: Any,
        noise: Float32Array,
        now: Any,
        rollout: Any,
        normalizing: Any,
        stepping: Any,
    ) -> tuple[int, int, int]:
        """Take the steps first..stop-1 of a rollout, fewer where an episode ends.

        Of the last step taken it is left to Python to ask the env for what came of it, and to
        store the rewards.

        Parameters
        ----------
        first, stop : steps of the rollout
        whole : the last step, too, is taken to its end where it ends no episode; `stop` is then
            returned in its place
        policy, now, rollout, normalizing, stepping : the fields of Policy, Present, Rollout,
            Normalizing and Stepping, plain tuples
        noise : array of shape (stop - first or more, E, A), standard normal

        Returns
        -------
        tuple
            The last step; TAKEN, BAD_POLICY or REFUSED, of that step; and what the env said.
        """
        _ = digest  # so that it is a free variable, whose value Numba compares
        agent, here, buffer = Policy(*policy), Present(*now), Rollout(*rollout)
        records = Books(*Stepping(*stepping).books).records
        for k in range(first, stop):
            if not _act(k, agent, noise[k - first], here, buffer):
                return k, BAD_POLICY, 0
            status = take_step(here.clipped, here.raw, stepping)
            if status != 0:
                return k, REFUSED, status
            if (k == stop - 1 and not whole) or _any_finished(records):
                return k, TAKEN, 0
            for e in range(records.shape[0]):
                here.rewards[e] = records[e].reward
            normalize_step(here.raw, here.rewards, normalizing, here.seen)
            for e in range(records.shape[0]):
                buffer.rewards[k, e] = here.rewards[e]
                here.starts[e] = 0.0
        return stop, TAKEN, 0

    return run_steps


_PARTS = (
    *(kernels, per_ticker_rows, planned_networks, small_batches),
    *(network, tiles, vector_code, vectors, running_normalization, vec_normalize),
)
FILES = (*step.FILES, *(str(part.__file__) for part in _PARTS))
"""The files of which compiled code is part of `run_steps`."""
run_steps = _run_steps(digest_of(*FILES))
_ACTING = digest_of(*(str(part.__file__) for part in _PARTS), __file__)
act_and_store = _act_and_store(_ACTING)
finish_rollout = _finish_rollout(_ACTING)
