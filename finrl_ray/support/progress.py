"""What long steps tell of how far they are; the commands draw a bar of it."""

from typing import Protocol


class Progress(Protocol):
    """Told before each part of a long step, and once at its end with `done == total`."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Note that `done` of `total` parts are done, and which comes next."""


def unseen(what: str, done: int, total: int) -> None:
    """Show nothing: the progress of whoever asks for none."""
    del what, done, total
