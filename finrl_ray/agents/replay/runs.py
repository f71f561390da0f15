"""Steps of a rollout put into a `MarketReplayBuffer` by one compiled call, or few."""

from typing import Any

import numpy as np

from finrl_ray._typing import AnyArray, Float32Array
from finrl_ray.agents.replay.kernel import as_bits, place_run
from finrl_ray.machine.compiled_entry import EntryCalls

_calls = EntryCalls()


def keep_run(
    buffer: Any,
    observations: Float32Array,
    next_observations: Float32Array,
    actions: AnyArray,
    rewards: Float32Array,
) -> None:
    """Keep steps in which no episode ends, as the buffer's `add` keeps them one by one.

    Parameters
    ----------
    buffer : a `MarketReplayBuffer`
    observations, next_observations : arrays of shape (K, E, S)
    actions : array of shape (K, E, A)
    rewards : array of shape (K, E)
    """
    seen, after = as_bits(observations), as_bits(next_observations)
    replaced = np.empty((buffer.n_envs, 2), dtype=np.int32)
    odd = np.empty(buffer.n_envs, dtype=np.int64)
    place = _calls.for_arrays(place_run, (seen, after, actions, rewards, buffer.actions))
    first = 0
    while first < len(rewards):
        kept, more = place(
            place_run,
            seen[first:],
            after[first:],
            (actions[first:], rewards[first:]),
            buffer.size() > 0,
            buffer.pos,
            buffer._pending,
            buffer.market.bits,
            buffer._whole.rows,
            buffer._ring,
            (buffer.actions, buffer.rewards, buffer.dones, buffer.timeouts),
            replaced,
            odd,
        )
        buffer._advance(kept)
        first += kept
        if more:
            for account in np.flatnonzero(odd).tolist():
                bits = int(odd[account])
                buffer._place(account, bits, replaced[account], seen[first], after[first])
            buffer._advance(1)
            first += 1
