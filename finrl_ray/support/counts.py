"""Counts in words: 1 trial, 2 trials, 1,000 trials, 24 MB."""


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun, in the singular for 1.

    Parameters
    ----------
    count : of whatever the noun names
    noun : in the singular
    plural : where it is not the noun with an s
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def times(count: int) -> str:
    """Return how often: once, 2 times."""
    return "once" if count == 1 else f"{count:,} times"


def readable_bytes(count: float) -> str:
    """Return `2 TB`, `1.5 GB`, `24 MB` or `80 kB`, in powers of 1000."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} bytes"
