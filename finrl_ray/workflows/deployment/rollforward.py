"""`rollforward`: what a search has found, trained again and again, as it would have been lived.

Every agent is trained on rows before its first trade alone, and trades until the next one is
trained; the account goes from one to the next. What is not of the past is the choice of the
configuration: a chain over rows that the search has judged its trials on repeats their luck.
"""

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray._typing import DateArray, FloatArray
from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.config.after_search.deploy import RetrainConfig
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.data.chosen_features import market_of_sample
from finrl_ray.data.labels import date_label
from finrl_ray.errors import SearchError
from finrl_ray.files.copy import copy_tree
from finrl_ray.metrics.beside_benchmark import residual_returns
from finrl_ray.metrics.earnings import Earnings, earnings_of
from finrl_ray.metrics.returns import simple_returns
from finrl_ray.search.folder.folder import SearchFolder, open_folder
from finrl_ray.search.folder.mirror import FolderMirror
from finrl_ray.search.folder.test_openings import count_openings, record_opening
from finrl_ray.search.results.verdict import configurations_tried
from finrl_ray.search.results.winner_file import winners_model_file
from finrl_ray.statistics.verdict import Verdict, judge
from finrl_ray.statistics.verdict_text import verdict_sentences
from finrl_ray.support.progress import Progress, no_progress
from finrl_ray.support.text import counted
from finrl_ray.workflows.deployment.chain import HandedOver, trade_step, values_of, write_files
from finrl_ray.workflows.deployment.chosen import ChosenTrials, chosen_trials
from finrl_ray.workflows.deployment.deploy import plan_of
from finrl_ray.workflows.deployment.planned import AgentPlan
from finrl_ray.workflows.deployment.rows import first_row_of, trained_rows
from finrl_ray.workflows.deployment.step_trainings import (
    StepTraining,
    train_here,
    train_on_ray,
)
from finrl_ray.workflows.deployment.steps import Step, steps_of

ROLLFORWARD_FOLDER = "rollforward"
CHAIN_FILE = "chain.csv"
STEPS_FILE = "steps.csv"
RESULT_FILE = "rollforward.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class Rollforward:
    """What `rollforward` returns.

    Parameters
    ----------
    path : folder of `chain.csv`, `steps.csv` and `rollforward.json`
    who : the trials that the agents are of, with how they were chosen
    retrain : after how many rows the next agent followed, and on which rows it was trained
    chain : one row per date: `date`, `step`, `agent` and `buy_and_hold`, account values in currency
    steps : one row per agent: `step`, `trained_from`, `trained_until` (exclusive), `rows`, `first`
        and `last` date of its account, `agent_return` and `buy_and_hold_return`, fractions
    verdict : on the chain's returns beside buy & hold, with every trial of the search in N
    earnings : what the chain has earned
    notes : what a reader should know besides, in sentences
    """

    path: Path
    who: str
    retrain: RetrainConfig
    chain: pd.DataFrame
    steps: pd.DataFrame
    verdict: Verdict
    earnings: Earnings
    notes: tuple[str, ...]

    def sentences(self) -> list[str]:
        """Return it in words, the verdict first."""
        headline, *rest = verdict_sentences(self.verdict)
        first, last = (date_label(self.chain["date"].to_numpy()[row]) for row in (0, -1))
        ahead = int((self.steps["agent_return"] > self.steps["buy_and_hold_return"]).sum())
        return [
            headline,
            f"{self.who}: {counted(len(self.steps), 'agent')}, a new one every "
            f"{counted(self.retrain.every, 'row')} ({self.retrain.window} window), traded one "
            f"account from {first} to {last}; {ahead} of them did better than buy & hold",
            self.earnings.sentence("the chain"),
            *rest,
            *self.notes,
        ]


