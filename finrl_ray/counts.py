"""Counts in words: 1 trial, 2 trials, 1,000 trials."""


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
