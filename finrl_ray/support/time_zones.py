"""Names of time zones, checked."""

from zoneinfo import ZoneInfo, available_timezones

from finrl_ray.errors import ConfigError
from finrl_ray.support.text import closest


def require_timezone(name: object) -> None:
    """Raise ConfigError unless `name` is a time zone that the IANA database knows."""
    if isinstance(name, str):
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            pass  # no such file; a folder of zones; a path
        else:
            return
    close = _closest(str(name)[:100])
    hint = f" Did you mean {close!r}?" if close else ""
    raise ConfigError(
        f"timezone must be the name of a time zone such as 'UTC' or 'America/New_York', got "
        f"{str(name)[:100]!r}.{hint}"
    )


def _closest(name: str) -> str | None:
    by_lower = {zone.lower(): zone for zone in sorted(available_timezones())}
    by_lower |= {zone.lower().rpartition("/")[2]: zone for zone in sorted(available_timezones())}
    wanted = name.strip().lower().replace(" ", "_")
    found = closest(wanted, by_lower, 0.8)
    return None if found is None else by_lower[found]
