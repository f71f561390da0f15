"""Steps of a rollout of SAC, TD3 and DDPG as one compiled call: act, trade, normalise."""

from typing import Any, NamedTuple

import numpy as np

from finrl_ray._typing import Float32Array
from finrl_ray.env.compiled import step
from finrl_ray.env.compiled.address import call_for_number
from finrl_ray.env.compiled.step import Stepping, take_step
from finrl_ray.env.kernel.arrays import Books
from finrl_ray.env.kernel.compile import cached_njit, digest_of, njit
from finrl_ray.learners import running_normalization, vec_normalize
from finrl_ray.learners.running_normalization import copy_rows, normalize_step

TAKEN, BAD_POLICY, REFUSED = 0, 1, 2
"""How a run ended: with a step, at one that the policy has no numbers for, or that the env
refused."""

_HALF, _ONE, _TWO = np.float32(0.5), np.float32(1), np.float32(2)


class Acting(NamedTuple):
    """What E actions are chosen with."""

    act_at: int
    """The address of what fills the actions from `seen` and `normal`; it returns 0 for NaN."""
    arguments: Any
    """Its arguments, a tuple."""
    seen: Float32Array
    """(E, S), what the policy sees."""
    normal: Float32Array
    """(E, A), standard normal numbers; (0, 0) for a policy that takes none."""
    chosen: Float32Array
    """(E, A), as the env takes them."""


class Run(NamedTuple):
    """What K or more steps begin with, and what comes of them."""

    normal: Float32Array
    """(K, E, A), standard normal numbers of a policy that takes them."""
    sampled: Float32Array
    """(K, E, A), actions that are taken instead of the policy's."""
    added: Float32Array
    """(K, E, A), noise that is added to actions within -1..1."""
    observations: Float32Array
    """(K + 1, E, S), as the env gives them; the first is given."""
    scaled: Float32Array
    """(K, E, A), actions within -1..1, filled."""
    rewards: Float32Array
    """(K, E), as the env pays them; filled but for the last step."""
    actions: Float32Array
    """(E, A), as the env was given them last."""
    paid: Float32Array
    """(E,), normalised."""
    low: Float32Array
    """(A,), bounds of actions."""
    high: Float32Array


@njit
def _choose(k: int, is_sampled: bool, is_noisy: bool, acting: Any, run: Any) -> bool:
    """Choose the actions of step k as `_sample_action` does; False where one is NaN."""
    fine = True
    if is_sampled:
        copy_rows(run.sampled[k], acting.chosen)
    else:
        if acting.normal.shape[0] > 0:
            copy_rows(run.normal[k], acting.normal)
        fine = call_for_number(acting.act_at, acting.arguments) != 0
    scaled, low, high = run.scaled[k], run.low, run.high
    for e in range(scaled.shape[0]):
        for j in range(scaled.shape[1]):
            # to -1..1 and back, as SB3 does it, because both round
            value = _TWO * ((acting.chosen[e, j] - low[j]) / (high[j] - low[j])) - _ONE
            if is_noisy:
                value += run.added[k, e, j]
                # in this order a NaN stays one
                value = -_ONE if value < -_ONE else value
                value = _ONE if value > _ONE else value
            scaled[e, j] = value
            run.actions[e, j] = low[j] + _HALF * (value + _ONE) * (high[j] - low[j])
    return fine


def _run_steps(digest: int) -> Any:
    """Return `run_steps`, kept on disk until this file or those behind `digest` change."""

    @cached_njit
    def run_steps(
        n_steps: int,
        is_sampled: bool,
        is_noisy: bool,
        acting: Any,
        run: Any,
        normalizing: Any,
        stepping: Any,
    ) -> tuple[int, int, int]:
        """Take steps, fewer where an episode ends.

        Of the last step taken it is left to Python to ask the env for what came of it.

        Parameters
        ----------
        n_steps : at most K
        is_sampled : actions are `sampled`, not the policy's
        is_noisy : noise is added
        acting, run, normalizing, stepping : the fields of Acting, Run, Normalizing and Stepping,
            plain tuples

        Returns
        -------
        tuple
            The last step; TAKEN, BAD_POLICY or REFUSED, of that step; and what the env said.
        """
        _ = digest  # so that it is a free variable, whose value Numba compares
        actor, steps = Acting(*acting), Run(*run)
        records = Books(*Stepping(*stepping).books).records
        for k in range(n_steps):
            if not _choose(k, is_sampled, is_noisy, actor, steps) and actor.normal.shape[0] > 0:
                return k, BAD_POLICY, 0
            following = steps.observations[k + 1]
            status = take_step(steps.actions, following, stepping)
            if status != 0:
                return k, REFUSED, status
            over = k == n_steps - 1
            for e in range(records.shape[0]):
                over |= records[e].finished
            if over:
                return k, TAKEN, 0
            for e in range(records.shape[0]):
                steps.paid[e] = records[e].reward
                steps.rewards[k, e] = steps.paid[e]
            normalize_step(following, steps.paid, normalizing, actor.seen)
        return n_steps, TAKEN, 0

    return run_steps


_PARTS = running_normalization, vec_normalize
FILES = (*step.FILES, *(str(part.__file__) for part in _PARTS))
"""The files of which compiled code is part of `run_steps`."""
run_steps = _run_steps(digest_of(*FILES))
