"""A replay buffer between two chunks of data: closed, emptied, and filled before learning."""

from typing import Any

from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm


def close_last_episode(model: OffPolicyAlgorithm) -> None:
    """Mark the newest transition as cut by a time limit, as the env after it is another one.

    Buffers that find the next observation, or the next rewards, in the next row would otherwise
    read them from other data.
    """
    buffer: Any = model.replay_buffer
    if buffer is None or buffer.size() == 0:
        return
    newest = (buffer.pos - 1) % buffer.buffer_size
    if getattr(buffer, "handle_timeout_termination", False):
        # an episode that really ended stays one
        buffer.timeouts[newest] = (buffer.dones[newest] == 0) | (buffer.timeouts[newest] > 0)
    buffer.dones[newest] = 1


def empty_buffer(model: OffPolicyAlgorithm) -> None:
    """Remove every transition."""
    if model.replay_buffer is not None:
        model.replay_buffer.reset()


def learning_starts_after_fill(model: OffPolicyAlgorithm) -> int:
    """Return the `learning_starts` with which learning begins on a filled buffer again.

    SB3 compares it with all timesteps so far, so a model with an empty buffer (flushed, or just
    loaded) would learn from a single transition.
    """
    buffer = model.replay_buffer
    held = 0 if buffer is None else buffer.size() * model.n_envs
    lacking = max(0, model.learning_starts - held)
    return (
        model.num_timesteps + lacking if lacking and model.num_timesteps else model.learning_starts
    )
