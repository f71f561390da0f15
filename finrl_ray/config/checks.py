"""How the sections of the config are checked: by pydantic's settings, and by `require`."""

from finrl_ray.errors import ConfigError

FORBID_UNKNOWN = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
"""pydantic's settings of every section: no unknown key, no "5" for 5, no NaN."""


def require(condition: bool, message: str) -> None:
    """Raise a ConfigError with `message` unless `condition` holds."""
    if not condition:
        raise ConfigError(message)
