"""The files of tests that take longest, for runs in several processes side by side.

One worker of pytest-xdist runs all tests of a file, because they share fixtures such as a Ray or a
finished search. A long file that starts last would run alone at the end.
"""

from pathlib import Path

from repository import TESTS

LONGEST: tuple[str, ...] = ()
"""The longest first, below tests/. It is only an order: a file that is missing starts later."""


def rank(path: Path) -> int:
    """Return the place of a file in the order of starts."""
    places = {TESTS / name: place for place, name in enumerate(LONGEST)}
    return places.get(path, len(places))
