"""One account traded through all windows, each window by its own model."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from finrl_ray._typing import FloatArray
from finrl_ray.data.labels import date_label
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.account_history import AccountHistory
from finrl_ray.env.scaling import ObservationScaling
from finrl_ray.workflows.ensemble.account_run import HoldPolicy, run_account
from finrl_ray.workflows.ensemble.market import EnsembleMarket
from finrl_ray.workflows.ensemble.strategy import WindowChoice
from finrl_ray.workflows.ensemble.turbulence import turbulence_threshold
from finrl_ray.workflows.ensemble.window_training import (
    AccountOptions,
    TrainingOutcome,
    evaluation_env,
    model_from_bytes,
)
from finrl_ray.workflows.ensemble.windows import EnsembleWindow

logger = logging.getLogger(__name__)

NO_MODEL = "HOLD"
"""What the summary names as the model of a window without one."""


@dataclass(frozen=True, eq=False, kw_only=True)
class WindowRecord:
    """One window of a finished run.

    Parameters
    ----------
    window : its rows
    train_start, validation_start, trade_start : first dates, as the user wrote them
    trade_end : the date on which the account was last valued and handed over
    turbulence_threshold : of validation and trading, None for none
    sharpe, failures : per algorithm, see `WindowChoice`
    outcomes : per algorithm, with the validation's account
    model_used : upper-case name of the algorithm that traded, or `HOLD`
    note : what is out of the ordinary, empty if nothing
    history : the account while it was traded, its first day shared with the window before
    last_state : where the account stood at `trade_end`, in FinRL's layout [cash, close (N),
        shares (N), ...]
    algorithm, model, scaling : of the model that traded
    """

    window: EnsembleWindow
    train_start: Any
    validation_start: Any
    trade_start: Any
    trade_end: Any
    turbulence_threshold: float | None
    sharpe: Mapping[str, float]
    failures: Mapping[str, str]
    outcomes: Mapping[str, TrainingOutcome]
    model_used: str
    note: str
    history: AccountHistory
    last_state: list[float]
    algorithm: str | None
    model: bytes | None
    scaling: ObservationScaling | None

    @property
    def iteration(self) -> int:
        """FinRL's label of the window."""
        return self.window.iteration

    def load_model(self) -> BaseAlgorithm | None:
        """Return the SB3 model that traded, without an env; None if there was none."""
        if self.algorithm is None or self.model is None:
            return None
        return model_from_bytes(self.algorithm, self.model)


def window_thresholds(
    market: EnsembleMarket,
    windows: Sequence[EnsembleWindow],
    *,
    risk_name: str,
    lookback: int,
    quantile: float,
) -> list[float | None]:
    """Return each window's turbulence threshold, from the dates before its validation.

    None, and logged, where the data has no such series, or one that says nothing yet: FinRL's
    turbulence is 0 until a year of prices is known. Such leading zeros are no measurements.
    """
    data = market.market_data
    if risk_name not in (*data.market_feature_names, *data.feature_names):
        logger.warning(
            "the data has no column %r: there is no turbulence threshold, and nothing is ever sold "
            "because of turbulence",
            risk_name,
        )
        return [None for _ in windows]
    series = data.market_series(risk_name)
    result: list[float | None] = []
    for window in windows:
        insample = _measured(np.array(series[window.train_start : window.validation_start]))
        if insample.size:
            limit = turbulence_threshold(insample, lookback=lookback, quantile=quantile)
            result.append(limit)
            continue
        logger.warning(
            "window %d: %r does not vary before its validation: there is no threshold; start "
            "train_period earlier",
            window.iteration,
            risk_name,
        )
        result.append(None)
    return result


def _measured(insample: FloatArray) -> FloatArray:
    """Return the values without leading zeros; empty if what is left is one value throughout."""
    first = int(np.argmax(insample != 0)) if np.any(insample != 0) else len(insample)
    values = insample[first:]
    return values if values.size and values.min() != values.max() else values[:0]


def trade_window(
    market_data: MarketData,
    window: EnsembleWindow,
    policy: Any,
    account: AccountOptions,
    *,
    scaling: ObservationScaling | None,
    threshold: float | None,
    previous_state: list[float] | None,
) -> tuple[AccountHistory, list[float]]:
    """Trade one window, from cash or from where the window before has left the account.

    The env covers the window and the first day of the next. So orders are placed on every day of
    the window, also the last, and the overnight move into the next window is in the account curve
    once.

    Returns
    -------
    (AccountHistory, list of float)
        See `run_account`.
    """
    env = evaluation_env(
        market_data.rows(window.trade_start, window.value_stop),
        account,
        scaling=scaling,
        threshold=threshold,
        previous_state=previous_state,
    )
    return run_account(policy, env)


def trade_windows(
    market: EnsembleMarket, choices: Sequence[WindowChoice], account: AccountOptions
) -> list[WindowRecord]:
    """Trade all windows in order with one account and return their records."""
    state: list[float] | None = None
    records: list[WindowRecord] = []
    for choice in choices:
        record = _traded(market, choice, account, state)
        state = record.last_state
        records.append(record)
        logger.info(
            "traded %s to %s with %s: account value %.2f",
            date_label(record.history.dates[0]),
            date_label(record.history.dates[-1]),
            record.model_used,
            record.history.account_value[-1],
        )
    return records


def _traded(
    market: EnsembleMarket,
    choice: WindowChoice,
    account: AccountOptions,
    state: list[float] | None,
) -> WindowRecord:
    if choice.algorithm is not None and choice.model is not None:
        policy: Any = model_from_bytes(choice.algorithm, choice.model)
    else:
        policy = HoldPolicy(market.market_data.n_assets)
        # target weights of 0 would sell; no orders keep what is held
        account = replace(
            account,
            action="orders",
            zero_action="cash",
            max_weight=1.0,
            no_trade_band=None,
            trade_rate=1.0,
        )
    window, labels = choice.window, market.labels
    history, last_state = trade_window(
        market.market_data,
        window,
        policy,
        account,
        scaling=choice.scaling,
        threshold=choice.threshold,
        previous_state=state,
    )
    return WindowRecord(
        window=window,
        train_start=labels[window.train_start],
        validation_start=labels[window.validation_start],
        trade_start=labels[window.trade_start],
        trade_end=labels[window.value_stop - 1],
        turbulence_threshold=choice.threshold,
        sharpe=choice.sharpe,
        failures=choice.failures,
        outcomes=choice.outcomes,
        model_used=NO_MODEL if choice.algorithm is None else choice.algorithm.upper(),
        note=choice.note,
        history=history,
        last_state=last_state,
        algorithm=choice.algorithm,
        model=choice.model,
        scaling=choice.scaling,
    )