def rollforward(
    path: str | Path,
    *,
    every: int | None = None,
    window: str | None = None,
    start: str | date | None = None,
    until: str | date | None = None,
    trial: int | None = None,
    confirmed: bool = False,
    on_ray: bool = True,
    address: str | None = None,
    trust: bool = False,
    progress: Progress = no_progress,
) -> Rollforward:
    """Train and trade a chain of agents through history, and judge it beside buy & hold.

    Parameters
    ----------
    path : the search's folder, or its URL
    every : rows after which the next agent follows; None: `deploy.retrain.every`
    window : `growing` or `rolling`; None: `deploy.retrain.window`
    start : first date on which an agent decides, as `YYYY-MM-DD`; None: where the validation window
        begins
    until : first date that is not traded; None: where the test window begins while it is sealed,
        and where it ends once `backtest` has opened it
    trial, confirmed : see `finrl_ray.workflows.deployment.deploy.deploy`
    on_ray : train side by side on Ray; False: one after the other in this process
    address : of a Ray to join, see `run_search`
    trust : run own code that somebody else has put into the folder
    progress : told how many agents are trained

    Raises
    ------
    SearchError
        As `deploy`, and if the chain would trade a test window that is sealed, or a training fails.
    ConfigError, DataError
        If the dates or `every` leave nothing to train on or to trade.
    """
    folder = open_folder(path)
    chosen = chosen_trials(folder, trial=trial, confirmed=confirmed)
    retrain = _retrain(folder, every, window)
    begin, end = _traded_rows(folder, start, until)
    steps = steps_of(folder.split.train.first_row, begin, end, retrain)
    folder.run_code(trust=trust)
    plan = plan_of(folder, chosen)
    with FolderMirror(folder.path, folder.remote):
        _record(folder, chosen, begin, end)
        # no more than the last agent is trained on
        rows = folder.market_data.rows(0, steps[-1].train[1])
        if on_ray:
            trained = train_on_ray(rows, plan, steps, progress, code=folder.code, address=address)
        else:
            trained = train_here(rows, plan, steps, progress)
        chain, table, exposure = _traded(folder, plan, steps, trained)
        result = _judged(folder, chosen, retrain, chain, table, exposure)
        _write(result)
    return result


def _retrain(folder: SearchFolder, every: int | None, window: str | None) -> RetrainConfig:
    known = folder.config.deploy.retrain
    return RetrainConfig(
        every=known.every if every is None else every,
        window=known.window if window is None else window,  # type: ignore[arg-type]  # it checks
    )


def _traded_rows(
    folder: SearchFolder, start: str | date | None, until: str | date | None
) -> tuple[int, int]:
    """Return the first row at which an agent decides, and the row after the last one."""
    split = folder.split
    begin = split.validation.first_row if start is None else first_row_of(folder, start)
    end = trained_rows(folder, until).stop_row
    if end > split.test.first_row and not count_openings(folder.path):
        raise SearchError(
            f"the chain would trade the test window, which begins at {date_label(split.test.start)}"
            f" and is sealed; open it for the winner first (finrl-ray backtest {folder.path}), or "
            "end the chain before it (--until)"
        )
    return begin, end


def _record(folder: SearchFolder, chosen: ChosenTrials, begin: int, end: int) -> None:
    """Note that the test window is looked at, where the chain trades it."""
    if end <= folder.split.test.first_row:
        return
    dates = folder.market_data.dates
    first = max(begin, folder.split.test.first_row)
    window = (date_label(dates[first]), date_label(dates[end - 1]))
    numbers = tuple(record.index for record in chosen.records) if chosen.ensemble else ()
    record_opening(
        folder,
        chosen.records[0],
        winners_model_file(folder),
        window,
        by="rollforward",
        ensemble=numbers,
    )


