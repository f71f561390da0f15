"""The folder of a search as it would be, made without Ray and without training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.config.data import DataConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import parse_config
from finrl_ray.data.load import market_data_of
from finrl_ray.data.windows.split import make_split
from finrl_ray.metrics.beside_benchmark import residual_returns
from finrl_ray.metrics.returns import simple_returns
from finrl_ray.own_code.code_files import CodeFiles
from finrl_ray.search.folder.folder import SearchFolder, create_folder
from finrl_ray.search.folder.names import ACCOUNT_CURVES_FILE, RESIDUAL_RETURNS_FILE
from finrl_ray.search.folder.own_code import code_of, run_code
from finrl_ray.search.journal.events import append_events
from finrl_ray.search.journal.records import TrialRecords
from finrl_ray.search.results.returns import TrialReturns
from finrl_ray.search.results.table import winner
from finrl_ray.search.results.verdict import judge_search, write_verdict
from finrl_ray.search.run.outputs import write_baselines

EVALUATIONS = 4
STEPS = 256


@dataclass
class Clock:
    """Seconds since the epoch, moved by hand."""

    now: float = 1_000.0


def prices(tickers: Sequence[str], n_days: int = 400) -> pd.DataFrame:
    """Return closes on weekdays from 2020 on, in FinRL's long format."""
    rng = np.random.default_rng(0)
    dates = pd.bdate_range("2020-01-01", periods=n_days)
    frames = []
    for ticker in tickers:
        close = 50.0 * np.exp(np.cumsum(rng.normal(0.0003, 0.01, n_days)))
        frames.append(pd.DataFrame({"date": dates, "tic": ticker, "close": close}))
    return pd.concat(frames, ignore_index=True)


def made_config(
    storage: Path, num_samples: int, name: str = "made", **sections: dict[str, Any]
) -> ExperimentConfig:
    """Return a config; `sections` are laid over its sections."""
    raw: dict[str, Any] = {
        "name": name,
        "data": {"features": []},
        "split": {
            "train": [None, "2020-07-01"],
            "validation": ["2020-07-01", "2021-02-01"],
            "test": ["2021-02-01", None],
        },
        "agent": {"total_timesteps": EVALUATIONS * STEPS},
        "evaluation": {"eval_freq": STEPS, "periods_per_year": 252.0},
        "search": {"num_samples": num_samples, "storage_path": str(storage)},
    }
    for section, content in sections.items():
        raw[section] = {**raw.get(section, {}), **content}
    return parse_config(raw)


def sample(index: int) -> dict[str, Any]:
    rng = np.random.default_rng(index)
    return {
        "learning_rate": float(10 ** rng.uniform(-5, -3)),
        "n_steps": [64, 128, 256][index % 3],
        "net_arch": ["tiny", "small"][index % 2],
        "gamma": float(rng.uniform(0.9, 0.999)),
    }


def made_search(
    storage: Path,
    *,
    n_trials: int = 12,
    planned: int | None = None,
    failed: Sequence[int] = (),
    tickers: Sequence[str] = ("AAA", "BBB", "CCC"),
    name: str = "made",
    rows: pd.DataFrame | None = None,
    base_dir: Path | None = None,
    **sections: dict[str, Any],
) -> SearchFolder:
    """Make a search of which `n_trials` have ended; it is finished if as many were planned.

    Every third trial was stopped at half of its timesteps; those in `failed` have failed after
    their first evaluation. `rows` are its prices, `sections` are laid over those of its config.
    With `base_dir`, where files of own code lie, it has the features that its config names.
    """
    config = made_config(storage, planned or n_trials, name, **sections)
    rows = prices(tickers) if rows is None else rows
    code = CodeFiles() if base_dir is None else code_of(config, base_dir)
    if base_dir is not None:
        run_code(config, code)
    data, report = market_data_of(
        rows, DataConfig(features=()) if base_dir is None else config.data
    )
    split = make_split(data, config.split)
    facts = {**report.to_dict(), "lines": report.lines()}
    folder = create_folder(config, data, split, facts, storage, code=code)
    _write_journal(folder, n_trials, failed)
    finished = n_trials == config.search.num_samples
    _write_outputs(folder, finished=finished)
    return folder


