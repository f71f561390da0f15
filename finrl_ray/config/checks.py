"""What all sections of the config use: pydantic's settings, `require`, and marks of fields."""

from collections.abc import Sequence
from typing import Any

from finrl_ray.errors import ConfigError

FORBID_UNKNOWN = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
"""pydantic's settings of every section: no unknown key, no "5" for 5, no NaN."""


def may_change(reason: str) -> dict[str, str]:
    """Return the metadata of a field that may differ when a search goes on, from when it began.

    Any other key is sealed: a trial's result, or what is made of it, may depend on it.

    Parameters
    ----------
    reason : what the key is, or why it changes no result
    """
    return {"may_change": reason}


def formulation(only_with: tuple[str, Sequence[Any]] | None = None) -> dict[str, Any]:
    """Return the metadata of a field that a search may choose per trial (`search.space`).

    Parameters
    ----------
    only_with : name of another field of the section, and those of its values beside which this one
        has a meaning (none listed: any but null); a trial with another value has this field at its
        default
    """
    return {"formulation": True, "only_with": only_with}


def not_searched(reason: str) -> dict[str, Any]:
    """Return the metadata of a field that is the same for all trials of a search.

    Parameters
    ----------
    reason : why, as what comes after "cannot be searched over: "
    """
    return {"not_searched": reason}


def require(condition: bool, message: str) -> None:
    """Raise a ConfigError with `message` unless `condition` holds."""
    if not condition:
        raise ConfigError(message)
