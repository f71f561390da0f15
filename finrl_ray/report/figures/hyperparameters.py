"""Which hyperparameters were tried, which did well, and which mattered."""

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from finrl_ray._typing import FloatArray
from finrl_ray.config.dump import yaml_value
from finrl_ray.report.charts.figure import Figure
from finrl_ray.report.charts.model import Bars, Panel, Parallel
from finrl_ray.report.read_search import SearchReport
from finrl_ray.search.results.ranking import trial_score
from finrl_ray.search.results.table import trial_settings

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

# Optuna is imported where it computes: of all that is drawn the importance alone needs it
_MOST_AXES = 14
_LEAST_TRIALS = 8
_LOG_RATIO = 20.0
_MOST_OPTIONS = 8
_UNSEEN = "not set"


@dataclass(frozen=True, kw_only=True, eq=False)
class Axis:
    """One hyperparameter over all trials that can be compared.

    Parameters
    ----------
    name : of the hyperparameter
    values : one per trial; None where a trial has none
    options : the different values, sorted, where it is a choice; empty for a range
    log : whether the range is best seen as powers of ten
    """

    name: str
    values: Sequence[Any]
    options: Sequence[Any] = ()
    log: bool = False

    def places(self) -> FloatArray:
        """Return each value's place within [0, 1]."""
        if self.options:
            place = {_key(option): i for i, option in enumerate(self.options)}
            most = max(1, len(self.options) - 1)
            return np.array([place[_key(value)] / most for value in self.values])
        numbers = np.array(self.values, dtype=np.float64)
        numbers = np.log10(numbers) if self.log else numbers
        low, high = numbers.min(), numbers.max()
        return np.asarray((numbers - low) / ((high - low) or 1.0))

    def ticks(self) -> list[tuple[float, str]]:
        """Return places and what is written there."""
        if self.options:
            most = max(1, len(self.options) - 1)
            return [(i / most, _words(option)) for i, option in enumerate(self.options)]
        numbers = [float(value) for value in self.values]
        low, high = min(numbers), max(numbers)
        middle = math.sqrt(low * high) if self.log else (low + high) / 2
        return [(0.0, _words(low)), (0.5, _words(middle)), (1.0, _words(high))]

    def distribution(self) -> "BaseDistribution":
        """Return it as Optuna describes hyperparameters."""
        from optuna.distributions import (
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        if self.options:
            return CategoricalDistribution([_key(option) for option in self.options])
        numbers = [float(value) for value in self.values]
        if all(isinstance(value, int) for value in self.values):
            return IntDistribution(int(min(numbers)), int(max(numbers)), log=self.log)
        return FloatDistribution(min(numbers), max(numbers), log=self.log)

    def optuna_value(self, position: int) -> Any:
        """Return one trial's value as its distribution has it."""
        value = self.values[position]
        return _key(value) if self.options else value


def _key(value: Any) -> str:
    return _UNSEEN if value is None else json.dumps(value, default=str, sort_keys=True)


def _words(value: Any) -> str:
    if value is None:
        return _UNSEEN
    return f"{value:.3g}" if isinstance(value, float) else yaml_value(value)


def compared(search: SearchReport) -> tuple[list[int], FloatArray, list[Axis]]:
    """Return the trials that can be ranked, their scores, and the values that differ.

    Failed and rejected trials are left out: their last score is no worth of their values.
    """
    config = search.folder.config
    scored = {
        record.index: trial_score(record, config)
        for record in search.trials
        if record.state not in ("failed", "rejected")
    }
    records = [record for record in search.trials if scored.get(record.index) is not None]
    scores = np.array([scored[record.index] for record in records], dtype=np.float64)
    settings = [trial_settings(record, search.folder.config) for record in records]
    names = list(dict.fromkeys(name for one in settings for name in one))
    axes = [_axis(name, [one.get(name) for one in settings]) for name in names]
    return [r.index for r in records], scores, [axis for axis in axes if axis is not None]


def _axis(name: str, values: Sequence[Any]) -> Axis | None:
    """Return an axis; None for a value that is the same in all trials."""
    different = {_key(value): value for value in values}
    if len(different) < 2:
        return None
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    options = list(different.values())
    if not numeric:
        return Axis(name=name, values=values, options=sorted(options, key=_key))
    if len(options) <= min(_MOST_OPTIONS, max(2, len(values) // 2)):
        return Axis(name=name, values=values, options=sorted(options))
    low, high = min(options), max(options)
    return Axis(name=name, values=values, log=low > 0 and high / low >= _LOG_RATIO)


def _table(trials: Sequence[int], scores: FloatArray, axes: Sequence[Axis]) -> pd.DataFrame:
    columns: Mapping[str, Sequence[Any]] = {axis.name: axis.values for axis in axes}
    return pd.DataFrame({"trial": trials, "score": scores, **columns})


def parallel_coordinates(search: SearchReport) -> Figure:
    """Return one line per trial across its hyperparameters and what it is ranked by."""
    trials, scores, axes = compared(search)
    axes = axes[:_MOST_AXES]
    shell: dict[str, Any] = {
        "name": "parallel_coordinates",
        "title": "Hyperparameters of every trial",
        "caption": "One line per trial, the darker the better its rank; the last axis is what "
        f"it is ranked by ({search.ranked_by}). Trials that were stopped early are judged by their "
        "last evaluation. Failed and rejected trials are left out.",
        "table": _table(trials, scores, axes),
    }
    if len(trials) < 2 or not axes:
        return Figure(**shell, empty="it takes two trials that differ and can be ranked")
    goal = Axis(name="score", values=[float(value) for value in scores])
    shown = [*axes, goal]
    order = np.argsort(np.argsort(scores, kind="stable"), kind="stable")
    mark = Parallel(
        axes=[axis.name for axis in shown],
        ticks=[axis.ticks() for axis in shown],
        places=np.column_stack([axis.places() for axis in shown]),
        worth=order / max(1, len(order) - 1),
        text=[f"trial {t}: score {v:.3f}" for t, v in zip(trials, scores, strict=True)],
    )
    return Figure(**shell, panels=[Panel(marks=[mark], x_kind="number")], height=480)


def importance(search: SearchReport) -> Figure:
    """Return how much each hyperparameter mattered, by PED-ANOVA as Optuna computes it.

    It compares the values of the best tenth of the trials with those of all (Watanabe, Bansal and
    Hutter, 2023, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary
    Subspaces", IJCAI).
    """
    trials, scores, axes = compared(search)
    shell: dict[str, Any] = {
        "name": "importance",
        "title": "Importance of the hyperparameters",
        "caption": "PED-ANOVA (Watanabe et al., 2023, by Optuna): how far the values of the best "
        "trials differ from those of all, as shares of 1. With few trials it is rough, and it "
        "says nothing of values that were never tried.",
    }
    if len(trials) < _LEAST_TRIALS or not axes:
        empty = f"it takes {_LEAST_TRIALS} trials that can be ranked, and there are {len(trials)}"
        return Figure(**shell, empty=empty)
    found = _ped_anova(scores, axes)
    if not found:
        return Figure(**shell, empty="the best trials do not differ from the others")
    table = pd.DataFrame({"hyperparameter": list(found), "importance": list(found.values())})
    bars = Bars(name="", x=list(found), y=list(found.values()), role="winner", horizontal=True)
    panel = Panel(marks=[bars], x_label="share of the importance", x_kind="name")
    return Figure(**shell, panels=[panel], table=table, height=120 + 26 * len(found))


def _ped_anova(scores: FloatArray, axes: Sequence[Axis]) -> dict[str, float]:
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    distributions = {axis.name: axis.distribution() for axis in axes}
    with warnings.catch_warnings():
        # what Optuna says of its experimental parts is not for the reader of a report
        warnings.simplefilter("ignore")
        logging_level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            study = optuna.create_study(direction="maximize")
            study.add_trials(
                [
                    optuna.trial.create_trial(
                        params={axis.name: axis.optuna_value(i) for axis in axes},
                        distributions=distributions,
                        value=float(value),
                    )
                    for i, value in enumerate(scores)
                ]
            )
            found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
        finally:
            optuna.logging.set_verbosity(logging_level)
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}
