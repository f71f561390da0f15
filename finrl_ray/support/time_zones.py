"""Names of time zones, checked."""

import difflib
from zoneinfo import ZoneInfo, available_timezones

from finrl_ray.errors import ConfigError


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
    close = difflib.get_close_matches(wanted, list(by_lower), 1, 0.8)
    return by_lower[close[0]] if close else None
