"""By what trials are ranked (`search.rank_by`), and which evaluation stands for each."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import RANK_BY_OBJECTIVE
from finrl_ray.metrics.registry import measure_name, title_of, undefined_value
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.support.text import counted


def rank_name(config: ExperimentConfig) -> str:
    """Return in words by what trials are ranked."""
    name = config.search.rank_by
    mean = ""
    if config.search.select == "mean":
        mean = f" (mean of its last {counted(config.search.averaged, 'evaluation')})"
    if name != RANK_BY_OBJECTIVE:
        lower = " less its standard error" if _is_lower_bound(config) else ""
        return f"{title_of(name)}{lower}{mean}"
    single = title_of(config.evaluation.metric)
    return "objective" if config.validation.has_paths else f"{single}{mean}"


def curve_key(config: ExperimentConfig) -> str:
    """Return the key of the results that is nearest to what trials are ranked by."""
    name = config.search.rank_by
    if name != RANK_BY_OBJECTIVE:
        return f"eval/{measure_name(name)}"
    if config.validation.has_paths:
        return "objective"
    return f"eval/{measure_name(config.evaluation.metric)}"


def result_score(result: Mapping[str, Any], config: ExperimentConfig) -> float | None:
    """Return what one result of a trial is worth; None if it cannot be ranked.

    It is the measure of `search.rank_by` on the validation window, or, where trials train several
    times, its mean over the trainings less its standard error (the mean alone with
    `validation.objective: metric`). A measure that is no number counts as its stand-in.

    Parameters
    ----------
    result : of the journal
    config : of the search
    """
    name = measure_name(config.search.rank_by)
    if name == RANK_BY_OBJECTIVE:
        value = _number(result.get("eval_objective", result.get("objective")))
        return value if math.isfinite(value) else None
    if f"eval/{name}" not in result:
        return None
    value = _number(result[f"eval/{name}"])
    if _is_lower_bound(config):
        value -= _number(result.get(f"eval/{name}_se"))
    return value if math.isfinite(value) else undefined_value(name)


def standing_result(record: TrialRecord, config: ExperimentConfig) -> Mapping[str, Any]:
    """Return the result that stands for a trial: its last, or with `search.select: best` its best.

    With `mean` it is the last one too, whose model the trial has. Of equally good ones the first;
    empty where the trial has none.
    """
    if config.search.select != "best" or not record.results:
        return record.last
    return max(record.results, key=lambda result: _comparable(result_score(result, config)))


def trial_score(record: TrialRecord, config: ExperimentConfig) -> float | None:
    """Return what a trial is ranked by; None if it cannot be ranked.

    With `search.select: mean` it is the mean over its last evaluations. Under population based
    training only those count that came after its last exchange: others are of another agent.
    """
    if config.search.select != "mean":
        return result_score(standing_result(record, config), config)
    since = max((exchange["timesteps"] for exchange in record.exploits), default=0)
    own = [result for result in record.results if result["timesteps"] > since] or record.results
    return mean_score([result_score(result, config) for result in own], config)


def mean_score(scores: Sequence[float | None], config: ExperimentConfig) -> float | None:
    """Return the mean over the last evaluations, as many as `search.select_last` says.

    Parameters
    ----------
    scores : what each evaluation of an agent is worth, in the order of timesteps; None: it cannot
        be ranked, and is left out
    config : of the search

    Returns
    -------
    float or None
        None if the last evaluation cannot be ranked.
    """
    last = scores[-config.search.averaged :]
    known = [score for score in last if score is not None]
    return None if not known or last[-1] is None else math.fsum(known) / len(known)


def scores_by_timesteps(record: TrialRecord, config: ExperimentConfig) -> dict[int, float]:
    """Return what each result of a trial is worth, minus infinity where it cannot be ranked."""
    return {
        result["timesteps"]: _comparable(result_score(result, config)) for result in record.results
    }


def _comparable(score: float | None) -> float:
    return -math.inf if score is None else score


def _is_lower_bound(config: ExperimentConfig) -> bool:
    return config.validation.has_paths and config.validation.objective != "metric"


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
