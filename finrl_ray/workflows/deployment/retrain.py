"""`retrain`: the next agent of a schedule, from the folder of the one before and newer bars alone.

It takes neither the search nor Ray: an agent's folder has the trial's config, sample and raw rows.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray.data.labels import date_label
from finrl_ray.data.market_data import MarketData
from finrl_ray.deployment.agent_folder import (
    BARS_FILE,
    PAPER_FOLDER,
    AgentFolder,
    read_agent_folder,
    write_agent,
)
from finrl_ray.deployment.bar_checks.dates import is_until, named_instant
from finrl_ray.deployment.bar_checks.volume import agent_needs_volume
from finrl_ray.deployment.bars import market_of_bars, read_bars, with_new_bars
from finrl_ray.deployment.new_bars import BarRules, read_new_bars
from finrl_ray.deployment.onnx_policy.export import ONNX_FILE
from finrl_ray.deployment.own_code import CODE_FOLDER, run_code
from finrl_ray.errors import DataError, SearchError
from finrl_ray.machine.processor import processor_facts
from finrl_ray.search.folder.folder import versions
from finrl_ray.support.progress import Progress, no_progress
from finrl_ray.support.text import counted
from finrl_ray.training.stretches import Stretch
from finrl_ray.training.threads import threads_per_trial
from finrl_ray.workflows.deployment.behaviour import what_changed
from finrl_ray.workflows.deployment.onnx_file import as_onnx, require_as_onnx
from finrl_ray.workflows.deployment.planned import AgentPlan, PlannedTrial, train_planned
from finrl_ray.workflows.deployment.replaced import dated_name, new_folder

_WRITTEN = frozenset(
    {"format", "algorithm", "tickers", "features", "trained", "data_hash", "members", CODE_FOLDER}
)
"""Facts that `write_agent` writes itself."""


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """What `retrain` returns.

    Parameters
    ----------
    path : the agent's folder
    due : whether the step was due
    trained : whether a new agent was trained
    kept : where the one before lies now; None where nothing was trained
    changed : what the step was, or why there was none, in sentences
    """

    path: Path
    due: bool
    trained: bool
    kept: Path | None
    changed: tuple[str, ...]


def retrain(
    agent: str | Path,
    *,
    prices: "str | Path | pd.DataFrame | None" = None,
    last: str | None = None,
    at_once: bool = False,
    trust: bool = False,
    progress: Progress = no_progress,
) -> Retraining:
    """Train the next agent if it is due, put it in the place of the one before, and keep that.

    It is due when `deploy.retrain.every` bars have come since the agent was trained. The new one is
    trained from scratch on every bar that is known, or with `window: rolling` on as many of the
    latest as the first agent of the schedule was. Its forward record begins anew.

    Parameters
    ----------
    agent : the folder
    prices : bars that the agent has not seen, as for `finrl-ray signal`; None: those alone that it
        has seen
    last : date of the last bar to train on, a day with all its bars or the time of one; None: the
        last one, which has to be recent where `prices` are given
    at_once : train although it is not due
    trust : run code in the folder that somebody else has put there; see docs/trust.md
    progress : told before each training

    Raises
    ------
    SearchError
        If it is no agent's folder, it is damaged, or was deployed by a version that kept no plan.
    ConfigError
        If the agent has `model.onnx`, which is written again, and its extra is not installed.
    DataError
        If the prices are refused, or there are no new ones.
    TrialDivergedError
        When a parameter of the networks is NaN or infinite.
    """
    folder = read_agent_folder(agent)
    path = folder.path.absolute()
    plan = _plan(folder)
    bars = _bars(folder, prices, last, progress)
    code = folder.code
    run_code(folder.path, folder.facts, folder.config, code, trust=trust, training=True)
    market = market_of_bars(bars, folder.config.data)
    schedule = folder.config.deploy.retrain
    # bars do not come at equal steps, so that only the last one says which are new
    since = np.datetime64(folder.facts["trained"]["last"], "ns")
    new = int((market.dates > since).sum())
    due = new >= schedule.every
    if not due and not at_once:
        left = schedule.every - new
        return Retraining(
            path=path,
            due=False,
            trained=False,
            kept=None,
            changed=(
                f"not due: {counted(new, 'bar')} of {schedule.every} have come since "
                f"{date_label(since)}, the last bar that it was trained on; it is due in "
                f"{counted(left, 'bar')}",
            ),
        )
    if not new:
        raise DataError(
            f"{path}: there is no bar that the agent was not trained on; give newer ones (--prices)"
        )
    with_onnx = (path / ONNX_FILE).is_file()  # which a program may read
    if with_onnx:
        require_as_onnx(plan)
    rows = _first_row(folder, market), market.n_periods
    kept = dated_name(path)
    with tempfile.TemporaryDirectory() as scratch:
        trained = train_planned(plan, market.rows(*rows), Path(scratch), progress)
        changed = what_changed(folder, plan, trained.model, market, rows, trust=trust)
        seen = trained.seen
        extra = [as_onnx(Path(scratch), folder.config, trained)] if with_onnx else []
        with new_folder(path, kept, agent=folder.sha256) as place:
            write_agent(
                place,
                config=folder.config,
                model=trained.model,
                bars=bars,
                trained=seen,
                scalings=trained.scalings,
                code=code,
                facts=_facts(folder, plan, trained, kept),
                extra_files=extra,
            )
    return Retraining(path=path, due=due, trained=True, kept=kept, changed=changed)


def _plan(folder: AgentFolder) -> AgentPlan:
    try:
        trials = tuple(
            PlannedTrial(
                trial=int(one["trial"]),
                rank=one["rank"],
                sample=dict(one["sample"]),
                stretches=tuple(Stretch(**stretch) for stretch in one["stretches"]),
            )
            for one in folder.facts["trials"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SearchError(
            f"{folder.path} does not say how it was trained ({error!r}); deploy it again from its "
            "search: finrl-ray deploy"
        ) from error
    return AgentPlan(config=folder.config, trials=trials, together=bool(folder.facts["members"]))


def _bars(
    folder: AgentFolder,
    prices: "str | Path | pd.DataFrame | None",
    last: str | None,
    progress: Progress,
) -> pd.DataFrame:
    """Return every bar that is known, the given ones included, up to the last one wanted."""
    bars, data = folder.bars, folder.config.data
    wanted = None if last is None else named_instant(last)
    seen = folder.path / PAPER_FOLDER / BARS_FILE
    if seen.is_file():
        bars = with_new_bars(bars, read_bars(seen), data)
    if prices is not None:
        rules = BarRules(date=last)
        tickers = tuple(folder.facts["tickers"])
        found = read_new_bars(
            prices,
            bars,
            data,
            tickers,
            rules,
            volume_matters=agent_needs_volume(folder),
            progress=progress,
        )
        bars = with_new_bars(bars, found.rows, data) if len(found.rows) else bars
    if wanted is None:
        return bars
    kept = is_until(bars["date"].to_numpy().astype("datetime64[ns]"), wanted)
    if not kept.any():
        raise DataError(
            f"{folder.path}: there must be bars to train on up to --date {date_label(wanted)}, but "
            f"the first one that is known is of {date_label(bars['date'].to_numpy().min())}; give "
            "a later date"
        )
    return bars[kept].reset_index(drop=True)


def _first_row(folder: AgentFolder, market: MarketData) -> int:
    """Return the first row that the new agent is trained on."""
    first = np.datetime64(folder.facts["trained"]["first"], "ns")
    row = int(np.searchsorted(market.dates, first))
    if folder.config.deploy.retrain.window == "growing":
        return row
    return max(row, market.n_periods - int(folder.facts["trained"]["rows"]))


def _facts(folder: AgentFolder, plan: AgentPlan, trained: Any, kept: Path) -> Mapping[str, Any]:
    """Return what the new folder says: what the old one did, and what it follows."""
    facts = {name: value for name, value in folder.facts.items() if name not in _WRITTEN}
    trials = [
        {**known, "seed": one.seed, "timesteps": one.timesteps}
        for known, one in zip(folder.facts["trials"], trained.trainings, strict=True)
    ]
    return {
        **facts,
        "trials": trials,
        "deployed": datetime.now().astimezone().isoformat(timespec="seconds"),
        "follows": {
            "folder": kept.name,
            "manifest_sha256": folder.sha256,
            "trained": folder.facts["trained"],
        },
        "versions": versions(),
        "processor": processor_facts(threads_per_trial(plan.config)),
    }
