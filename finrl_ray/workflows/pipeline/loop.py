"""Training inside a folder: one learning loop whose exact state is kept, so that it can go on."""

import inspect
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, EventCallback

from finrl_ray.agents.callbacks.callback_state import (
    capture_callback_state,
    restore_callback_state,
)
from finrl_ray.agents.sb3_internals import has_started
from finrl_ray.agents.state.training_state import (
    capture_state,
    learn_from,
    load_state,
    restore_state,
    save_state,
)
from finrl_ray.training.divergence import check_finite
from finrl_ray.workflows.pipeline.experiment_folder import CHECKPOINTS_FOLDER

logger = logging.getLogger(__name__)

STATE_FILE = "state.pt"
STATE_INTERVAL_S = 30.0
"""Least time between two exact states, which bounds what an interruption costs."""
MAX_STATE_SHARE = 0.1
"""Most of the time that may go into writing states: large replay buffers are written less often."""


@dataclass(frozen=True, kw_only=True)
class TrainingEnd:
    """How training ended.

    Parameters
    ----------
    timesteps : trained in all
    stop_reason : empty if the whole budget was used
    duration_s : of this start, seconds
    """

    timesteps: int
    stop_reason: str
    duration_s: float


def state_path(folder: Path) -> Path:
    """Return where the exact state of a run is kept."""
    return folder / CHECKPOINTS_FOLDER / STATE_FILE


def train_in_folder(
    model: BaseAlgorithm,
    folder: Path,
    total_timesteps: int,
    callbacks: Sequence[BaseCallback],
    *,
    tb_log_name: str,
    threads: int = 1,
    resume: bool = False,
) -> TrainingEnd:
    """Train to the end of the budget, keeping the exact state of model, env and callbacks.

    The state is written at safe points, `STATE_INTERVAL_S` apart at least. A run that goes on from
    it ends like one that was never interrupted, bit for bit; without a state it starts over. A disk
    that is full is logged, and the state before stays.

    Parameters
    ----------
    model : freshly built, with its env
    folder : of the run
    total_timesteps : counted from the true start
    callbacks : freshly built, in the same order each time
    tb_log_name : name of the run in TensorBoard
    threads : that torch uses meanwhile; more than one is slower on networks of this size, many
        times so on a busy machine, and gives other last digits
    resume : go on from the folder's state, if there is one

    Raises
    ------
    TrialDivergedError
        When a parameter of the networks is NaN or infinite.
    KeyboardInterrupt
        As it comes; the last state stays in the folder.
    """
    saver = _StateSaver(folder, CallbackList(list(callbacks)))
    resumed = resume and saver.restore(model)
    started = time.monotonic()
    try:
        with _torch_threads(threads):
            completed = learn_from(
                model,
                total_timesteps,
                saver.callbacks,
                saver.at_safe_point,
                resumed=resumed,
                log_interval=inspect.signature(model.learn).parameters["log_interval"].default,
                tb_log_name=tb_log_name,
            )
    except ValueError as error:
        # what SB3 and the env say of NaN is a page of numbers; say which parameter it is instead
        check_finite(model, error)
        raise
    check_finite(model)
    reason = "" if completed else stop_reason(callbacks)
    return TrainingEnd(
        timesteps=model.num_timesteps,
        stop_reason=reason,
        duration_s=time.monotonic() - started,
    )


def stop_reason(callbacks: Sequence[BaseCallback]) -> str:
    """Return which callback ended training before its budget, in words."""
    for callback in _with_children(callbacks):
        reason = getattr(callback, "stop_reason", "")
        if reason:
            return str(reason)
    return "a callback ended training"


def _with_children(callbacks: Sequence[BaseCallback]) -> list[BaseCallback]:
    found: list[BaseCallback] = []
    for callback in callbacks:
        found.append(callback)
        if isinstance(callback, CallbackList):
            found += _with_children(callback.callbacks)
        elif isinstance(callback, EventCallback) and callback.callback is not None:
            found += _with_children([callback.callback])
    return found


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    before = th.get_num_threads()
    th.set_num_threads(threads)
    try:
        yield
    finally:
        th.set_num_threads(before)


class _StateSaver:
    """Writes and reads the exact state of one run."""

    def __init__(self, folder: Path, callbacks: CallbackList) -> None:
        self.path = state_path(folder)
        self.callbacks = callbacks
        self._due_at = time.monotonic() + STATE_INTERVAL_S

    def restore(self, model: BaseAlgorithm) -> bool:
        if not self.path.is_file():
            logger.info("no state to go on from; training starts over")
            return False
        state = load_state(self.path)
        restore_callback_state(self.callbacks, state["callbacks"])
        restore_state(model, state["model"])
        logger.info("going on from %d timesteps", model.num_timesteps)
        return True

    def at_safe_point(self, model: BaseAlgorithm) -> bool:
        check_finite(model)
        started = time.monotonic()
        if has_started(model) and started >= self._due_at:
            self._save(model)
            ended = time.monotonic()
            self._due_at = ended + max(STATE_INTERVAL_S, (ended - started) / MAX_STATE_SHARE)
        return True

    def _save(self, model: BaseAlgorithm) -> None:
        state = {
            "model": capture_state(model),
            "callbacks": capture_callback_state(self.callbacks),
        }
        try:
            save_state(state, self.path)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            logger.warning(
                "the state of %d timesteps could not be written: %s; training goes on, an "
                "interrupted run would go on from the state before",
                model.num_timesteps,
                error,
            )
