"""Training a trial of a search again, in this process, along its recorded schedule."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.windows.folds import ValidationPlan
from finrl_ray.errors import SearchError
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.journal.lineage import Segment
from finrl_ray.training.agent import FRESH_START, Report, StartPoint, train_agent
from finrl_ray.training.folds import train_folds
from finrl_ray.training.threads import threads_of_a_trial

OnReport = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class TrialInputs:
    """All that a trial reads besides its sample.

    Parameters
    ----------
    config : the experiment
    train_data, validation_data : rows of the two windows
    development : rows of both, and those between
    plan : the folds of a trial that trains several times, as rows of `development`; else None
    """

    config: ExperimentConfig
    train_data: MarketData
    validation_data: MarketData
    development: MarketData
    plan: ValidationPlan | None


def inputs_of(folder: SearchFolder) -> TrialInputs:
    """Return what the trials of a search have read."""
    return TrialInputs(
        config=folder.config,
        train_data=folder.train_data,
        validation_data=folder.validation_data,
        development=folder.development,
        plan=folder.plan,
    )


class NotReachedError(SearchError):
    """Training has ended, but not where it was recorded."""


class _Reached(Exception):  # noqa: N818  # no error: training has come as far as it should
    """Raised inside training to leave it at a safe point."""


def train_schedule(
    inputs: TrialInputs,
    schedule: Sequence[Segment],
    until: int,
    scratch: Path,
    on_report: OnReport | None = None,
) -> tuple[dict[str, Any], Path]:
    """Train one stretch after the other, each from the checkpoint of the one before.

    Parameters
    ----------
    inputs : what the trial reads
    schedule : of one trial
    until : timesteps of the last evaluation
    scratch : where the checkpoints between stretches are written
    on_report : called with the metrics of each evaluation

    Returns
    -------
    metrics : as reported at `until`
    checkpoint : folder of the checkpoint made there

    Raises
    ------
    NotReachedError
        If a stretch is not evaluated where it should end.
    """
    start, metrics, place = FRESH_START, {}, scratch
    with threads_of_a_trial(inputs.config):
        for number, segment in enumerate(schedule):
            place = scratch / f"stretch_{number}"
            end = until if segment.end is None else segment.end
            metrics = _train(inputs, segment, start, end, place, on_report)
            start = StartPoint(checkpoint=place)
    return metrics, place


def _train(
    inputs: TrialInputs,
    segment: Segment,
    start: StartPoint,
    end: int,
    place: Path,
    on_report: OnReport | None,
) -> dict[str, Any]:
    reached: dict[str, Any] = {}

    def report(metrics: dict[str, Any], save: Callable[[Path], None]) -> None:
        if on_report is not None:
            on_report(metrics)
        if metrics["timesteps"] == end:
            place.mkdir()
            save(place)
            reached.update(metrics)
        if metrics["timesteps"] >= end:
            raise _Reached

    with contextlib.suppress(_Reached):
        _train_as_searched(inputs, segment.sample, report, start)
    if not reached:
        raise NotReachedError(
            f"trial {segment.trial} should be evaluated at {end:,} timesteps, as the journal says, "
            "but was not: it was recorded with other data or another version of this package"
        )
    return reached


def _train_as_searched(
    inputs: TrialInputs, sample: dict[str, Any], report: Report, start: StartPoint
) -> None:
    config, plan = inputs.config, inputs.plan
    if plan is not None:
        train_folds(sample, config, inputs.development, plan, report, start)
    else:
        train_agent(sample, config, inputs.train_data, inputs.validation_data, report, start)
