"""Picklable schedules for learning rates and clip ranges, and their text forms."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from finrl_ray.errors import ConfigError

Schedule: TypeAlias = Callable[[float], float]
"""Takes the remaining progress, from 1.0 at the start to 0.0 at the end, and returns a value."""


@dataclass(frozen=True, slots=True)
class ConstantSchedule:
    """The same value throughout training."""

    value: float

    def __call__(self, progress_remaining: float) -> float:
        """Return the value at this progress."""
        return self.value


@dataclass(frozen=True, slots=True)
class LinearSchedule:
    """A straight line from `initial_value` at the start to 0 at the end of training."""

    initial_value: float

    def __call__(self, progress_remaining: float) -> float:
        """Return the value at this progress."""
        # the last rollout may overshoot the total, where progress is below 0
        return max(progress_remaining, 0.0) * self.initial_value


def parse_schedule(value: float | str | Schedule) -> float | Schedule:
    """Return what SB3 accepts as a learning rate or clip range.

    Parameters
    ----------
    value : a number, a callable, or text
        Text is a number (`"3e-4"`) or, as in rl-zoo's files, `lin_` and a number (`"lin_3e-4"`):
        linear from that number to 0.

    Raises
    ------
    ConfigError
        If text is neither form, or the number is negative or not finite.
    """
    if callable(value):
        return value
    text = str(value)
    linear = text.startswith("lin_")
    try:
        number = float(text.removeprefix("lin_"))
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise ConfigError(
            "a schedule must be a number >= 0, such as 3e-4, or 'lin_' and a number, such as "
            f"'lin_3e-4', got {value!r}"
        )
    return LinearSchedule(number) if linear else number
