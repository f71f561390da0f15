"""The verdict on a search: what counts as a trial, and whose returns are judged."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.errors import SearchError
from finrl_ray.files.atomic import atomic_path
from finrl_ray.files.bounded_reading import read_json
from finrl_ray.metrics.earnings import Earnings, earnings_of
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.folder.names import VERDICT_FILE
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.results.ensemble_facts import ENSEMBLE, EnsembleFacts
from finrl_ray.search.results.ranking import rank_name, standing_result
from finrl_ray.statistics.verdict import NONE, Verdict, judge
from finrl_ray.statistics.verdict_text import verdict_sentences

if TYPE_CHECKING:
    from finrl_ray.search.results.returns import TrialReturns


@dataclass(frozen=True, kw_only=True)
class SearchVerdict:
    """The verdict on a search.

    Parameters
    ----------
    verdict : the word and its figures
    trial : the winner's number; None if no trial can win
    states : trials by how they ended
    ranked_by : by what the winner was chosen, in words; empty where an earlier version has not
        said it
    earnings : what the winner has earned on the days that it is judged on; None without a winner
        that left returns, and in verdicts of earlier versions
    ensemble : the trials that are the winner together; None where it is the trial alone
    """

    verdict: Verdict
    trial: int | None
    states: Mapping[str, int]
    ranked_by: str = ""
    earnings: Earnings | None = None
    ensemble: EnsembleFacts | None = None

    @property
    def shows_evidence(self) -> bool:
        """Whether the word is `evidence`, or at least `weak evidence`."""
        return bool(self.verdict.kind != NONE)

    def sentences(self) -> list[str]:
        """Return it in words, the headline first."""
        candidates = sum(self.states.values())
        together = [] if self.ensemble is None else self.ensemble.sentences()
        several = self.ensemble is not None
        first, *rest = verdict_sentences(self.verdict, candidates, with_ensemble=several)
        ended = ", ".join(f"{count} {state}" for state, count in self.states.items())
        earned = [] if self.earnings is None else [self.earnings.sentence("the winner")]
        who = "the winner" if self.ensemble is None else f"trial {self.trial}"
        ranked = [f"{who} is first by its {self.ranked_by}"] if self.ranked_by else []
        last = f"how the trials ended: {ended or 'none was started'}"
        return [first, *earned, *together, *rest, *ranked, last]


def configurations_tried(records: Sequence[TrialRecord], config: ExperimentConfig) -> int:
    """Return N of the statistics: every chance that a search has had to be lucky.

    Each started trial is one, however it ended. Under population based training each exchange
    begins another configuration. With `search.select: best` a trial is judged by its best
    evaluation, so that each of its evaluations is one. The ensemble of `search.ensemble` is one
    more.
    """
    more = int(config.search.has_ensemble)
    if config.search.select == "best":
        return more + sum(max(1, len(record.results)) for record in records)
    population = config.search.scheduler.is_population
    return more + len(records) + sum(len(r.exploits) for r in records if population)


def judge_search(
    folder: SearchFolder,
    records: Sequence[TrialRecord],
    returns: "TrialReturns",
    best: TrialRecord | None,
    ensemble: EnsembleFacts | None = None,
) -> SearchVerdict:
    """Return the verdict on the winner: the trial that ranks first, or the ensemble.

    Parameters
    ----------
    folder : of the search
    records : all trials that were started
    returns : of those that have left some, on the same days
    best : the one that ranks first; None if none can win
    ensemble : the winner, whose returns are those of `ENSEMBLE`; None: it is `best`
    """
    trial = None if best is None else best.index
    judged = trial if ensemble is None else ENSEMBLE
    column = returns.trials.index(judged) if judged in returns.trials else None
    verdict = judge(
        returns.residual,
        column,
        n_trials=max(1, configurations_tried(records, folder.config)),
        periods_per_year=folder.periods_per_year,
        seed=folder.config.seed,
    )
    states: dict[str, int] = {}
    for record in records:
        states[record.state] = states.get(record.state, 0) + 1
    return SearchVerdict(
        verdict=verdict,
        trial=trial,
        states=states,
        ranked_by=rank_name(folder.config) if best is not None else "",
        earnings=_earnings(folder, returns, column, best, ensemble),
        ensemble=ensemble,
    )


def _earnings(
    folder: SearchFolder,
    returns: "TrialReturns",
    column: int | None,
    best: TrialRecord | None,
    ensemble: EnsembleFacts | None,
) -> Earnings | None:
    if best is None or column is None:
        return None
    if ensemble is None:
        exposure = standing_result(best, folder.config).get("eval/exposure")
    else:
        exposure = ensemble.measures.get("exposure")
    return earnings_of(
        returns.own[:, column],
        returns.benchmark,
        math.nan if exposure is None else float(exposure),
    )


def write_verdict(folder: Path, judged: SearchVerdict) -> None:
    """Write `verdict.json`: the word, the sentences, every figure."""
    content: dict[str, Any] = {
        "verdict": judged.verdict.kind,
        "sentences": judged.sentences(),
        "trial": judged.trial,
        "states": dict(judged.states),
        "ranked_by": judged.ranked_by,
        "earnings": None if judged.earnings is None else judged.earnings.to_dict(),
        "ensemble": None if judged.ensemble is None else judged.ensemble.to_dict(),
        "figures": judged.verdict.to_dict(),
    }
    with atomic_path(folder / VERDICT_FILE) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_verdict(folder: Path) -> SearchVerdict | None:
    """Return the verdict in a search's folder; None if it has none yet.

    Raises
    ------
    SearchError
        If the file is damaged.
    """
    path = folder / VERDICT_FILE
    if not path.is_file():
        return None
    try:
        content = read_json(path)
        earned, together = content.get("earnings"), content.get("ensemble")
        return SearchVerdict(
            verdict=Verdict.from_dict(content["figures"]),
            trial=content["trial"],
            states=content["states"],
            ranked_by=str(content.get("ranked_by", "")),
            earnings=None if earned is None else Earnings.from_dict(earned),
            ensemble=None if together is None else EnsembleFacts.from_dict(together),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SearchError(
            f"{path} is damaged ({error!r}); delete it, and `finrl-ray resume {folder}` writes it "
            "again"
        ) from error
