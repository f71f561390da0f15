"""How errors and reports name dates and columns."""

from collections.abc import Iterable, Sequence

import numpy as np

from finrl_ray.support.text import closest

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


def nearest_column(wanted: str, columns: Sequence[str]) -> str | None:
    """Return the column that most likely means `wanted` under another name, if there is one."""
    by_lower = {name.lower().strip(): name for name in reversed(columns)}
    for alias in (wanted, *_ALIASES.get(wanted, ())):
        if alias in by_lower:
            return by_lower[alias]
    close = closest(wanted, by_lower)
    return None if close is None else by_lower[close]


def how_to_compute(names: Iterable[str]) -> str:
    """Return a sentence on where columns come from that stockstats computes."""
    wanted = list(names)
    return (
        f" Compute them first: from finrl_ray.compat import FeatureEngineer; df = "
        f"FeatureEngineer(tech_indicator_list={wanted}).preprocess_data(df)"
    )
