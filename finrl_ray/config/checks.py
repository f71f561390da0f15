"""What all sections of the config use: pydantic's settings, `require`, and `may_change`."""

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


def require(condition: bool, message: str) -> None:
    """Raise a ConfigError with `message` unless `condition` holds."""
    if not condition:
        raise ConfigError(message)
