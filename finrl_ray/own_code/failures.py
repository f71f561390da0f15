"""Errors in the user's own code, said in one sentence with its file and line."""

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path

from finrl_ray.errors import ConfigError, FinRLRayError
from finrl_ray.own_code.finder import active_code
from finrl_ray.own_code.kinds import KINDS

_OWN_PACKAGE = str(Path(__file__).parents[1])
_LONGEST = 300


class OwnCodeError(ConfigError):
    """The user's own code has failed, or is not what it must be."""


def place_of(error: BaseException) -> str:
    """Return where in own code an error arose, as `my_env.py, line 12: text`; empty if not in it.

    Parameters
    ----------
    error : as it was caught
    """
    if isinstance(error, SyntaxError) and error.filename:
        name = active_code().name_of(error.filename)
        if name:
            return f"{name}, line {error.lineno}: {(error.text or '').strip()}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        name = active_code().name_of(frame.filename)
        if name:
            text = (frame.line or "").strip()
            return f"{name}, line {frame.lineno}" + (f": {text}" if text else "")
    return ""


def _last_place(error: BaseException) -> str:
    """Return the innermost line outside of this package, for code that is installed."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith((_OWN_PACKAGE, "<")):
            return f"{frame.filename}, line {frame.lineno}: {(frame.line or '').strip()}"
    return ""


def _said(error: BaseException) -> str:
    """Return an error's class and text, cut to what a message has room for."""
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return what[:_LONGEST]


def failure(reference: str, kind: str, error: BaseException, doing: str = "") -> OwnCodeError:
    """Return an error of own code in words.

    Parameters
    ----------
    reference : of the code
    kind : of KINDS
    error : what it raised
    doing : what it was asked for, as what comes after "failed", such as "at the first step"
    """
    place = place_of(error) or _last_place(error)
    where = f" ({place})" if place else ""
    return OwnCodeError(
        f"{KINDS[kind].key} {reference} failed{' ' + doing if doing else ''}: "
        f"{_said(error)}{where}; mend it there{'' if place else ', or its keywords'}"
    )


@contextlib.contextmanager
def calling(reference: str, kind: str, doing: str = "") -> Iterator[None]:
    """Give whatever own code raises in the block as an `OwnCodeError`.

    Errors of this package pass as they are, and so does an interruption.

    Parameters
    ----------
    reference, kind, doing : see `failure`
    """
    try:
        yield
    except FinRLRayError:
        raise
    except (Exception, SystemExit) as error:
        raise failure(reference, kind, error, doing) from error


@contextlib.contextmanager
def naming_own_code(doing: str = "") -> Iterator[None]:
    """Name file and line of own code where an error of the block has come through some.

    Errors that did not, and those of this package, pass as they are.
    """
    try:
        yield
    except FinRLRayError:
        raise
    except Exception as error:
        place = place_of(error)
        if not place:
            raise
        raise OwnCodeError(
            f"your code failed{' ' + doing if doing else ''}: {_said(error)} ({place}); mend it "
            "there"
        ) from error
