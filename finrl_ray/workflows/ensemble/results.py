"""What a run of the ensemble gives: FinRL's summary, frames of the account, files on request."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from finrl_ray.agents.drl_agent import account_frame, actions_frame
from finrl_ray.env.account_history import AccountHistory
from finrl_ray.files.atomic import atomic_path
from finrl_ray.workflows.ensemble.trading import WindowRecord

SUMMARY_ALGORITHMS = ("a2c", "ppo", "ddpg", "sac", "td3")
"""In the order of FinRL's columns."""


def summary_frame(records: Sequence[WindowRecord]) -> pd.DataFrame:
    """Return FinRL's summary, one row per window, every column of dtype object as in FinRL.

    `Iter`, `Val Start`, `Val End` (the first date that is traded), `Model Used`, and one Sharpe
    ratio per algorithm: NaN where its training failed, None where it did not take part.
    """
    rows: list[list[Any]] = [
        [record.iteration for record in records],
        [record.validation_start for record in records],
        [record.trade_start for record in records],
        [record.model_used for record in records],
    ]
    rows += [[record.sharpe.get(name) for record in records] for name in SUMMARY_ALGORITHMS]
    frame = pd.DataFrame(rows, dtype=object).T
    frame.columns = pd.Index(
        ["Iter", "Val Start", "Val End", "Model Used"]
        + [f"{name.upper()} Sharpe" for name in SUMMARY_ALGORITHMS]
    )
    return frame


def write_results(
    folder: str | Path, records: Sequence[WindowRecord], labels: dict[Any, Any]
) -> None:
    """Write FinRL's files of every window, under FinRL's names, and the summary.

    Per window with label i: `account_value_trade_ensemble_{i}.csv`, `account_rewards_trade_...`,
    `actions_trade_...`, `last_state_ensemble_{i}.csv`, `account_value_validation_{model}_{i}.csv`
    and the model that traded, `{MODEL}_ensemble_{i}.zip`. A day that two windows share is in the
    later one's file, so the files put together are the whole account.

    Parameters
    ----------
    folder : created if it is not there
    labels : how the user wrote each date
    """
    target = Path(folder)
    for number, record in enumerate(records):
        is_last = number == len(records) - 1
        _write_trade(target, record, [labels[date] for date in record.history.dates], is_last)
        for name, outcome in record.outcomes.items():
            if outcome.validation is not None:
                dates = [labels[date] for date in outcome.validation.dates]
                path = target / f"account_value_validation_{name}_{record.iteration}.csv"
                _write(_value_frame(outcome.validation, dates), path)
        if record.model is not None:
            with atomic_path(
                target / f"{record.model_used}_ensemble_{record.iteration}.zip"
            ) as file:
                file.write_bytes(record.model)
    _write(summary_frame(records), target / "summary.csv")


def _write_trade(target: Path, record: WindowRecord, dates: list[Any], is_last: bool) -> None:
    history, suffix = record.history, f"trade_ensemble_{record.iteration}.csv"
    values = _value_frame(history, dates)
    _write(values if is_last else values.iloc[:-1], target / f"account_value_{suffix}")
    rewards = pd.DataFrame({"account_rewards": history.rewards, "date": dates[:-1]})
    _write(rewards, target / f"account_rewards_{suffix}")
    with atomic_path(target / f"actions_{suffix}") as file:
        actions_frame(history, dates).to_csv(file)
    state = pd.DataFrame({"last_state": record.last_state})
    _write(state, target / f"last_state_ensemble_{record.iteration}.csv")


def _value_frame(history: AccountHistory, dates: list[Any]) -> pd.DataFrame:
    frame = account_frame(history, dates)[["account_value", "date"]]
    frame["daily_return"] = frame["account_value"].pct_change(1)
    return frame


def _write(frame: pd.DataFrame, path: Path) -> None:
    with atomic_path(path) as file:
        frame.to_csv(file, index=False)
