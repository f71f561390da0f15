"""What is said of an ensemble: which trials are in it and what its account came to."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from finrl_ray.support.text import and_list
from finrl_ray.support.values import to_json

ENSEMBLE = -1
"""Stands in the place of a trial's number for the trials that act together."""
ENSEMBLE_NAME = "ensemble"
"""Its column where the others have the trials' numbers."""
_SHOWN = (
    ("sharpe_ratio", "Sharpe ratio {:.2f}"),
    ("max_drawdown", "largest drawdown {:.1%}"),
    ("exposure", "{:.0%} invested"),
    ("turnover", "turnover {:.1f} a year"),
)


@dataclass(frozen=True, kw_only=True)
class EnsembleFacts:
    """An ensemble on the days that its trials are judged on.

    Parameters
    ----------
    trials : numbers of the trials in it, the one that ranks first before the others
    wanted : `search.ensemble`
    score : by what trials are ranked, of the ensemble; None if it is not known
    first_score : the same of the trial that ranks first
    ranked_by : what that is, in words
    measures : of its account, by name; where trials train several times the means over the
        trainings
    notes : why it has fewer trials, or others than those that rank first
    """

    trials: tuple[int, ...]
    wanted: int
    score: float | None
    first_score: float | None
    ranked_by: str
    measures: Mapping[str, float]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """It in words, such as `the ensemble of trials 3 and 5`."""
        if len(self.trials) == 1:
            return f"the ensemble of trial {self.trials[0]} alone"
        return f"the ensemble of trials {and_list(self.trials)}"

    def sentences(self) -> list[str]:
        """Return who is in it, how it compares with its first trial, and what is to be noted."""
        first = (
            f"the winner is {self.name}: one account that does the mean of what they want, and one "
            "look more in N"
        )
        shown = [
            text.format(self.measures[name])
            for name, text in _SHOWN
            if math.isfinite(self.measures.get(name, math.nan))
        ]
        alone = "" if self.first_score is None else f" (trial {self.trials[0]} alone: "
        alone += "" if self.first_score is None else f"{self.first_score:.2f})"
        own = "not known" if self.score is None else f"{self.score:.2f}"
        second = ", ".join([f"its {self.ranked_by} is {own}{alone}", *shown])
        return [first, second, *self.notes]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {name: to_json(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "EnsembleFacts":
        """Undo `to_dict`."""
        measures = {
            str(name): math.nan if value is None else float(value)
            for name, value in content["measures"].items()
        }
        return cls(
            trials=tuple(int(trial) for trial in content["trials"]),
            wanted=int(content["wanted"]),
            score=content["score"],
            first_score=content["first_score"],
            ranked_by=str(content["ranked_by"]),
            measures=measures,
            notes=tuple(str(note) for note in content["notes"]),
        )
