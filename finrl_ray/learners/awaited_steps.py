"""Which steps of a rollout callbacks have to see, so that the others can be left to compiled code.

A callback says so by a method `next_needed_timestep(num_timesteps)`: the number of timesteps at
which it must be called next, or None where it needs no step of its own. Beside those that it asks
for it is called at every step that ends an episode, at the last step of every rollout, and where
another callback asks for a step. SB3's own callbacks are known here. A callback that says nothing
looks at every step.
"""

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
from stable_baselines3.common import callbacks as sb3
from stable_baselines3.common.callbacks import BaseCallback, CallbackList

METHOD = "next_needed_timestep"
_ACTS = ("_on_step", "on_step")
_AT_ROLLOUTS = (
    *("on_rollout_start", "_on_rollout_start", "on_rollout_end", "_on_rollout_end"),
    "update_locals",
)
Need: TypeAlias = Callable[[Any, int, int], int | None]


def _never(callback: Any, now: int, n_envs: int) -> int | None:
    del callback, now, n_envs
    return None


def _next_call(every: int, callback: BaseCallback, now: int, n_envs: int) -> int | None:
    """Return the timesteps at which the number of calls is next a multiple of `every`."""
    return now + (every - callback.n_calls % every) * n_envs


def _of_evaluation(callback: sb3.EvalCallback, now: int, n_envs: int) -> int | None:
    return _next_call(callback.eval_freq, callback, now, n_envs) if callback.eval_freq > 0 else None


def _of_checkpoint(callback: sb3.CheckpointCallback, now: int, n_envs: int) -> int | None:
    return _next_call(callback.save_freq, callback, now, n_envs)


def _of_interval(callback: sb3.EveryNTimesteps, now: int, n_envs: int) -> int | None:
    del now, n_envs
    return callback.last_time_trigger + callback.n_steps


def _of_episodes(callback: sb3.StopTrainingOnMaxEpisodes, now: int, n_envs: int) -> int | None:
    return now + 1 if callback.n_episodes >= callback.max_episodes * n_envs else None


_KNOWN: dict[type[BaseCallback], Need] = {
    CallbackList: _never,
    sb3.EventCallback: _never,
    sb3.ProgressBarCallback: _never,
    sb3.EvalCallback: _of_evaluation,
    sb3.CheckpointCallback: _of_checkpoint,
    sb3.EveryNTimesteps: _of_interval,
    sb3.StopTrainingOnMaxEpisodes: _of_episodes,
}
"""SB3's own, by the class whose `_on_step` it is; a CallbackList asks for what is in it."""


def _need_of(callback: BaseCallback) -> Need | None:
    """Return how a callback says when it needs a step; None if it does not."""
    if any(name in vars(callback) for name in _ACTS):
        return None
    if type(callback) is sb3.ConvertCallback and callback.callback is None:
        return _never  # what SB3 makes of no callback at all
    return _need_of_kind(type(callback))


@functools.cache
def _need_of_kind(kind: type[BaseCallback]) -> Need | None:
    for one in kind.__mro__:
        if METHOD in vars(one):
            return _declared
        if any(name in vars(one) for name in _ACTS):
            # a subclass that acts in another way than its base class may need other steps
            return _KNOWN.get(one)
    return None


def _declared(callback: Any, now: int, n_envs: int) -> int | None:
    del n_envs
    needed: Any = callback.next_needed_timestep(now)
    if needed is None:
        return None
    if isinstance(needed, bool) or not isinstance(needed, int | np.integer):
        raise TypeError(
            f"{type(callback).__name__}.{METHOD} must return a whole number of timesteps, counted "
            f"from the start of training, or None, got {needed!r}"
        )
    return int(needed)


def _each(callback: BaseCallback) -> list[BaseCallback]:
    """Return a callback and those that are called with it, at every step."""
    if not isinstance(callback, CallbackList):
        return [callback]
    return [callback, *(one for inner in callback.callbacks for one in _each(inner))]


def watching_every_step(callback: BaseCallback) -> BaseCallback | None:
    """Return the first callback that looks at every step, of one and those in its lists."""
    return next((one for one in _each(callback) if _need_of(one) is None), None)


def next_needed_timestep(callback: BaseCallback, num_timesteps: int, n_envs: int) -> int | None:
    """Return the timesteps at which a callback must be called next; None: at no step of its own.

    Parameters
    ----------
    callback : one for which `watching_every_step` is None
    num_timesteps : of the training so far
    n_envs : E
    """
    needs: list[int] = []
    for one in _each(callback):
        need = _need_of(one)
        needed = num_timesteps + 1 if need is None else need(one, num_timesteps, n_envs)
        if needed is not None:
            needs.append(needed)
    return min(needs, default=None)


def sees_rollouts(callback: BaseCallback) -> bool:
    """Return whether rollouts must be shown to a callback in which it needs no step of its own.

    Only SB3's own callbacks are known to do nothing at their ends.
    """
    return any(
        any(getattr(type(one), name) is not getattr(BaseCallback, name) for name in _AT_ROLLOUTS)
        or any(name in vars(one) for name in _AT_ROLLOUTS)
        or _need_of(one) in (None, _declared)
        for one in _each(callback)
        if type(one) is not CallbackList
    )


def pass_over(callback: BaseCallback, n_steps: int, num_timesteps: int, n_envs: int) -> None:
    """Count steps that a callback was not called for; its `passed_over(n_steps)` is told of them.

    Parameters
    ----------
    callback : one for which `watching_every_step` is None
    n_steps : steps of the env
    num_timesteps : after them
    n_envs : E
    """
    for one in _each(callback):
        one.n_calls += n_steps
        one.num_timesteps = num_timesteps
        if isinstance(one, sb3.ProgressBarCallback):
            one.pbar.update(n_steps * n_envs)
        if hasattr(one, "passed_over"):
            one.passed_over(n_steps)


class AwaitedSteps:
    """Which steps of a rollout that Python takes its callbacks see.

    Parameters
    ----------
    callback : of the training; one that looks at every step sees every step
    num_timesteps : so far
    n_envs : E
    """

    def __init__(self, callback: BaseCallback, num_timesteps: int, n_envs: int) -> None:
        self._callback, self._n_envs = callback, n_envs
        self._sees_all = watching_every_step(callback) is not None
        self._left_out = 0
        self._needed: float = -math.inf
        self.look_again(num_timesteps)

    def must_see(self, num_timesteps: int, asked: Any) -> bool:
        """Return whether callbacks have to see a step, and tell them of those left out before.

        Parameters
        ----------
        num_timesteps : after the step
        asked : whether all callbacks see it, as one that ends an episode, or the last of a rollout
        """
        if not asked and num_timesteps < self._needed:
            self._left_out += 1
            return False
        self._tell(num_timesteps - self._n_envs)
        return True

    @contextmanager
    def told_if_cut(self, counted: Callable[[], int]) -> Iterator[None]:
        """Tell callbacks of the steps left out also where an exception or Ctrl-C ends the rollout.

        Parameters
        ----------
        counted : returns the timesteps so far
        """
        try:
            yield
        except BaseException:
            self._tell(counted())
            raise

    def _tell(self, num_timesteps: int) -> None:
        if self._left_out:
            left_out, self._left_out = self._left_out, 0
            pass_over(self._callback, left_out, num_timesteps, self._n_envs)

    def look_again(self, num_timesteps: int) -> None:
        """Ask which step is needed next, after callbacks have seen one."""
        if not self._sees_all:
            needed = next_needed_timestep(self._callback, num_timesteps, self._n_envs)
            self._needed = math.inf if needed is None else needed
