"""What a function of the user's is given, and what it returns, as arrays."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray._typing import FloatArray, IntArray
from finrl_ray.data.columns import PRICE_COLUMNS
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.own_features.names import FORBIDDEN
from finrl_ray.own_code.definition import OwnFunction
from finrl_ray.own_code.failures import OwnCodeError, calling
from finrl_ray.support.text import listed

MARKET_WIDE = "market_wide"
"""An attribute of a function: True if it is given the prices of all tickers at once."""

Columns = dict[str, FloatArray]
"""Values by column, each of shape (rows, tickers of the call); the name of a series is empty."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One function with one set of keywords.

    Parameters
    ----------
    own : the function
    keywords : that it is called with
    """

    own: OwnFunction
    keywords: Mapping[str, Any]

    @property
    def is_market_wide(self) -> bool:
        """Whether the function is given all tickers at once."""
        return bool(getattr(self.own.function, MARKET_WIDE, False))

    def refused(self, why: str, remedy: str) -> OwnCodeError:
        """Return the error that the function is not what it must be."""
        return self.own.refused(f"{self.given}{why}", remedy)

    @property
    def given(self) -> str:
        """The keywords as a part of a message, with a blank after it; empty without any."""
        given = ", ".join(f"{name}={value!r}" for name, value in self.keywords.items())
        return f"with {given} " if given else ""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The rows of one call.

    Parameters
    ----------
    market_data : prices
    rows : positions of the rows in it, shape (R,); all of them for a function of the whole market
    assets : positions of the tickers, shape (K,)
    """

    market_data: MarketData
    rows: IntArray
    assets: IntArray

    @property
    def who(self) -> str:
        """Whose prices they are, for messages."""
        tickers = self.market_data.tickers
        return tickers[int(self.assets[0])] if len(self.assets) == 1 else "the market"

    def first(self, count: int) -> "Asked":
        """Return the first rows alone."""
        return Asked(market_data=self.market_data, rows=self.rows[:count], assets=self.assets)


def calls_of(market_data: MarketData, call: Call) -> Iterator[Asked]:
    """Yield the rows of each call: those of each ticker's quotes, or all rows of the market."""
    everything = np.arange(market_data.n_assets)
    if call.is_market_wide:
        rows = np.arange(market_data.n_periods)
        yield Asked(market_data=market_data, rows=rows, assets=everything)
        return
    for asset in everything:
        rows = np.flatnonzero(market_data.tradable[:, asset])
        yield Asked(market_data=market_data, rows=rows, assets=everything[asset : asset + 1])


def called(call: Call, asked: Asked) -> Columns:
    """Return what a function gives for some rows.

    Raises
    ------
    OwnCodeError
        Naming file, line and remedy, if it raises, or returns something else than columns of
        numbers with one row per row of the prices.
    """
    prices = _market_prices(asked) if call.is_market_wide else _ticker_prices(asked)
    doing = f"{call.given}on {len(asked.rows)} rows of {asked.who}"
    with calling(call.own.reference, "features", doing):
        returned = call.own.function(prices, **copy.deepcopy(dict(call.keywords)))
    if call.is_market_wide:
        return _market_columns(call, asked, returned)
    return _ticker_columns(call, asked, returned)


def _index(asked: Asked) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(asked.market_data.dates[asked.rows], name="date")


def _ticker_prices(asked: Asked) -> pd.DataFrame:
    data, asset = asked.market_data, int(asked.assets[0])
    columns = {name: getattr(data, name)[asked.rows, asset] for name in PRICE_COLUMNS}
    for position, name in enumerate(data.market_feature_names):
        columns.setdefault(name, data.market_features[asked.rows, position])
    frame = pd.DataFrame({k: np.array(v) for k, v in columns.items()}, index=_index(asked))
    frame.attrs["tic"] = data.tickers[asset]
    return frame


def _market_prices(asked: Asked) -> dict[str, pd.DataFrame]:
    data, index = asked.market_data, _index(asked)
    return {
        name: pd.DataFrame(
            np.array(getattr(data, name)[asked.rows]), index=index, columns=list(data.tickers)
        )
        for name in PRICE_COLUMNS
    }


def _ticker_columns(call: Call, asked: Asked, returned: Any) -> Columns:
    if isinstance(returned, pd.Series):
        returned = returned.to_frame("")
    elif isinstance(returned, pd.DataFrame):
        _check_names(call, list(returned.columns))
    else:
        raise call.refused(
            f"returned {_what(returned)} for {asked.who}",
            "return a pandas Series, or a DataFrame with one column per feature, with the index "
            "of the prices that it was given",
        )
    _check_index(call, asked, returned)
    return {
        name: _numbers(call, asked, name, returned.iloc[:, [position]])
        for position, name in enumerate(returned.columns)
    }


def _market_columns(call: Call, asked: Asked, returned: Any) -> Columns:
    tables = {"": returned} if isinstance(returned, pd.DataFrame) else returned
    if not isinstance(tables, Mapping) or not all(
        isinstance(table, pd.DataFrame) for table in tables.values()
    ):
        raise call.refused(
            f"returned {_what(returned)} for the market",
            "return a pandas DataFrame with the index and the columns of prices['close'], or a "
            "dict of such tables by the names of features",
        )
    if not isinstance(returned, pd.DataFrame):
        _check_names(call, list(tables))
    found = {}
    for name, table in tables.items():
        _check_index(call, asked, table)
        if list(table.columns) != list(asked.market_data.tickers):
            raise call.refused(
                f"returned a table with the columns {listed(map(str, table.columns))}",
                f"return one column per ticker, in the order of the prices: "
                f"{listed(asked.market_data.tickers)}",
            )
        found[name] = _numbers(call, asked, name, table)
    return found


def _what(returned: Any) -> str:
    if returned is None:
        return "nothing (is a return missing?)"
    shape = getattr(returned, "shape", None)
    return f"a {type(returned).__name__}" + (f" of shape {shape}" if shape is not None else "")


def _check_names(call: Call, names: list[Any]) -> None:
    for name in names:
        wrong = not isinstance(name, str) or not name or set(name) & set(FORBIDDEN)
        if wrong or names.count(name) > 1:
            raise call.refused(
                f"returned columns named {names}",
                "give each column a name of its own, as text without brackets",
            )
    if not names:
        raise call.refused("returned a table without columns", "return at least one")


def _check_index(call: Call, asked: Asked, table: pd.DataFrame) -> None:
    if len(table) != len(asked.rows):
        raise call.refused(
            f"returned {len(table)} rows for the {len(asked.rows)} of {asked.who}",
            "return one row per row of the prices: let NaN stand where there is no value yet, "
            "without dropna()",
        )
    if not table.index.equals(_index(asked)):
        raise call.refused(
            f"returned rows for {asked.who} whose index is not that of the prices",
            "keep the index of the prices, and its order, without reset_index() or sort_values()",
        )


def _numbers(call: Call, asked: Asked, name: str, table: pd.DataFrame) -> FloatArray:
    for column in table.columns:
        dtype = table[column].dtype
        if pd.api.types.is_complex_dtype(dtype) or not pd.api.types.is_numeric_dtype(dtype):
            raise call.refused(
                f"returned {dtype} {f'in {name!r} ' if name else ''}for {asked.who}",
                "return numbers, such as a code for each word",
            )
    values: FloatArray = table.to_numpy(dtype=np.float64, na_value=np.nan)
    return values
