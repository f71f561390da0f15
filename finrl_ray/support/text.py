"""Parts of messages: counts, sizes and durations in words, lists of names, the nearest name."""

import difflib
from collections.abc import Iterable


def counted(count: float, noun: str, plural: str = "") -> str:
    """Return a count with its noun, in the singular for 1: `1 trial`, `2,000 trials`, `0.5 GPUs`.

    Parameters
    ----------
    count : of whatever the noun names; a float is written with six digits at most
    noun : in the singular
    plural : where it is not the noun with an s
    """
    number = f"{count:g}" if isinstance(count, float) else f"{count:,}"
    return f"{number} {noun if count == 1 else plural or f'{noun}s'}"


def times(count: int) -> str:
    """Return how often: `once`, `2 times`."""
    return "once" if count == 1 else f"{count:,} times"


def readable_bytes(count: float) -> str:
    """Return `2 TB`, `1.5 GB`, `24 MB` or `80 kB`, in powers of 1000."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} bytes"


def exact_time(seconds: float) -> str:
    """Return a time to the second in its first hour: `45 s`, `3 min 20 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def estimated_time(seconds: float) -> str:
    """Return an estimate without false precision: `45 s`, `12 min`, `3 h 20 min`, `2 days 4 h`."""
    if seconds < 1:
        return "less than 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    days, rest = divmod(hours, 24)
    return f"{days} days {rest} h"


def time_in_one_unit(seconds: float) -> str:
    """Return a time with a single unit, where there is little space: `45 s`, `12 min`, `1.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def listed(names: Iterable[str], limit: int = 20) -> str:
    """Return names as a list for a message, cut after `limit` of them."""
    all_names = list(names)
    shown = ", ".join(repr(name) for name in all_names[:limit])
    rest = len(all_names) - limit
    return f"[{shown}, and {rest} more]" if rest > 0 else f"[{shown}]"


def and_list(items: Iterable[object]) -> str:
    """Return items as a sentence names them: `3`, `3 and 5`, `3, 5 and 8`."""
    *before, last = [str(item) for item in items]
    return f"{', '.join(before)} and {last}" if before else last


def closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that is spelt most like `name`, whatever their case; None if none is.

    Parameters
    ----------
    name : as somebody has written it
    known : the names that exist; of several that differ in case alone the first counts
    cutoff : the least similarity, from 0 (nothing in common) to 1 (equal)
    """
    by_lower = {other.lower(): other for other in reversed(list(known))}
    found = difflib.get_close_matches(name.lower(), list(by_lower), 1, cutoff)
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return ` Did you mean 'x'?` for the name that `closest` finds, or an empty text."""
    found = closest(name, known, cutoff)
    return f" Did you mean {found!r}?" if found else ""