def _write_journal(folder: SearchFolder, n_trials: int, failed: Sequence[int]) -> None:
    records, clock = TrialRecords(), Clock()
    events: list[dict[str, Any]] = []

    def note(event: str, **content: Any) -> None:
        clock.now += 0.5
        events.append({"event": event, "n": len(events) + 1, "time": clock.now, **content})

    note("search", state="started")
    for index in range(n_trials):
        own = {"trial_id": f"{index:05d}"}
        note("created", **own, index=index, sample=sample(index))
        note("start", **own)
        lost, stopped = index in failed, index % 3 == 2
        last = 1 if lost else EVALUATIONS // 2 if stopped else EVALUATIONS
        rng = np.random.default_rng(index)
        for evaluation in range(1, last + 1):
            value = float(rng.normal(0.5, 0.4))
            metrics = {
                "timesteps": evaluation * STEPS,
                "objective": value,
                "eval_objective": value,
                "eval/sharpe_ratio": value,
                "eval/appraisal_ratio": value,
                "eval/exposure": 0.4,
                "eval/beta": 0.3,
                "eval/max_drawdown": -0.1,
                "eval/total_return": 0.05,
                "eval/annual_volatility": 0.1,
                "eval/turnover": 1.5,
            }
            note("result", **own, metrics=metrics)
            if folder.config.search.has_ensemble:  # whose members are those that have left one
                place = f"ray/{index}/checkpoint_{evaluation - 1:06d}"
                note("checkpoint", **own, timesteps=evaluation * STEPS, path=place)
        state = "failed" if lost else "stopped" if stopped else "completed"
        reason = "ValueError: <b>no</b>" if lost else f"{state} after {last} evaluations"
        note("end", **own, state=state, reason=reason, error="Traceback" if lost else "")
    done = n_trials == folder.config.search.num_samples
    note("search", state="finished" if done else "interrupted", ended_by="")
    append_events(folder.path, records, events)


def _write_outputs(folder: SearchFolder, *, finished: bool) -> None:
    window = folder.validation_data
    held = buy_and_hold(window, folder.config.env)
    records = folder.records().in_order()
    frames, columns, trials = [], [], []
    for record in records:
        if record.state == "failed":
            continue
        rng = np.random.default_rng(100 + record.index)
        noise = np.concatenate([[0.0], rng.normal(0.0, 0.004, len(held) - 1)])
        values = held * np.exp(np.cumsum(noise))
        steps = record.last["timesteps"]
        frames.append(
            pd.DataFrame(
                {"trial": record.index, "timesteps": steps, "date": window.dates,
                 "account_value": values}
            )
        )  # fmt: skip
        columns.append(simple_returns(values))
        trials.append(record.index)
    curves = pd.DataFrame({"trial": [], "timesteps": [], "date": [], "account_value": []})
    curves = pd.concat(frames, ignore_index=True) if frames else curves
    curves.to_parquet(folder.path / ACCOUNT_CURVES_FILE)
    write_baselines(folder)
    if not finished:
        return
    own = np.column_stack(columns) if columns else np.empty((len(held) - 1, 0))
    market = simple_returns(held)
    residual = own.copy()
    for column in range(own.shape[1]):
        residual[:, column] = residual_returns(own[:, column], market)
    returns = TrialReturns(
        trials=tuple(trials),
        dates=window.dates[1:],
        own=own,
        benchmark=market,
        residual=residual,
    )
    frame = pd.DataFrame(residual, columns=[str(trial) for trial in trials])
    frame.insert(0, "date", returns.dates)
    frame.to_parquet(folder.path / RESIDUAL_RETURNS_FILE)
    best = winner(records, folder.config) if trials else None
    write_verdict(folder.path, judge_search(folder, records, returns, best))
