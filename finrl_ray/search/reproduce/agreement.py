"""How far the numbers of a repeated training are from the recorded ones, and what that means.

On the recorded kind of processor they must be equal bit for bit. On another kind they cannot be:
sums are rounded differently there, a rounded order is another order, and training amplifies it.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

Agreement: TypeAlias = Literal["exact", "within tolerance", "undecided", "different"]

TOLERANCE = 1e-3
"""On another processor: relative for account values, and of a measure below 1 absolute.

A share more or less of a stock of 100 in an account of 1,000,000 is 1e-4. A tenth of a percent is
some such orders; what differs by more has been another training.
"""
NOT_COMPARED = ("notes",)
"""Reported of the process, not of what was computed."""


def same(one: Any, other: Any) -> bool:
    """Return whether two reported values are equal; NaN equals NaN."""
    both_nan = all(isinstance(x, float) and math.isnan(x) for x in (one, other))
    return both_nan or bool(one == other)


def different_names(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return the names of recorded measures that came out differently."""
    names = [name for name in recorded if name not in NOT_COMPARED]
    return [name for name in names if not same(recorded[name], found.get(name))]


def distance(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> float:
    """Return the largest difference of two evaluations' measures, by `max(1, |recorded|)`.

    Infinite where a measure is missing, is no number in one of them alone, or is no number at all
    and another.
    """
    largest = 0.0
    for name in different_names(recorded, found):
        one, other = recorded[name], found.get(name)
        if not all(isinstance(x, int | float) and math.isfinite(x) for x in (one, other)):
            return math.inf
        largest = max(largest, abs(one - other) / max(1.0, abs(one)))
    return largest


def agreement_of(*, equal: bool, largest: float, elsewhere: bool) -> Agreement:
    """Return what a comparison means.

    Parameters
    ----------
    equal : every number is what it was
    largest : the largest difference
    elsewhere : the processor is another, or it was not recorded
    """
    if equal:
        return "exact"
    if not elsewhere:
        return "different"
    return "within tolerance" if largest <= TOLERANCE else "undecided"


def where_lines(elsewhere: Mapping[str, tuple[str, str]], *, known: bool) -> list[str]:
    """Return in sentences how the processor here is another than the recorded one."""
    if not known:
        return ["on which processor it was recorded is not known: that was an earlier version"]
    return [
        f"{name}: recorded with {one}, here {other}" for name, (one, other) in elsewhere.items()
    ]


def elsewhere_words(agreement: Agreement, largest: float) -> str:
    """Return what came out on another processor; empty where it is not about that."""
    if agreement == "within tolerance":
        return (
            f"equal within {TOLERANCE:g} on another processor (largest difference {largest:.2g}); "
            "bit for bit they can be on the recorded one alone"
        )
    if agreement == "undecided":
        return (
            f"on another processor the numbers are up to {largest:.2g} apart, more than "
            f"{TOLERANCE:g}: rounding, which is another there, grows in training, so whether "
            "anything else is another cannot be told here; repeat it on the recorded processor"
        )
    return ""
