"""How long steps report how far they are; the commands draw a bar from it."""

from typing import Protocol


class Progress(Protocol):
    """A function called before each part of a long step, and at its end with `done == total`."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` parts are done, and which comes next."""


def no_progress(what: str, done: int, total: int) -> None:
    """Show nothing; the default."""
    del what, done, total
