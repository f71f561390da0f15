"""`deploy`: what a search has found, trained once more on all rows that may be used, as one folder.

The trainings of a search leave out the rows that they are judged on, and those of the test window.
What trades tomorrow has no reason to.
"""

import dataclasses
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from finrl_ray.agents.hyperparameters import settings_of_sample
from finrl_ray.config.data import DataConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.deployment.agent_folder import write_agent
from finrl_ray.errors import SearchError
from finrl_ray.machine.processor import processor_facts
from finrl_ray.search.folder.folder import SearchFolder, open_folder, versions
from finrl_ray.search.results.ensemble_parts import plain_sample
from finrl_ray.search.sampling.searched_data import data_of_search
from finrl_ray.support.progress import Progress, no_progress
from finrl_ray.support.text import counted
from finrl_ray.training.threads import threads_per_trial
from finrl_ray.workflows.backtest_files import read_backtest
from finrl_ray.workflows.deployment.bars import agents_data, bars_of
from finrl_ray.workflows.deployment.chosen import ChosenTrials, chosen_trials, stretches_of
from finrl_ray.workflows.deployment.onnx_file import as_onnx, require_as_onnx
from finrl_ray.workflows.deployment.planned import (
    AgentPlan,
    PlannedTrial,
    TrainedAgent,
    train_planned,
)
from finrl_ray.workflows.deployment.replaced import dated_name, new_folder, require_place
from finrl_ray.workflows.deployment.rows import trained_rows

AGENT_FOLDER = "agent"
"""Where an agent lies in the folder of its search, unless another place is given."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What `deploy` returns.

    Parameters
    ----------
    path : the agent's folder, which `finrl_ray.load_agent` reads
    trials : numbers of the trials that it is; several act together
    who : the same in words, with how they were chosen
    trained : first date that it was trained on, and first one that it was not, ISO
    n_rows : dates that it was trained on
    timesteps : of each training
    verdict : the verdict of the search, and whether it is on this agent, in sentences
    notes : what a reader should know besides, in sentences
    kept : where the agent lies now that was there before; None where there was none with a record
    """

    path: Path
    trials: tuple[int, ...]
    who: str
    trained: tuple[str, str]
    n_rows: int
    timesteps: tuple[int, ...]
    verdict: tuple[str, ...]
    notes: tuple[str, ...] = ()
    kept: Path | None = None

    def sentences(self) -> list[str]:
        """Return it in words, line by line."""
        first, until = self.trained
        steps = " and ".join(dict.fromkeys(f"{count:,}" for count in self.timesteps))
        return [
            self.who,
            f"trained once more for {steps} timesteps on {counted(self.n_rows, 'row')}, {first} to "
            f"{until} (not included)",
            *self.verdict,
            *self.notes,
            *([] if self.kept is None else [f"the agent that was there is kept in {self.kept}"]),
        ]


def deploy(
    path: str | Path,
    *,
    trial: int | None = None,
    confirmed: bool = False,
    until: str | date | None = None,
    out: str | Path | None = None,
    replace: bool = False,
    onnx: bool = False,
    trust: bool = False,
    progress: Progress = no_progress,
) -> Deployment:
    """Train the winner of a finished search once more, and write the folder of an agent.

    It is trained in this process, from scratch, with the seed of its trial, on all rows from the
    first of the train window up to `until`; observations are standardised, and the statistics of
    VecNormalize gathered, on those rows alone. The same call gives the same model, bit for bit. The
    folder needs neither the search nor Ray. A verdict without evidence does not stop it; it is
    carried along and said.

    Parameters
    ----------
    path : the search's folder, or its URL
    trial : number of the trial to deploy; None: the winner, with `search.ensemble` all of its
        trials, which act together
    confirmed : deploy the first of the search's latest `confirm` instead
    until : first date that is not trained on, as `YYYY-MM-DD`; exclusive, as the end of each window
        of `split` is. None: where the test window begins while it is sealed, and where it ends once
        `backtest` has opened it
    out : the agent's folder; None: `agent` in the folder of the search
    replace : put it in the place of an agent that is there; one with a forward record is kept
        beside it under a dated name
    onnx : also write the policy as `model.onnx`, see `finrl_ray.deployment.onnx_policy.export`
    trust : run own code that somebody else has put into the folder; see docs/trust.md
    progress : told before each training

    Raises
    ------
    SearchError
        If the folder is no search's, the search has not ended or has no winner, the trial is
        unknown or cannot win, the features of the search cannot be computed again, or there is
        something in `out` that may not be replaced.
    DataError
        If `until` is no date, lies outside the data or leaves too few rows.
    ConfigError
        If options do not go together, nothing can be written to `out`, or the agent cannot be
        written as ONNX.
    TrialDivergedError
        When a parameter of the networks is NaN or infinite.
    """
    folder = open_folder(path)
    target = folder.path / AGENT_FOLDER if out is None else Path(out).expanduser().absolute()
    chosen = chosen_trials(folder, trial=trial, confirmed=confirmed)
    rows = trained_rows(folder, until)
    require_place(target, replace=replace)
    folder.run_code(trust=trust)
    plan = plan_of(folder, chosen)
    samples = [planned.sample for planned in plan.trials]
    config = agents_config(folder, samples, together=plan.together)
    if onnx:
        require_as_onnx(plan)
    bars = bars_of(folder, rows, samples)
    with tempfile.TemporaryDirectory() as scratch:
        agent = train_planned(plan, rows.cut(folder.market_data), Path(scratch), progress)
        extra = [as_onnx(Path(scratch), config, agent)] if onnx else []
        kept = dated_name(target)
        with new_folder(target, kept) as place:
            write_agent(
                place,
                config=config,
                model=agent.model,
                bars=bars,
                trained=agent.seen,
                until=rows.until,
                scalings=agent.scalings,
                code=folder.code,
                facts=_facts(folder, chosen, plan, agent),
                extra_files=extra,
            )
            require_place(target, replace=replace)  # another may have been put there meanwhile
    return Deployment(
        path=target,
        trials=tuple(record.index for record in chosen.records),
        who=f"{chosen.who}, {chosen.why}",
        trained=(rows.first, rows.until),
        n_rows=rows.n_rows,
        timesteps=tuple(one.timesteps for one in agent.trainings),
        verdict=chosen.verdict_sentences,
        notes=(*rows.notes, *_where(folder, target, out)),
        kept=kept if kept.exists() else None,
    )


