"""How errors and reports name dates and suggest names."""

import difflib
from collections.abc import Iterable, Sequence

import numpy as np

# what other tools call FinRL's columns
_ALIASES = {
    "date": ("datetime", "timestamp", "time", "day"),
    "tic": ("ticker", "symbol", "tickers", "code", "asset"),
    "close": ("adj close", "adj_close", "adjclose", "adjcp", "price", "last"),
    "volume": ("vol",),
}


def date_label(value: np.datetime64) -> str:
    """Return `2020-01-02`, or `2020-01-02 09:30:00` when there is a time of day."""
    stamp = np.datetime64(value)
    if stamp == stamp.astype("datetime64[D]"):
        return str(stamp.astype("datetime64[D]"))
    if np.isnat(stamp):
        return "NaT"
    second = stamp.astype("datetime64[s]")
    parts = int((stamp - second).astype("timedelta64[ns]").astype(np.int64))
    text = str(second).replace("T", " ")
    if not parts:
        return text
    return f"{text}.{parts:09}" if parts % 1000 else f"{text}.{parts // 1000:06}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the known name nearest to `name`, or an empty string."""
    names = list(known)
    by_lower = {other.lower(): other for other in reversed(names)}
    close = difflib.get_close_matches(name.lower(), list(by_lower), 1, 0.6)
    return f" Did you mean {by_lower[close[0]]!r}?" if close else ""


def nearest_column(wanted: str, columns: Sequence[str]) -> str | None:
    """Return the column that most likely means `wanted` under another name, if there is one."""
    by_lower = {name.lower().strip(): name for name in reversed(columns)}
    for alias in (wanted, *_ALIASES.get(wanted, ())):
        if alias in by_lower:
            return by_lower[alias]
    close = difflib.get_close_matches(wanted, list(by_lower), 1, 0.6)
    return by_lower[close[0]] if close else None


def how_to_compute(names: Iterable[str]) -> str:
    """Return a sentence on where columns come from that stockstats computes."""
    wanted = list(names)
    return (
        f" Compute them first: from finrl_ray.compat import FeatureEngineer; df = "
        f"FeatureEngineer(tech_indicator_list={wanted}).preprocess_data(df)"
    )


def listed(names: Iterable[str], limit: int = 20) -> str:
    """Return names as a list for a message, cut after `limit` of them."""
    all_names = list(names)
    shown = ", ".join(repr(name) for name in all_names[:limit])
    rest = len(all_names) - limit
    return f"[{shown}, and {rest} more]" if rest > 0 else f"[{shown}]"
