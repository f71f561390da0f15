"""The winner's account in detail: what it held, traded and paid on each day.

The search keeps account values alone. The rest comes from running the winner's model once more over
the validation window, which changes nothing and takes a second; it is kept beside the report.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from finrl_ray._typing import FloatArray
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import SearchError
from finrl_ray.files.atomic import atomic_path
from finrl_ray.report.read_search import SearchReport
from finrl_ray.search.folder.names import BACKTEST_FOLDER
from finrl_ray.search.results.table_files import read_csv_table, read_parquet_table
from finrl_ray.search.results.winner_file import winners_model_file
from finrl_ray.workflows.backtest_files import TRADES_FILE

if TYPE_CHECKING:
    from finrl_ray.env.account_history import AccountHistory

ACCOUNT_FILE = "winner_account.parquet"
_MODEL = "model"


def validation_account(search: SearchReport) -> pd.DataFrame | None:
    """Return the winner's account on the validation window, long: one row per date and ticker.

    Columns: `date`, `tic`, `close`, `shares` held at the close, `traded` shares of that day's step,
    and per date `account_value`, `cash`, `cost` and `traded_amount` (currency). None where no
    single model stands for the winner on these days: where trials train several times, or before
    the search has left a model.
    """
    if search.winner is None or search.state == "running" or search.folder.plan is not None:
        return None
    source = winners_model_file(search.folder)
    if not source.is_file():
        return None
    name = hashlib.sha256(source.read_bytes()).hexdigest()
    kept = search.path / ACCOUNT_FILE
    if kept.is_file():
        frame = read_parquet_table(kept)
        if len(frame) and frame[_MODEL].iloc[0] == name:
            return frame.drop(columns=[_MODEL])
    if not search.folder.runs_code_here:
        return None  # a report runs no code of the user's; the search's own process has kept it
    # what trades takes seconds to import, and is needed the first time only
    from finrl_ray.agents.rollout import evaluate_account
    from finrl_ray.search.results.winner import load_winner, winners_env

    record, model, _ = load_winner(search.folder, trust=search.trust)
    window = search.folder.validation_data
    env = winners_env(search.folder, record, window, source, trust=search.trust)
    history = evaluate_account(model, env)[0]
    if history.trades is None:
        return None
    frame = account_table(history, history.trades, window)
    with atomic_path(kept) as temporary:
        frame.assign(**{_MODEL: name}).to_parquet(temporary, index=False)
    return frame


def account_table(
    history: "AccountHistory", trades: FloatArray, market_data: MarketData
) -> pd.DataFrame:
    """Return one episode as rows of date and ticker; see `validation_account`.

    Parameters
    ----------
    history : D days
    trades : array of shape (D - 1, N), shares
    market_data : the window, D rows or more
    """
    n_days, n_assets = len(history.dates), len(history.tickers)
    nothing = np.zeros((1, n_assets))
    # a step's orders are decided at one close and are in the account at the next
    shares = np.vstack([nothing, np.cumsum(trades, axis=0)])
    traded = np.vstack([nothing, trades])
    given = {
        "cash": history.cash,
        "cost": _from_first_day(history.cost),
        "traded_amount": _from_first_day(history.traded_amount),
    }
    # an env of the user's need not say them
    known = {name: values for name, values in given.items() if values is not None}
    daily = {"account_value": history.account_value, **known}
    return pd.DataFrame(
        {
            "date": np.repeat(history.dates, n_assets),
            "tic": np.tile(np.array(history.tickers, dtype=object), n_days),
            "close": market_data.close[:n_days].reshape(-1),
            "shares": shares.reshape(-1),
            "traded": traded.reshape(-1) + 0.0,  # -0.0 reads badly
            **{name: np.repeat(values, n_assets) for name, values in daily.items()},
        }
    )


def _from_first_day(values: FloatArray | None) -> FloatArray | None:
    return None if values is None else np.concatenate([[0.0], values])


def test_account(search: SearchReport) -> pd.DataFrame | None:
    """Return the winner's account on the test window, as far as the backtest has kept it.

    Columns as in `validation_account`, without `cash`, `cost` and `traded_amount`. None while the
    window is sealed.
    """
    file, curves = search.path / BACKTEST_FOLDER / TRADES_FILE, search.backtest_curves
    if curves is None or not file.is_file():
        return None
    window = search.folder.split.test.cut(search.folder.market_data)
    wide = read_csv_table(file)
    trades = wide.iloc[:, 1:].to_numpy(dtype=np.float64)
    n_days, n_assets = len(curves), window.n_assets
    if trades.shape != (n_days - 1, n_assets):
        raise SearchError(
            f"{file} has {trades.shape[0]} rows of {trades.shape[1]} tickers, the test window "
            f"{n_days - 1} of {n_assets}; `finrl-ray backtest --again` writes it again"
        )
    nothing = np.zeros((1, n_assets))
    shares = np.vstack([nothing, np.cumsum(trades, axis=0)])
    return pd.DataFrame(
        {
            "date": np.repeat(curves["date"].to_numpy(), n_assets),
            "tic": np.tile(np.array(window.tickers, dtype=object), n_days),
            "close": window.close[:n_days].reshape(-1),
            "shares": shares.reshape(-1),
            "traded": np.vstack([nothing, trades]).reshape(-1),
            "account_value": np.repeat(curves["agent"].to_numpy(), n_assets),
        }
    )


test_account.__test__ = False  # type: ignore[attr-defined]
