"""Columns of the user's file: whether they hold future prices, or figures of the whole sample.

The file gives them ready-made, so they cannot be computed again without later rows; a leak shows in
the returns that they correlate with. What chance alone gives is measured on the same column against
the same returns, shifted in a circle by a random number of days, which keeps the autocorrelation of
both.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from finrl_ray._typing import FloatArray
from finrl_ray.data.labels import date_label
from finrl_ray.diagnostics.findings import FindingList
from finrl_ray.diagnostics.leaks.sample import SEED, Sample
from finrl_ray.support.text import counted

HORIZONS = (1, 2, 3, 4, 5)
N_SHIFTS = 100
STRONG = 0.1
"""Rank correlation with a later return from which a column is worth a look."""
NEARLY_SURE = 0.8
"""Rank correlation that no column known in time has."""
_EQUAL_SHARE = 0.9
_MIN_ROWS = 50
_NEIGHBOURS = 0.3
_LEADING = 5


def check_columns(sample: Sample, findings: FindingList) -> None:
    """Look at every column that is used as it comes from the source."""
    for name in sample.brought:
        values = sample.values(name)[sample.market_data.warmup :]
        where = f"data.features.{name}"
        if len(values) < _MIN_ROWS:
            findings.note(where, f"{counted(len(values), 'row')}: too few to audit a column")
            continue
        if _is_tomorrow(sample, name, values, findings):
            continue
        _check_future(sample, name, values, findings)
        _check_whole_sample(sample, name, findings)
        _check_filled_back(sample, name, findings)
        _check_neighbours(sample, name, values, findings)
    if sample.brought:
        findings.ok("data.features", f"looked at the columns {', '.join(sample.brought)}")


def _is_tomorrow(sample: Sample, name: str, values: FloatArray, findings: FindingList) -> bool:
    """Report a column that is a later price or return itself; return whether it is."""
    data = sample.market_data
    first = data.warmup
    close, opened = data.close[first:], data.open[first:]
    later = {
        "the next close": close[1:],
        "the next open": opened[1:],
        "the next return": sample.next_returns[first:],
        "the next price change": np.diff(close, axis=0),
        "the next log return": np.log1p(sample.next_returns[first:]),
    }
    for what, series in later.items():
        for asset in range(values.shape[1]):
            own, target = values[:-1, asset], series[:, asset]
            moving = np.isfinite(target) & (np.abs(target) > 0)
            if moving.sum() < _MIN_ROWS:
                continue
            close_to = np.abs(own - target) <= 1e-6 * np.maximum(np.abs(target), 1e-12)
            equal = close_to[moving].mean() > _EQUAL_SHARE
            if equal or abs(_correlation(own[moving], target[moving])) > 0.999:
                if not equal and what.endswith(("close", "open")):
                    continue  # levels of neighbouring days are always alike
                row = int(np.flatnonzero(moving)[0])
                findings.error(
                    f"data.features.{name}",
                    f"{name} of {data.tickers[asset]} is {what}, from "
                    f"{date_label(data.dates[first + row])} on",
                    "shift it by one row, or leave it out",
                )
                return True
    return False


def _correlation(first: FloatArray, second: FloatArray) -> float:
    if first.std() == 0 or second.std() == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _check_future(sample: Sample, name: str, values: FloatArray, findings: FindingList) -> None:
    """Compare a column with returns 1 to 5 days later, and with what chance alone gives."""
    # a circular shift moves ranks as it moves what is ranked
    returns = _ranks(sample.next_returns[sample.market_data.warmup :])
    forms = _forms(sample, values)
    found, horizon, form = _strongest(forms, returns)
    rng = np.random.default_rng(SEED)
    shifts = rng.integers(len(returns) // 10, len(returns) - len(returns) // 10, N_SHIFTS)
    by_chance = max(_strongest(forms, np.roll(returns, int(shift), axis=0))[0] for shift in shifts)
    past = _strongest(forms, returns, ahead=False)[0]
    if found < STRONG or found <= by_chance:
        return
    text = (
        f"{form}{name} has a rank correlation of {found:.2f} with the return {horizon} "
        f"{'day' if horizon == 1 else 'days'} later (at most {by_chance:.2f} by chance, "
        f"{past:.2f} with returns before)"
    )
    where = f"data.features.{name}"
    if found >= NEARLY_SURE:
        findings.error(where, text, "nothing known in time does: find out how it is computed")
    else:
        findings.warning(
            where, text, "either it is a very good predictor or it is computed from later prices"
        )


def _forms(sample: Sample, values: FloatArray) -> dict[str, FloatArray]:
    """Return the column itself, its change, and beside a price its distance from the close."""
    forms = {"": values, "the change of ": np.diff(values, axis=0, prepend=values[:1])}
    close = sample.market_data.close[sample.market_data.warmup :]
    if values.shape == close.shape and (values > 0).all():
        levels = [_correlation(values[:, k], close[:, k]) for k in range(close.shape[1])]
        if min(levels) > 0.9:
            forms["the distance from the close of "] = values / close - 1.0
    return {what: _ranks(form) for what, form in forms.items()}


def _ranks(values: FloatArray) -> FloatArray:
    """Return ranks within each column, with mean 0 and deviation 1 (0 where nothing varies)."""
    ranks = pd.DataFrame(values).rank().to_numpy()
    centred = ranks - ranks.mean(axis=0)
    spread = centred.std(axis=0)
    result: FloatArray = centred / np.where(spread > 0, spread, 1.0)
    return result


def _strongest(
    forms: dict[str, FloatArray], ranked: FloatArray, *, ahead: bool = True
) -> tuple[float, int, str]:
    """Return the largest absolute correlation of ranks over forms and horizons, with both."""
    best = (0.0, 1, "")
    for what, form in forms.items():
        for horizon in HORIZONS:
            # row t of the returns is earned from t to t + 1
            skip = horizon - 1
            own, later = (
                (form[: len(ranked) - skip], ranked[skip:])
                if ahead
                else (form[horizon : len(ranked) + 1], ranked[: len(form) - horizon])
            )
            n = min(len(own), len(later))
            value = abs(float((own[:n] * later[:n]).mean()))
            if value > best[0]:
                best = (value, horizon, what)
    return best


def _check_whole_sample(sample: Sample, name: str, findings: FindingList) -> None:
    """Notice a column that was standardised, or squeezed into 0..1, over all rows."""
    by_ticker = list(sample.as_brought(name).values())
    for column in (*by_ticker, np.concatenate(by_ticker)):
        if len(column) < _MIN_ROWS:
            continue
        standard = abs(column.mean()) < 1e-6 and (
            abs(column.std() - 1) < 1e-6 or abs(column.std(ddof=1) - 1) < 1e-6
        )
        squeezed = (column.min(), column.max()) == (0.0, 1.0) and len(np.unique(column)) > 20
        if standard or squeezed:
            how = "a mean of 0 and a deviation of 1" if standard else "the range 0 to 1"
            findings.warning(
                f"data.features.{name}",
                f"{name} has exactly {how} over all rows: it was scaled by the whole sample, the "
                "test window included",
                "scale it by what is known up to each row, or leave it to "
                "env.observation_scaling: train",
            )
            return


def _check_filled_back(sample: Sample, name: str, findings: FindingList) -> None:
    """Notice leading rows that repeat the first real value."""
    for ticker, column in sample.as_brought(name).items():
        changed = np.flatnonzero(column != column[:1])
        leading = int(changed[0]) if changed.size else 0
        later = np.diff(column[leading:])
        if leading >= _LEADING and len(later) > _MIN_ROWS and (later == 0).mean() < 0.02:
            findings.warning(
                f"data.features.{name}",
                f"{name} of {ticker} has one value in its first {leading} rows and moves every day "
                "after: they were filled from later rows",
                "leave them empty: rows without complete features are warm-up",
            )
            return


def _check_neighbours(sample: Sample, name: str, values: FloatArray, findings: FindingList) -> None:
    """Notice values that belong to another ticker, or to all."""
    data = sample.market_data
    if values.shape[1] < 2:
        return
    where = f"data.features.{name}"
    if (np.ptp(values, axis=1) == 0).all():
        findings.warning(
            where,
            f"{name} has one value per date for all tickers",
            "list it in data.market_columns; as a feature it is observed once per ticker",
        )
        return
    for one, other in _pairs(values.shape[1]):
        if np.array_equal(values[:, one], values[:, other]):
            findings.warning(
                where,
                f"{name} of {data.tickers[one]} equals that of {data.tickers[other]} on every row",
                "was it joined by date alone?",
            )
            return
    _check_mixing(sample, name, values, findings)


def _pairs(n: int) -> Iterator[tuple[int, int]]:
    return ((one, other) for one in range(n) for other in range(one + 1, n))


def _check_mixing(sample: Sample, name: str, values: FloatArray, findings: FindingList) -> None:
    """Explain a column's changes by its ticker's recent returns, then by the other tickers' too."""
    returns = sample.next_returns[sample.market_data.warmup :]
    changes = np.diff(values, axis=0)[5:]
    lagged = [returns[5 - lag : len(returns) - lag] for lag in range(5)]
    for asset in range(values.shape[1]):
        own = np.column_stack([part[:, asset] for part in lagged])
        others = np.delete(lagged[0], asset, axis=1)
        before = _explained(changes[:, asset], own)
        after = _explained(changes[:, asset], np.column_stack([own, others]))
        chance = others.shape[1] / max(1, len(changes))
        if after - before > _NEIGHBOURS + chance:
            findings.warning(
                f"data.features.{name}",
                f"{after:.0%} of the changes of {name} of {sample.market_data.tickers[asset]} "
                f"follow the other tickers' returns of that day ({before:.0%} its own)",
                "was it computed over rows of several tickers, without groupby('tic')?",
            )
            return


def _explained(target: FloatArray, by: FloatArray) -> float:
    """Return the share of variance that a linear regression explains."""
    centred = target - target.mean()
    total = float(centred @ centred)
    if total == 0:
        return 0.0
    regressors = by - by.mean(axis=0)
    coefficients = np.linalg.lstsq(regressors, centred, rcond=None)[0]
    rest = centred - regressors @ coefficients
    return 1.0 - float(rest @ rest) / total
