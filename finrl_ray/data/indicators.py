"""Indicators by stockstats' names: values, columns that they need, and whether they look ahead."""

import re
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from finrl_ray._typing import FloatArray
from finrl_ray.data.columns import PRICE_COLUMNS
from finrl_ray.errors import DataError
from finrl_ray.support.text import counted, did_you_mean

FINRL_INDICATORS = (
    "macd",
    "boll_ub",
    "boll_lb",
    "rsi_30",
    "cci_30",
    "dx_30",
    "close_30_sma",
    "close_60_sma",
)
"""FinRL's own list, in its order."""

# windows of names that carry no number and that stockstats.dft_windows does not know
_BUILT_IN_WINDOWS = {
    "adx": (14, 6),
    "adxr": (14, 6, 6),
    "bop": (1,),
    "cr-ma1": (26, 5, 3),
    "cr-ma2": (26, 10, 5),
    "cr-ma3": (26, 20, 9),
    "dx": (14,),
    "kst": (30, 15),
    "log-ret": (1,),
    "middle": (1,),
    "num": (1,),
    "obv": (1,),
    "qqel": (14, 5, 27),
    "qqes": (14, 5, 27),
    "rate": (1,),
    "tp": (1,),
    "tr": (1,),
    "wt1": (10, 21),
    "wt2": (10, 21, 4),
}
_SLOW_PLUS_SIGNAL = ("macd", "pvo", "ppo")
_UNKNOWN_WINDOW = 100
_MAX_LOOKBACK = 1_000_000
_PROBE_ROWS = 240
_PROBE_CUTS = 16


def lookback(name: str) -> int:
    """Return the rows that an indicator looks back on: the sum of its windows.

    Recursive averages (EMA, SMMA) remember everything; their nominal window is what counts. For
    macd, ppo and pvo it is the slow window plus the signal window.

    Raises
    ------
    DataError
        If a window in the name is absurdly long.
    """
    base = re.sub(r"_(ub|lb|up|down|delta)$", "", name)
    family = base.rstrip("sh") if base.rstrip("sh") in _SLOW_PLUS_SIGNAL else base
    windows = [abs(int(number)) for number in re.findall(r"(?<![A-Za-z])\d+", base)]
    if not windows:
        windows = list(_default_windows(family))
    family = family.split("_")[0]
    if family in _SLOW_PLUS_SIGNAL and len(windows) == 3:
        windows = windows[1:]
    total = sum(windows)
    if total > _MAX_LOOKBACK:
        raise DataError(
            f"the indicator {name!r} looks back on {counted(total, 'row')}; choose a shorter one"
        )
    return max(1, total + name.endswith("_delta"))


def _default_windows(family: str) -> tuple[int, ...]:
    from stockstats import dft_windows

    if family in PRICE_COLUMNS:
        return (1,)
    text = dft_windows(family)
    if text is not None:
        return tuple(int(part) for part in text.split(","))
    return _BUILT_IN_WINDOWS.get(family, (_UNKNOWN_WINDOW,))


def compute(columns: Mapping[str, FloatArray], names: Sequence[str]) -> list[FloatArray]:
    """Return indicators of one ticker, each of shape (T,), as stockstats computes them.

    Parameters
    ----------
    columns : `close` and any of open, high, low, volume, each of shape (T,), without NaN
    names : stockstats' names

    Raises
    ------
    DataError
        If stockstats cannot compute a name from these columns.
    """
    from stockstats import StockDataFrame, StockStatsError

    frame = StockDataFrame({name: values.copy() for name, values in columns.items()})
    results = []
    for name in names:
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # stockstats divides by zero on flat prices
                results.append(np.array(frame[name], dtype=np.float64).reshape(len(frame)))
        except (
            *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
            *(RecursionError, StockStatsError, UserWarning, pd.errors.IndexingError),
        ) as error:
            raise DataError(f"{name!r} cannot be computed from {sorted(columns)}") from error
    return results


@lru_cache(maxsize=256)
def required_columns(name: str) -> frozenset[str]:
    """Return which of open, high, low, close, volume an indicator depends on.

    Found by changing one column of a made-up price path at a time; on the way the indicator is
    checked to exist and not to look ahead.

    Raises
    ------
    DataError
        If stockstats has no such indicator, or a value changes when later rows are cut off.
    """
    rows = _PROBE_ROWS + 2 * lookback(name)
    path = _made_up_path(rows)
    try:
        full = compute(path, [name])[0]
    except DataError:
        raise DataError(
            f"unknown indicator {name!r}: it is neither a numeric column of the data, nor a name "
            "that stockstats can compute, nor the import path of a function of your own, such as "
            f"my_features:compute.{did_you_mean(name, _known_names())}"
        ) from None
    _check_causal(name, path, full)
    needed = set()
    for column in PRICE_COLUMNS:
        changed = {**path, column: path[column] * np.linspace(1.01, 1.2, rows) ** 2}
        if not np.array_equal(compute(changed, [name])[0], full, equal_nan=True):
            needed.add(column)
    return frozenset(needed or {"close"})


def is_indicator(name: str) -> bool:
    """Return whether stockstats can compute a name without looking ahead."""
    try:
        return bool(required_columns(name))
    except DataError:
        return False


def _made_up_path(rows: int) -> dict[str, FloatArray]:
    rng = np.random.default_rng(20040819)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, rows)))
    open_ = close * np.exp(rng.normal(0, 0.01, rows))
    high = np.maximum(open_, close) * np.exp(rng.uniform(0, 0.02, rows))
    low = np.minimum(open_, close) * np.exp(-rng.uniform(0, 0.02, rows))
    volume = rng.uniform(1e5, 1e6, rows)
    return {"open": open_, "high": high, "low": low, "close": close, "volume": volume}


def _check_causal(name: str, path: Mapping[str, FloatArray], full: FloatArray) -> None:
    """Cut the later rows off, and replace them by wild ones: earlier values must not move."""
    rng = np.random.default_rng(20130301)
    first = len(full) - _PROBE_ROWS // 2
    for cut in np.linspace(first, len(full) - 1, _PROBE_CUTS, dtype=int):
        tail = len(full) - cut if cut % 2 else 0
        changed = {
            # each column by itself, so that comparisons of two columns flip too
            column: np.concatenate([values[:cut], values[cut - 1] * rng.lognormal(0, 1, tail)])
            for column, values in path.items()
        }
        early = compute(changed, [name])[0][:cut]
        # a few of stockstats' sums are accurate to rounding only, so bits may differ
        if not np.allclose(early, full[:cut], rtol=1e-9, atol=1e-9, equal_nan=True):
            raise DataError(
                f"the indicator {name!r} uses rows from the future: its values change when later "
                "rows are cut off or changed. In stockstats' names a positive shift (close_1_s) "
                "means later rows; use a negative one (close_-1_s)"
            )


def _known_names() -> list[str]:
    from stockstats import StockDataFrame

    names = [name for group in StockDataFrame({"close": [1.0]}).handler for name in group]
    return [*FINRL_INDICATORS, *names, *PRICE_COLUMNS]
