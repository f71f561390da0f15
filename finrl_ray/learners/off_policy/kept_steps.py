"""Several steps put into a replay buffer at once."""

from typing import Any

import numpy as np
from stable_baselines3.common.buffers import ReplayBuffer

from finrl_ray._typing import Float32Array


def reason_against_buffer(buffer: ReplayBuffer) -> str:
    """Return why steps cannot be put into a replay buffer several at once, or an empty text.

    SB3's own can, and one with `keep_run`, which says by `keeps_runs` that it can.
    """
    if type(buffer) is not ReplayBuffer:
        several = getattr(buffer, "keeps_runs", False)
        return "" if several else f"the replay buffer is a {type(buffer).__name__}"
    if buffer.optimize_memory_usage:
        return "the replay buffer keeps no next observations (optimize_memory_usage)"
    kinds = {buffer.observations.dtype, buffer.actions.dtype}
    return "" if kinds == {np.dtype(np.float32)} else "the replay buffer holds other than float32"


def keep_steps(
    buffer: ReplayBuffer,
    seen: Float32Array,
    after: Float32Array,
    actions: Float32Array,
    rewards: Float32Array,
) -> None:
    """Put steps in which no episode ends into a buffer, as its `add` does one by one.

    Parameters
    ----------
    buffer : for which there is no `reason_against_buffer`
    seen, after : arrays of shape (K, E, S)
    actions : array of shape (K, E, A)
    rewards : array of shape (K, E)
    """
    if type(buffer) is not ReplayBuffer:
        several: Any = buffer
        several.keep_run(seen, after, actions, rewards)
        return
    n_left, first = len(rewards), 0
    while n_left:
        pos, n = buffer.pos, min(n_left, buffer.buffer_size - buffer.pos)
        stop = first + n
        buffer.observations[pos : pos + n] = seen[first:stop]
        buffer.next_observations[pos : pos + n] = after[first:stop]
        buffer.actions[pos : pos + n] = actions[first:stop]
        buffer.rewards[pos : pos + n] = rewards[first:stop]
        buffer.dones[pos : pos + n] = 0.0
        if buffer.handle_timeout_termination:
            buffer.timeouts[pos : pos + n] = 0.0
        buffer.pos = (pos + n) % buffer.buffer_size
        buffer.full = buffer.full or buffer.pos == 0
        n_left, first = n_left - n, stop
