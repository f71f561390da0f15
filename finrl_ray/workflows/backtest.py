"""The winner on the sealed test window, beside buy & hold: the one place that opens it."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from finrl_ray._typing import FloatArray
from finrl_ray.agents.callbacks.measures import own_values
from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.baselines.curves import baseline_curves, curve_measures
from finrl_ray.baselines.names import BUY_AND_HOLD
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.account_history import AccountHistory, trading_of
from finrl_ray.errors import DataError, SearchError
from finrl_ray.files.atomic import atomic_path
from finrl_ray.metrics.beside_benchmark import residual_returns
from finrl_ray.metrics.earnings import earnings_of
from finrl_ray.metrics.returns import simple_returns
from finrl_ray.search.folder.folder import SearchFolder, open_folder
from finrl_ray.search.folder.mirror import FolderMirror
from finrl_ray.search.folder.names import (
    BACKTEST_FOLDER,
    CURVES_FILE,
)
from finrl_ray.search.folder.test_openings import read_openings, record_opening
from finrl_ray.search.journal.records import unfinished
from finrl_ray.search.results.winner import ensemble_trials, load_winner, winners_env
from finrl_ray.statistics.dependence import dependence_factor
from finrl_ray.statistics.sharpe_difference import sharpe_difference
from finrl_ray.statistics.sharpe_inference import estimate_sharpe, probabilistic_sharpe_ratio
from finrl_ray.training.own_metrics import metrics_of
from finrl_ray.training.threads import threads_of_a_trial
from finrl_ray.workflows.backtest_files import RESULT_FILE, TRADES_FILE, Backtest, read_result
from finrl_ray.workflows.trading_costs import Changes, trading_costs


def backtest(path: str | Path, *, again: bool = False, trust: bool = False) -> Backtest:
    """Run the winner of a finished search on the test window, once, and record that it was done.

    With `search.ensemble` the winner is the ensemble. It acts again on the same rows at other costs
    (`finrl_ray.workflows.trading_costs`), which is part of the same opening.

    Parameters
    ----------
    path : the search's folder
    again : open the window although it has been opened before; each opening is recorded
    trust : run code that is in the folder's model, where it is not one that this package has
        written; see docs/trust.md

    Raises
    ------
    SearchError
        If the search has not ended, has no winner, or an earlier result belongs to another model.
    """
    folder = open_folder(path)
    if folder.kind == "confirmation":
        raise SearchError(
            f"{folder.path} holds new trainings of a search's best, whose test window stays with "
            "the search; give the folder of the search, two folders up"
        )
    _require_finished(folder)
    folder.run_code(trust=trust)
    record, model, source = load_winner(folder, trust=trust)
    model_hash = hashlib.sha256(source.read_bytes()).hexdigest()
    earlier = folder.path / BACKTEST_FOLDER / RESULT_FILE
    if earlier.is_file() and not again:
        return read_result(earlier, read_openings(folder.path), model_hash)
    window = folder.split.test
    if not window.is_usable:
        raise SearchError(
            f"the test window [{str(window.start)[:10]}, {str(window.end)[:10]}) holds "
            f"{window.n_rows} rows of the data that the search in {folder.path} was given; there "
            "is nothing to open"
        )
    test_data = window.cut(folder.market_data)
    dates = (str(window.start)[:10], str(window.end)[:10])
    ensemble = ensemble_trials(source)
    env = winners_env(folder, record, test_data, source, trust=trust)
    # an opening counts wherever the folder is read
    with FolderMirror(folder.path, folder.remote):
        record_opening(folder, record, source, dates, ensemble=ensemble)
        opened = read_openings(folder.path)
        periods, rate = folder.periods_per_year, folder.config.evaluation.risk_free_rate

        def act(changes: Changes) -> AccountHistory:
            other = winners_env(folder, record, test_data, source, trust=trust, changes=changes)
            return evaluate_account(model, other)[0]

        with threads_of_a_trial(folder.config):  # as on validation
            history = evaluate_account(model, env)[0]
            asked = trading_costs(folder.config, test_data, history, act, periods_per_year=periods)
        baselines = baseline_curves(
            test_data, folder.final_train_data, folder.config, periods_per_year=periods
        )
        curves = {"agent": history.account_value, **baselines.curves}
        own_metrics = metrics_of(folder.config)
        measures = curve_measures(
            curves,
            periods_per_year=periods,
            risk_free_rate=rate,
            own_metrics=own_metrics,
            dates=history.dates,
        )
        trading = trading_of(history, periods)
        measures["agent"] |= trading | own_values(own_metrics, history, periods, rate)
        own, held = (simple_returns(curves[name]) for name in ("agent", BUY_AND_HOLD))
        result = Backtest(
            trial=record.index,
            window=dates,
            measures=measures,
            openings=len(opened),
            repeated=False,
            opened=tuple(opened),
            notes=baselines.notes,
            psr=_psr(own, held),
            difference_p=_difference_p(own, held),
            earnings=earnings_of(own, held, trading.get("exposure", math.nan)),
            ensemble=ensemble,
            trading=asked,
        )
        table = pd.DataFrame({"date": history.dates, **curves})
        _write(folder.path / BACKTEST_FOLDER, result, model_hash, table, history.trades, test_data)
    return result


def _write(
    target: Path,
    result: Backtest,
    model_hash: str,
    curves: pd.DataFrame,
    trades: Any,
    test_data: MarketData,
) -> None:
    target.mkdir(exist_ok=True)
    with atomic_path(target / CURVES_FILE) as temporary:
        curves.to_csv(temporary, index=False)
    if trades is None:  # an env of the user's that does not say them
        (target / TRADES_FILE).unlink(missing_ok=True)
    else:
        shares = pd.DataFrame(trades + 0.0, columns=list(test_data.tickers))  # -0.0 reads badly
        shares.insert(0, "date", curves["date"].iloc[: len(shares)])
        with atomic_path(target / TRADES_FILE) as temporary:
            shares.to_csv(temporary, index=False)
    content = {
        "trial": result.trial,
        **({"ensemble": list(result.ensemble)} if result.ensemble else {}),
        "model_hash": model_hash,
        "window": list(result.window),
        "measures": {name: dict(values) for name, values in result.measures.items()},
        "notes": list(result.notes),
        "psr": None if math.isnan(result.psr) else result.psr,
        "difference_p": None if math.isnan(result.difference_p) else result.difference_p,
        "rule": result.rule,
        "earnings": None if result.earnings is None else result.earnings.to_dict(),
        "trading": None if result.trading is None else result.trading.to_dict(),
    }
    text = json.dumps(content, indent=2) + "\n"
    with atomic_path(target / RESULT_FILE) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _psr(returns: FloatArray, held: FloatArray) -> float:
    residual = residual_returns(returns, held)
    found = estimate_sharpe(residual)
    if found.flag or not found.n_periods:
        return math.nan
    return probabilistic_sharpe_ratio(
        found.sharpe,
        found.n_periods,
        skew=found.skew,
        kurtosis=found.kurtosis,
        dependence=dependence_factor(residual),
    )


def _difference_p(returns: FloatArray, held: FloatArray) -> float:
    try:
        return sharpe_difference(returns, held).p_value
    except DataError:
        return math.nan


def _require_finished(folder: SearchFolder) -> None:
    records = folder.records()
    if not folder.is_finished(records):
        started = records.in_order()
        ended = len(started) - len(unfinished(started))
        raise SearchError(
            f"the test window is opened for the winner of a finished search, but {ended} of "
            f"{folder.planned} trials have ended; go on with it first: finrl-ray resume "
            f"{folder.path}"
        )