def _traded(
    folder: SearchFolder,
    plan: AgentPlan,
    steps: Sequence[Step],
    trained: Sequence[StepTraining],
) -> tuple[pd.DataFrame, pd.DataFrame, float]:
    """Return the account by date, one row per step, and the mean invested share."""
    market = folder.market_data
    account = config_of_sample(folder.config, plan.trials[0].sample).env
    begin, end = steps[0].trade[0], steps[-1].trade[1] + 1
    whole = market_of_sample(market.rows(begin, end), plan.trials[0].sample)
    held = buy_and_hold(whole, account)
    values: list[FloatArray] = []
    rows, invested, numbers = [], [], []
    before: HandedOver | None = None
    for step, one in zip(steps, trained, strict=True):
        with tempfile.TemporaryDirectory() as scratch:
            write_files(one.files, Path(scratch))
            # it was trained a moment ago, here or by a worker of this process
            file = Path(scratch) / one.model
            history, after = trade_step(plan, file, market, step, before, trust=True)
        own = values_of(history, before)
        values.append(own if before is None else own[1:])
        numbers += [step.number] * len(values[-1])
        if history.position_value is not None:
            invested.append(history.position_value[:-1] / history.account_value[:-1])
        rows.append(_row(step, one, market.dates, own, held[step.trade[0] - begin :], len(own)))
        before = after
    chain = pd.DataFrame(
        {
            "date": market.dates[begin:end],
            "step": numbers,
            "agent": np.concatenate(values),
            "buy_and_hold": held,
        }
    )
    exposure = float(np.mean(np.concatenate(invested))) if invested else float("nan")
    return chain, pd.DataFrame(rows), exposure


def _row(
    step: Step,
    training: StepTraining,
    dates: DateArray,
    own: FloatArray,
    held: FloatArray,
    length: int,
) -> dict[str, Any]:
    return {
        "step": step.number,
        "trained_from": date_label(dates[step.train[0]]),
        "trained_until": date_label(dates[step.train[1]]),
        "rows": step.train[1] - step.train[0],
        "timesteps": sum(training.timesteps),
        "first": date_label(dates[step.trade[0]]),
        "last": date_label(dates[step.trade[1]]),
        "agent_return": float(own[-1] / own[0] - 1.0),
        "buy_and_hold_return": float(held[length - 1] / held[0] - 1.0),
    }


def _judged(
    folder: SearchFolder,
    chosen: ChosenTrials,
    retrain: RetrainConfig,
    chain: pd.DataFrame,
    steps: pd.DataFrame,
    exposure: float,
) -> Rollforward:
    own, held = (simple_returns(chain[name].to_numpy()) for name in ("agent", "buy_and_hold"))
    records = folder.records().in_order()
    verdict = judge(
        residual_returns(own, held)[:, None],
        0,
        n_trials=max(1, configurations_tried(records, folder.config)),
        periods_per_year=folder.periods_per_year,
        seed=folder.config.seed,
    )
    notes = ["each agent was trained on rows before its first trade alone"]
    searched = folder.split.validation.end
    if chain["date"].to_numpy()[0] < searched:
        notes.append(
            f"the configuration was chosen on rows up to {date_label(searched)}: the part of the "
            "chain before that repeats the luck of that choice, for which N counts every trial"
        )
    return Rollforward(
        path=folder.path / ROLLFORWARD_FOLDER,
        who=f"{chosen.who}, {chosen.why}",
        retrain=retrain,
        chain=chain,
        steps=steps,
        verdict=verdict,
        earnings=earnings_of(own, held, exposure),
        notes=tuple(notes),
    )


def _write(result: Rollforward) -> None:
    """Write the three files; the folder is the whole of them, or what it was."""
    content = {
        "verdict": result.verdict.kind,
        "sentences": result.sentences(),
        "retrain": dataclasses.asdict(result.retrain),
        "earnings": result.earnings.to_dict(),
        "figures": result.verdict.to_dict(),
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / ROLLFORWARD_FOLDER
        folder.mkdir()
        result.chain.to_csv(folder / CHAIN_FILE, index=False)
        result.steps.to_csv(folder / STEPS_FILE, index=False)
        text = json.dumps(content, indent=2) + "\n"
        (folder / RESULT_FILE).write_text(text, encoding="utf-8")
        copy_tree(folder, result.path)
