"""Rows of a walk-forward table: a model evaluated on data that it has not learned from."""

import csv
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv

from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.baselines.buy_and_hold import buy_and_hold_of
from finrl_ray.env.make import create_env
from finrl_ray.files.atomic import atomic_path
from finrl_ray.metrics.registry import HEADLINES, performance_summary

_MEASURES = (
    *(measure.name for measure in HEADLINES),
    "annual_return",
    "exposure",
    "beta",
    "turnover",
)


def evaluate_chunk(
    model: BaseAlgorithm,
    data: Any,
    env_kwargs: Mapping[str, Any],
    *,
    periods_per_year: float,
    risk_free_rate: float,
) -> dict[str, Any]:
    """Return the measures of one deterministic episode over `data`, from its first day.

    Parameters
    ----------
    model : not changed
    data : frame or MarketData
    env_kwargs : of `create_env`; random starts are switched off
    periods_per_year, risk_free_rate : of the measures

    Returns
    -------
    dict
        `timesteps` learned so far, `n_days`, Sharpe ratio and other measures, and the return and
        the Sharpe ratio of buy & hold at the same costs.
    """
    options = {name: value for name, value in env_kwargs.items() if name != "random_start"}
    env = create_env(data, **options)
    history = evaluate_account(model, DummyVecEnv([lambda: env]))[0]
    summarize = partial(
        performance_summary, periods_per_year=periods_per_year, risk_free_rate=risk_free_rate
    )
    measures = summarize(
        history.account_value,
        traded_amount=history.traded_amount,
        position_value=history.position_value,
        benchmark_value=history.benchmark_value,
    )
    held = summarize(buy_and_hold_of(env.accounts))
    return {
        "timesteps": model.num_timesteps,
        "n_days": len(history.dates),
        **{name: measures.get(name, math.nan) for name in _MEASURES},
        "n_trades": history.n_trades,
        "buy_and_hold_return": held["total_return"],
        "buy_and_hold_sharpe_ratio": held["sharpe_ratio"],
    }


def write_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows of the same keys as a CSV file that is whole or not there."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