def _where(folder: SearchFolder, target: Path, out: str | Path | None) -> tuple[str, ...]:
    """Return that the agent is not where its search is, if that is in a store."""
    if not folder.remote or out is not None:
        return ()
    return (
        f"the agent is in {target} on this machine alone: it is not copied to the store of its "
        "search, as its forward record grows where it trades",
    )


def plan_of(folder: SearchFolder, chosen: ChosenTrials) -> AgentPlan:
    """Return how what was chosen of a search is trained once more.

    Parameters
    ----------
    folder : of the search
    chosen : of its trials
    """
    records = folder.records().in_order()
    trials = tuple(
        PlannedTrial(
            trial=record.index,
            rank=rank,
            sample=plain_sample(record.sample),
            stretches=tuple(stretches_of(record, records, folder.config)),
        )
        for record, rank in zip(chosen.records, chosen.ranks, strict=True)
    )
    return AgentPlan(config=folder.config, trials=trials, together=chosen.ensemble)


def agents_config(
    folder: SearchFolder, samples: Sequence[Mapping[str, Any]], *, together: bool
) -> ExperimentConfig:
    """Return the config of an agent: that of its trial, or of an ensemble that of the search.

    Its rows are in its own folder, its tickers are named, and its data have no end.

    Parameters
    ----------
    folder : of the search
    samples : of the trials
    together : whether they are an ensemble

    Raises
    ------
    SearchError
        If the trials of an ensemble see features of own functions with different keywords.
    """
    trials = [config_of_sample(folder.config, sample) for sample in samples]
    if not together:
        return _with_data(trials[0], trials[0].data, folder)
    first = trials[0].data
    if all(trial.data.feature_kwargs == first.feature_kwargs for trial in trials):
        data = data_of_search(folder.config)
        data = dataclasses.replace(data, feature_kwargs=first.feature_kwargs)
        return _with_data(folder.config, data, folder)
    raise SearchError(
        f"the trials of the ensemble of the search in {folder.path} compute their features with "
        "different keywords (data.feature_kwargs), which one agent's folder cannot hold; deploy "
        "one of them (--trial N)"
    )


def _with_data(
    config: ExperimentConfig, data: DataConfig, folder: SearchFolder
) -> ExperimentConfig:
    own = agents_data(data, folder.market_data)
    return dataclasses.replace(config, data=own)


def _facts(
    folder: SearchFolder, chosen: ChosenTrials, plan: AgentPlan, agent: TrainedAgent
) -> dict[str, Any]:
    """Return what `agent.json` says besides what is said of every agent."""
    trials = [
        {
            **planned.to_dict(),
            "seed": one.seed,
            "timesteps": one.timesteps,
            "hyperparameters": settings_of_sample(folder.config, planned.sample).flat(),
        }
        for planned, one in zip(plan.trials, agent.trainings, strict=True)
    ]
    first = trials[0]
    return {
        "search": folder.config.name,
        "search_folder": folder.path.name,
        "search_data_hash": folder.market_data.content_hash,
        "config_hash": folder.config_hash,
        "data_source": folder.config.data.source,
        "deployed": datetime.now().astimezone().isoformat(timespec="seconds"),
        "chosen": f"{chosen.who}, {chosen.why}",
        "trial": first["trial"],
        "sample": first["sample"],
        "seed": first["seed"],
        "trials": trials,
        "verdict": chosen.verdict,
        **_backtest_facts(folder, chosen),
        "versions": versions(),
        "processor": processor_facts(threads_per_trial(folder.config)),
    }


def _backtest_facts(folder: SearchFolder, chosen: ChosenTrials) -> dict[str, Any]:
    """Return what the backtest of what was chosen has shown; empty where there was none."""
    found = read_backtest(folder.path)
    if found is None or not chosen.verdict["applies"]:
        return {}
    trials = {record.index for record in chosen.records}
    if trials != set(found.ensemble or (found.trial,)):
        return {}  # of a winner before trials were added
    ratio = found.measures["agent"].get("appraisal_ratio", math.nan)
    if not math.isfinite(ratio):
        return {}
    return {"backtest": {"window": [*found.window], "measures": {"appraisal_ratio": ratio}}}
