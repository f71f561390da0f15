"""What the forward record keeps of a signal: all that was said, and hashes of what it rests on."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from finrl_ray.data.labels import date_label
from finrl_ray.deployment.forward_record import Entry, append, date_of, read
from finrl_ray.deployment.signal import Signal
from finrl_ray.support.values import to_json

Account = Literal["paper", "given"]
PAPER: Account = "paper"
GIVEN: Account = "given"


def record_signal(
    folder: Path,
    signal: Signal,
    *,
    account: Account,
    bars: pd.DataFrame,
    trained: np.datetime64,
    bought_at: Mapping[str, float] | None = None,
) -> Entry:
    """Add a signal to the forward record of an agent's folder.

    The same signal of the bar that was recorded last is not added again.

    Parameters
    ----------
    folder : of the agent
    signal : what is said
    account : whose orders they are: the agent's own paper account's, or those of holdings that were
        given
    bars : the rows that the agent knows, in FinRL's long format; those since the last entry are
        kept as a hash
    trained : date of the last bar of training, after which the first entry's rows begin
    bought_at : average prices paid by ticker, where holdings were given with them

    Returns
    -------
    dict
        The entry, with its number and hashes.

    Raises
    ------
    DataError, SearchError
        As `append`.
    """
    known = read(folder)
    again = bool(known) and known[-1]["date"] == signal.date
    before = known[: len(known) - 1] if again else known
    since = date_of(before[-1]) if before else trained
    rows = rows_between(bars, since, date_of({"date": signal.date}))
    entry = entry_of(signal, account=account, bars=rows, bought_at=bought_at)
    if again and all(known[-1].get(name) == value for name, value in entry.items()):
        return known[-1]
    return append(folder, entry)


def entry_of(
    signal: Signal,
    *,
    account: Account,
    bars: pd.DataFrame,
    bought_at: Mapping[str, float] | None = None,
) -> Entry:
    """Return the entry of a signal, in plain values that keep every bit.

    Parameters
    ----------
    signal : what is said
    account : as of `record_signal`
    bars : the rows since the entry before
    bought_at : as of `record_signal`
    """
    holdings: dict[str, Any] = {"cash": signal.cash_before, "shares": signal.holdings_before}
    if bought_at:
        holdings["bought_at"] = dict(bought_at)
    content = {
        "date": signal.date,
        "fill": signal.fill,
        "tickers": signal.tickers,
        "inputs": {
            "bars": {"rows": len(bars), "sha256": hash_of_rows(bars)},
            "holdings": hash_of_plain(_plain(holdings)),
        },
        "action": signal.action,
        "planned": signal.planned,
        "orders": signal.orders,
        "reference_price": signal.reference_price,
        "weight_before": signal.weight_before,
        "weight_after": signal.weight_after,
        "reasons": signal.reasons,
        "account": {
            "kind": account,
            **holdings,
            "value": signal.account_value,
            "shares_after": signal.holdings_after,
            "cash_after": signal.cash_after,
            "cost": signal.cost,
        },
    }
    result: Entry = _plain(content)
    return result


def find_changed_bars(
    entries: Sequence[Entry], bars: pd.DataFrame, trained: np.datetime64
) -> list[str]:
    """Return which entries rest on other rows than those that are known, with their lines.

    Parameters
    ----------
    entries : of the forward record
    bars, trained : as of `record_signal`
    """
    found, since = [], trained
    for entry in entries:
        date = date_of(entry)
        rows = rows_between(bars, since, date)
        said = _inputs(entry).get("bars")
        if not isinstance(said, Mapping) or said.get("sha256") != hash_of_rows(rows):
            found.append(
                f"line {entry['n']}: the bars up to {entry['date']} are not those that the signal "
                "was made of"
            )
        since = date
    return found


def rows_between(bars: pd.DataFrame, after: np.datetime64, until: np.datetime64) -> pd.DataFrame:
    """Return the rows after one date up to another, the latter included."""
    dates = bars["date"].to_numpy().astype("datetime64[ns]")
    return bars[(dates > after) & (dates <= until)]


def hash_of_rows(rows: pd.DataFrame) -> str:
    """Return the SHA-256 of rows of prices, in order of date and ticker, whatever file had them.

    Numbers count as floating point numbers, and those that are missing not at all: a table that is
    read again, or has got another column meanwhile, has the same hash.

    Parameters
    ----------
    rows : in FinRL's long format, with dates without a zone
    """
    digest = hashlib.sha256()
    ordered = rows.sort_values(["date", "tic"])
    columns = sorted(map(str, set(rows.columns) - {"date", "tic"}))
    dates = ordered["date"].to_numpy().astype("datetime64[ns]")
    values = [ordered[name].tolist() for name in columns]
    for row, (date, ticker) in enumerate(zip(dates, ordered["tic"], strict=True)):
        content = {name: _number(of[row]) for name, of in zip(columns, values, strict=True)}
        known = {name: value for name, value in content.items() if value is not None}
        digest.update(json.dumps([date_label(date), str(ticker), known]).encode() + b"\n")
    return digest.hexdigest()


def hash_of_plain(content: Any) -> str:
    """Return the SHA-256 of plain values as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _number(value: Any) -> float | str | None:
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, int | float | np.number | np.bool_):
        return None if np.isnan(value) else float(value)
    return str(value)


def _inputs(entry: Entry) -> Mapping[str, Any]:
    inputs = entry.get("inputs")
    return inputs if isinstance(inputs, Mapping) else {}


def _plain(value: Any) -> Any:
    return to_json(value, lambda one: to_json(one.tolist()) if hasattr(one, "tolist") else str(one))
