"""The state of SB3 callbacks (counters, best values) as plain values, so that a resume keeps it."""

from collections.abc import Iterator
from typing import Any, TypeVar

from stable_baselines3.common.callbacks import BaseCallback, CallbackList, EventCallback

Kind = TypeVar("Kind", bound=BaseCallback)

# set anew when training starts, or by the constructor
TRANSIENT = ("verbose", "num_timesteps")


def capture_callback_state(callback: BaseCallback) -> dict[str, Any]:
    """Return what a callback, and the callbacks inside it, have counted so far.

    A callback with `get_state()` and `set_state(state)` is asked; of any other, every attribute
    that is a number, a text or None is taken, which covers SB3's own.
    """
    if hasattr(callback, "get_state"):
        return {"own": callback.get_state()}
    scalars = {
        name: value
        for name, value in vars(callback).items()
        if isinstance(value, int | float | str | None) and name not in TRANSIENT
    }
    return {
        "scalars": scalars,
        "children": [capture_callback_state(c) for c in children(callback)],
    }


def restore_callback_state(callback: BaseCallback, state: dict[str, Any]) -> None:
    """Undo `capture_callback_state` on a callback built in the same way."""
    if "own" in state:
        callback.set_state(state["own"])  # type: ignore[attr-defined]  # see capture_callback_state
        return
    for name, value in state["scalars"].items():
        setattr(callback, name, value)
    for child, child_state in zip(children(callback), state["children"], strict=True):
        restore_callback_state(child, child_state)


def children(callback: BaseCallback) -> list[BaseCallback]:
    """Return the callbacks directly inside a callback."""
    if isinstance(callback, CallbackList):
        return list(callback.callbacks)
    inner = [getattr(callback, "callback_on_new_best", None)]
    if isinstance(callback, EventCallback):
        inner.append(callback.callback)
    return [child for child in inner if isinstance(child, BaseCallback)]


def find_callbacks(callback: BaseCallback, kind: type[Kind]) -> Iterator[Kind]:
    """Yield a callback and those inside it, at any depth, that are of one class."""
    if isinstance(callback, kind):
        yield callback
    for child in children(callback):
        yield from find_callbacks(child, kind)
