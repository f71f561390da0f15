"""The four exception classes of finrl_ray, and values as their messages show them.

Every message says what must hold, what came, where, and what to do.
"""

_VALUE_LENGTH = 200
_HEAD, _TAIL = 1500, 500


class FinRLRayError(Exception):
    """Base class of every error that finrl_ray raises on purpose.

    A line of megabytes, such as one that repeats a value of a file, is shown by its two ends.
    """

    def __str__(self) -> str:
        """Return the message, each line of it of a length that can be read."""
        return "\n".join(map(_both_ends, super().__str__().split("\n")))


class ConfigError(FinRLRayError, ValueError):
    """A configuration that cannot be run: unknown key, wrong type, impossible combination."""


class DataError(FinRLRayError, ValueError):
    """Prices or features that cannot be used, with the ticker, date and column where known."""


class SearchError(FinRLRayError, RuntimeError):
    """A search, or its folder, that cannot be started, resumed or read."""


def shortened(value: object, length: int = _VALUE_LENGTH) -> str:
    """Return a value as Python would write it, cut to a length that can be read."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a whole number of thousands of digits
        return f"a {type(value).__name__} that is too long to be shown"
    if len(text) <= length:
        return text
    return f"{text[:length]}... ({len(text):,} characters)"


def _both_ends(line: str) -> str:
    left_out = len(line) - _HEAD - _TAIL
    if left_out <= 100:
        return line
    return f"{line[:_HEAD]} ... ({left_out:,} characters left out) ... {line[-_TAIL:]}"
