"""Comparisons of numbers that must be equal bit for bit, which say how far apart they are.

A difference of one unit in the last place is another order of summation, and where it comes from
depends on the processor: both belong into the message of a test that fails on a machine that its
reader does not have.
"""

from typing import Any

import numpy as np
import torch as th

from finrl_ray.machine.processor import processor_facts

CLOCKS = ("['t']", "episode_times")
"""Places of clock readings, which no two runs share."""
MOST = 12
"""Differences that a message lists."""


def leaves(value: Any, name: str = "") -> dict[str, Any]:
    """Return the arrays and scalars in nested dicts and lists by their place."""
    if isinstance(value, dict):
        parts = {f"{name}[{key!r}]": item for key, item in value.items()}
    elif isinstance(value, list | tuple):
        parts = {f"{name}[{index}]": item for index, item in enumerate(value)}
    else:
        return {name: value.detach().numpy() if isinstance(value, th.Tensor) else value}
    return {key: leaf for part, item in parts.items() for key, leaf in leaves(item, part).items()}


def bit_differences(expected: Any, got: Any) -> list[str]:
    """Return in words where two states differ in any bit; clock readings are left out.

    A NaN equals a NaN, and a negative zero a positive one.
    """
    one, other = leaves(expected), leaves(got)
    missing = [f"{name or 'it'} is there once" for name in sorted(one.keys() ^ other.keys())]
    found = [
        f"{name or 'value'}: {_difference(np.asarray(one[name]), np.asarray(other[name]))}"
        for name in one
        if name in other
        and not any(clock in name for clock in CLOCKS)
        and not _equal(np.asarray(one[name]), np.asarray(other[name]))
    ]
    return missing + found


def assert_equal_bits(expected: Any, got: Any) -> None:
    """Fail with the sizes of all differences, and with the processor."""
    __tracebackhide__ = True
    found = bit_differences(expected, got)
    if not found:
        return
    more = [f"... and {len(found) - MOST} more"] if len(found) > MOST else []
    lines = "\n".join(found[:MOST] + more)
    raise AssertionError(f"not equal bit for bit:\n{lines}\n{processor_words()}")


def processor_words() -> str:
    """Return the processor and its libraries in a sentence."""
    return "on " + "; ".join(f"{name}: {value}" for name, value in processor_facts().items())


def _equal(one: Any, other: Any) -> bool:
    if np.array_equal(one, other):
        return True
    floats = all(np.issubdtype(array.dtype, np.inexact) for array in (one, other))
    return floats and bool(np.array_equal(one, other, equal_nan=True))


def _difference(one: Any, other: Any) -> str:
    if one.shape != other.shape:
        return f"{one.dtype} {one.shape} is {other.dtype} {other.shape}"
    if not all(np.issubdtype(array.dtype, np.number) for array in (one, other)):
        return f"{one!r} is {other!r}"
    if one.ndim == 0:
        one, other = one.reshape(1), other.reshape(1)
    unequal = (one != other) & ~((one != one) & (other != other))
    first, second = (array[unequal].astype(np.float64) for array in (one, other))
    apart = np.abs(first - second)
    relative = apart / np.maximum(np.maximum(np.abs(first), np.abs(second)), 1e-300)
    return (
        f"{np.count_nonzero(unequal)} of {one.size} values differ, by up to {apart.max():.3g} "
        f"({relative.max():.3g} relative), first {first[0]!r} and {second[0]!r}"
    )
