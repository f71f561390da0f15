"""Steps of a deterministic policy in accounts, one after the other without Python between them."""

import functools
from typing import Any

import numpy as np

from finrl_ray._typing import Float32Array, FloatArray
from finrl_ray.env.compiled import step
from finrl_ray.env.compiled.address import address_of, call_for_number
from finrl_ray.env.compiled.step import Stepping, take_step
from finrl_ray.env.kernel.arrays import Books
from finrl_ray.env.kernel.compile import cached_njit, digest_of
from finrl_ray.learners import vec_normalize
from finrl_ray.learners.forward.kernel import act
from finrl_ray.learners.vec_normalize import normalize_rows

NO_NUMBER = -(2**62)
"""What `run_steps` says where an action is NaN."""


@functools.cache
def act_address() -> int:
    """Return the address of `act` in this process, for `run_steps`."""
    flat, table = np.empty(2, dtype=np.int64), np.empty((1, 5), dtype=np.int64)
    numbers: Float32Array = np.empty((1, 1), dtype=np.float32)
    return address_of(act, (flat, table, 0, numbers, 0, *[numbers] * 4))


def _run_steps(digest: int) -> Any:
    """Return `run_steps`, kept on disk until this file or those behind `digest` change."""

    @cached_njit
    def run_steps(
        act_at: int,
        before: Any,
        after: Any,
        normalized: bool,
        mean: FloatArray,
        var: FloatArray,
        epsilon: float,
        limit: float,
        seen: Float32Array,
        observations: Float32Array,
        actions: Float32Array,
        stepping: Any,
        rewards: FloatArray,
    ) -> tuple[int, int]:
        """Act and step until an episode ends or there is no room for more observations.

        Parameters
        ----------
        act_at : the address of `act`
        before, after : from `PolicyForward.arguments`
        normalized : whether the policy sees observations under the statistics that follow
        mean, var, epsilon, limit : see `normalize_rows`
        seen : array of shape (E, S)
            Work space.
        observations : array of shape (T + 1, E, S)
            What is seen first, and room for what is seen after each step.
        actions : array of shape (E, N)
            Filled with the last ones.
        stepping : see `take_step`
        rewards : array of shape (E,)
            Rewards are added to it, each rounded to float32 as vec envs give them.

        Returns
        -------
        steps : int
            Those that were taken.
        status : int
            0; or what `take_step` says of an error; or `NO_NUMBER`.
        """
        _ = digest  # so that it is a free variable, whose value Numba compares
        records = Books(*Stepping(*stepping).books).records
        for t in range(observations.shape[0] - 1):
            if normalized:
                normalize_rows(observations[t], mean, var, epsilon, limit, seen)
            else:
                seen[:] = observations[t]
            if call_for_number(act_at, (*before, seen, *after, actions)) == 0:
                return t, NO_NUMBER
            status = take_step(actions, observations[t + 1], stepping)
            if status != 0:
                return t, status
            over = False
            for e in range(rewards.shape[0]):
                rewards[e] += np.float64(np.float32(records[e].reward))
                over |= records[e].finished
            if over:
                return t + 1, 0
        return observations.shape[0] - 1, 0

    return run_steps


FILES = (*step.FILES, vec_normalize.__file__)
run_steps = _run_steps(digest_of(*FILES))
