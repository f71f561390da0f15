"""`reproduce`: train a search's winner again and compare every number with the recorded one."""

import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.errors import SearchError
from finrl_ray.machine.processor import differences_of, processor_facts
from finrl_ray.search.folder.folder import open_folder, versions
from finrl_ray.search.folder.names import REPRODUCTION_FILE
from finrl_ray.search.folder.own_code import require_trusted_code, run_code
from finrl_ray.search.reproduce.agreement import (
    TOLERANCE,
    Agreement,
    agreement_of,
    different_names,
    distance,
)
from finrl_ray.search.reproduce.archive import (
    ArchivedTrial,
    ReproductionArchive,
    parameters_hash,
    read_curves,
    read_reproduction,
    results_of_last_stretch,
)
from finrl_ray.search.reproduce.ensemble import ensemble_account
from finrl_ray.search.reproduce.rerun import NotReachedError, train_schedule
from finrl_ray.support.learner_names import ROUNDING, ROUNDING_BEFORE
from finrl_ray.support.text import counted
from finrl_ray.training.divergence import TrialDivergedError
from finrl_ray.training.restart_note import notes_of_restarts
from finrl_ray.training.threads import threads_per_trial

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """What came of training the winner again.

    Parameters
    ----------
    trial : its number in the search
    timesteps : trained
    evaluations : how many were compared
    ensemble : numbers of all trials, where several are the winner together; `timesteps` and
        `evaluations` are then of all of them, and the account of all together was compared too
    differences : what is not equal, in sentences; empty if everything is, bit for bit
    largest_difference : largest relative difference of account values (of returns, absolute, for a
        trial of several trainings)
    largest_of_all : the same, or that of the evaluations' measures if it is larger
    changed : versions and machine that differ: name to (recorded, here)
    elsewhere : the same of the processor and its libraries
    processor_known : whether the file says on which processor it was recorded
    """

    trial: int
    timesteps: int
    evaluations: int
    differences: tuple[str, ...]
    largest_difference: float
    changed: Mapping[str, tuple[str, str]]
    elsewhere: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    processor_known: bool = True
    largest_of_all: float = 0.0
    ensemble: tuple[int, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether every number is what it was."""
        return not self.differences

    @property
    def agreement(self) -> Agreement:
        """What the comparison means: on another processor it is one up to a tolerance."""
        return agreement_of(
            equal=self.exact,
            largest=self.largest_of_all,
            elsewhere=bool(self.elsewhere) or not self.processor_known,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            **asdict(self),
            "exact": self.exact,
            "agreement": self.agreement,
            "tolerance": TOLERANCE,
        }


def reproduce(
    path: str | Path, say: Say = lambda line: None, *, trust: bool = False
) -> Reproduction:
    """Train the winner of a finished search again, in this process, and compare.

    Parameters
    ----------
    path : the search's folder, its URL, or a `reproduction.zip` alone
    say : called with a line for each evaluation
    trust : run own code that somebody else has put into the file; see docs/trust.md

    Raises
    ------
    SearchError
        If the search has not ended or has no winner, or the file is damaged.
    """
    file = _file_of(path)
    recorded = read_reproduction(file)
    config = recorded.inputs.config
    require_trusted_code(file, recorded.code_facts, config, trust=trust)
    run_code(config, recorded.code)
    try:
        return _result(recorded, *_compared(recorded, say))
    except (NotReachedError, TrialDivergedError) as error:
        # the file is whole, so what trains differently here is a result and no mistake
        return _result(recorded, [str(error)], math.inf, math.inf)


def _compared(recorded: ReproductionArchive, say: Say) -> tuple[list[str], float, float]:
    """Return what differs, the largest difference of accounts, and that of all numbers."""
    differences: list[str] = []
    largest = of_all = 0.0
    several = recorded.ensemble is not None
    with tempfile.TemporaryDirectory() as scratch:
        places = []
        for number, trial in enumerate(recorded.trials):
            (own := Path(scratch) / str(number)).mkdir()
            name = f"trial {trial.trial}: " if several else ""
            results, place = _trained(recorded, trial, own, say, name)
            found, apart, measures = _compare_trial(recorded, trial, results, place)
            differences += [f"{name}{text}" for text in found]
            largest, of_all = max(largest, apart), max(of_all, apart, measures)
            places.append(place)
        if recorded.ensemble is not None:
            account = ensemble_account(recorded.inputs, recorded.trials, places)
            apart = _largest(recorded.ensemble, account)
            if not np.array_equal(recorded.ensemble, account, equal_nan=True):
                differences.append(f"the ensemble's account differs by up to {apart:.3g}")
            largest, of_all = max(largest, apart), max(of_all, apart)
    return differences, largest, of_all


def _trained(
    recorded: ReproductionArchive, trial: ArchivedTrial, scratch: Path, say: Say, name: str
) -> tuple[list[dict[str, Any]], Path]:
    """Train one trial again; return its evaluations on the last stretch, and its checkpoint."""
    reported: list[dict[str, Any]] = []

    def on_report(metrics: dict[str, Any]) -> None:
        reported.append(metrics)
        say(f"{name}evaluated at {metrics['timesteps']:,} timesteps")

    _, place = train_schedule(recorded.inputs, trial.schedule, trial.until, scratch, on_report)
    return results_of_last_stretch(reported, trial.schedule), place


def _compare_trial(
    recorded: ReproductionArchive,
    trial: ArchivedTrial,
    results: list[dict[str, Any]],
    place: Path,
) -> tuple[list[str], float, float]:
    curves = read_curves(place, len(trial.results))
    config = config_of_sample(recorded.inputs.config, trial.sample)
    differences = [*_other_results(trial, results)]
    largest = _largest(trial.curves, curves)
    if not np.array_equal(trial.curves, curves, equal_nan=True):
        differences.append(f"account values differ by up to {largest:.3g}")
    if parameters_hash(place, config.agent.algorithm) != trial.parameters:
        differences.append("the parameters of the final policy differ")
    if differences:
        differences += [
            f"the recorded training {note}, so that it cannot come out the same again"
            for note in notes_of_restarts(trial.results)
        ]
    return differences, largest, _largest_of_measures(trial, results)


def _result(
    recorded: ReproductionArchive, differences: list[str], largest: float, of_all: float
) -> Reproduction:
    here = versions()
    processor = processor_facts(threads_per_trial(recorded.inputs.config))
    trials = recorded.trials
    return Reproduction(
        trial=trials[0].trial,
        timesteps=sum(trial.until for trial in trials),
        evaluations=sum(len(trial.results) for trial in trials),
        differences=tuple(differences),
        largest_difference=largest,
        changed={
            name: (value, here.get(name, "not installed"))
            for name, value in {ROUNDING: ROUNDING_BEFORE, **recorded.versions}.items()
            if here.get(name) != value
        },
        elsewhere=differences_of(recorded.processor, processor),
        processor_known=bool(recorded.processor),
        largest_of_all=of_all,
        ensemble=() if recorded.ensemble is None else tuple(one.trial for one in trials),
    )


def _file_of(path: str | Path) -> Path:
    if str(path).endswith(".zip"):
        return Path(path)
    folder = open_folder(path)
    if folder.kind != "search":
        raise SearchError(
            f"{folder.path} is not the folder of a search; what `finrl-ray train` has trained is "
            "trained again by running it again"
        )
    if not folder.is_finished(folder.records()):
        raise SearchError(
            f"the winner is known once the search has ended; go on with: finrl-ray resume "
            f"{folder.path}"
        )
    return folder.path / REPRODUCTION_FILE


def _other_results(recorded: ArchivedTrial, results: list[dict[str, Any]]) -> list[str]:
    """Return in words the first evaluation that is not as recorded."""
    if len(results) != len(recorded.results):
        return [f"{counted(len(results), 'evaluation')} instead of {len(recorded.results)}"]
    for before, after in zip(recorded.results, results, strict=True):
        names = different_names(before, after)
        if names:
            first = names[0]
            return [
                f"the evaluation at {before['timesteps']:,} timesteps is the first that differs: "
                f"{first} was {before[first]}, is {after.get(first)}"
            ]
    return []


def _largest_of_measures(recorded: ArchivedTrial, results: list[dict[str, Any]]) -> float:
    if len(results) != len(recorded.results):
        return math.inf
    pairs = zip(recorded.results, results, strict=True)
    return max((distance(before, after) for before, after in pairs), default=0.0)


def _largest(recorded: Any, found: Any) -> float:
    if recorded.shape != found.shape:
        return float("inf")
    apart = np.abs(recorded - found)
    if recorded.ndim == 2:
        apart = apart / np.maximum(np.abs(recorded), 1e-300)
    apart = apart[~(np.isnan(recorded) & np.isnan(found))]
    largest = float(apart.max()) if apart.size else 0.0
    return math.inf if math.isnan(largest) else largest
