"""Which trials of a finished search are deployed, and what the search's verdict says of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.files.bounded_reading import read_json
from finrl_ray.metrics.registry import title_of
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.folder.names import VERDICT_FILE
from finrl_ray.search.journal.lineage import segments
from finrl_ray.search.journal.records import TrialRecord, unfinished
from finrl_ray.search.results.ensemble_members import choose_members
from finrl_ray.search.results.ranking import standing_result
from finrl_ray.search.results.table import in_order_of_rank, winner
from finrl_ray.search.results.verdict import read_verdict
from finrl_ray.support.text import and_list
from finrl_ray.support.values import to_python
from finrl_ray.training.stretches import Stretch
from finrl_ray.workflows.confirmation_files import Confirmation, read_confirmation


@dataclass(frozen=True, kw_only=True)
class ChosenTrials:
    """What is deployed.

    Parameters
    ----------
    records : one trial, or those of an ensemble, the one that ranks first before the others
    ranks : of each in the search, from 1; None where it has none
    ensemble : whether they act together
    why : how they were chosen, in words
    verdict : `verdict.json` of the search as it stands, with what it is worth for these trials
        under `of_this_agent` and `applies`
    """

    records: tuple[TrialRecord, ...]
    ranks: tuple[int | None, ...]
    ensemble: bool
    why: str
    verdict: dict[str, Any]

    @property
    def who(self) -> str:
        """The trials in words: `trial 3`, or `the ensemble of trials 3 and 5`."""
        numbers = [record.index for record in self.records]
        if self.ensemble:
            return f"the ensemble of trials {and_list(numbers)}"
        return f"trial {numbers[0]}"

    @property
    def verdict_sentences(self) -> tuple[str, ...]:
        """What the search's verdict is and whether it is on this agent, the headline first."""
        first, *_ = self.verdict["sentences"]
        return (str(first), str(self.verdict["of_this_agent"]))


def chosen_trials(
    folder: SearchFolder, *, trial: int | None = None, confirmed: bool = False
) -> ChosenTrials:
    """Return what of a finished search is deployed: its winner unless something else is asked for.

    Parameters
    ----------
    folder : of the search
    trial : number of one trial; None: the winner, with `search.ensemble` all of its trials
    confirmed : the first of the search's latest confirmation

    Raises
    ------
    ConfigError
        If both a trial and the best of the confirmation are asked for.
    SearchError
        If the folder is no search's, the search has not ended or has no winner, or the trial is
        unknown or cannot win, or there is no finished confirmation.
    """
    if trial is not None and confirmed:
        raise ConfigError(
            f"deploy takes trial {trial} or the best of the confirmation, not both; leave one out"
        )
    _require_finished_search(folder)
    records = folder.records().in_order()
    best = winner(records, folder.config)
    ranked = in_order_of_rank(records, folder.config)
    together = folder.config.search.has_ensemble
    why = "the winner of the search"
    if trial is not None:
        chosen, together = [_asked_for(trial, records, ranked, folder)], False
        why = "asked for by its number"
    elif confirmed:
        chosen, together, why = _best_of_confirmation(folder, ranked)
    else:
        chosen = list(_members(folder, ranked)) if together else [best]
    places = {record.index: place for place, record in enumerate(ranked, start=1)}
    return ChosenTrials(
        records=tuple(chosen),
        ranks=tuple(places.get(record.index) for record in chosen),
        ensemble=together,
        why=why,
        verdict=_verdict(folder, best, chosen, ensemble=together),
    )


def stretches_of(
    record: TrialRecord, records: Sequence[TrialRecord], config: ExperimentConfig
) -> list[Stretch]:
    """Return how a trial is trained once more: as far as it was when it was judged.

    A trial that trains several times is trained for `agent.total_timesteps`, as each of its
    trainings is; else training ends at the evaluation that stands for the trial, which an early
    stop, a scheduler or `search.select: best` puts before that.

    Parameters
    ----------
    record : of the trial
    records : all trials, of which it may have been copied
    config : of the search
    """
    until = None
    if not config.validation.has_paths:
        until = int(standing_result(record, config)["timesteps"])
    found = []
    for part in segments(record, records):
        if until is not None and part.start >= until:
            break  # the best evaluation was before the last exchange
        ends = [end for end in (part.end, until) if end is not None]
        sample = {name: to_python(value) for name, value in part.sample.items()}
        found.append(Stretch(sample=sample, until=min(ends, default=None)))
    return found


def _require_finished_search(folder: SearchFolder) -> None:
    if folder.kind == "confirmation":
        raise SearchError(
            f"{folder.path} holds new trainings of a search's best; give the folder of the search, "
            "two folders up, with --confirmed (confirmed=True in Python)"
        )
    if folder.kind != "search":
        raise SearchError(
            f"{folder.path} is the folder of one training, and not of a search, whose winner is "
            "deployed; search with `finrl-ray tune`"
        )
    records = folder.records()
    if not folder.is_finished(records):
        started = records.in_order()
        ended = len(started) - len(unfinished(started))
        raise SearchError(
            f"an agent is deployed from a finished search, but {ended} of {folder.planned} trials "
            f"in {folder.path} have ended; go on with it first: finrl-ray resume {folder.path}"
        )


def _asked_for(
    trial: int,
    records: Sequence[TrialRecord],
    ranked: Sequence[TrialRecord],
    folder: SearchFolder,
) -> TrialRecord:
    for record in ranked:
        if record.index == trial:
            return record
    for record in records:
        if record.index == trial:
            raise SearchError(
                f"trial {trial} cannot be deployed: it is {record.state}"
                f"{f' ({record.reason})' if record.reason else ''}, and has no rank in the search "
                f"in {folder.path}; trials that can be: {and_list(r.index for r in ranked)}"
            )
    raise SearchError(
        f"the search in {folder.path} has no trial {trial}; it has 0 to {records[-1].index}"
    )


def _members(folder: SearchFolder, ranked: Sequence[TrialRecord]) -> tuple[TrialRecord, ...]:
    found = choose_members(ranked, folder.config).records
    if not found:
        raise SearchError(
            f"no trial of the search in {folder.path} can be in its ensemble (search.ensemble); "
            "give the number of one trial (--trial N)"
        )
    return found


def _best_of_confirmation(
    folder: SearchFolder, ranked: Sequence[TrialRecord]
) -> tuple[list[TrialRecord], bool, str]:
    found = read_confirmation(folder.path)
    if found is None:
        raise SearchError(
            f"the search in {folder.path} has no confirmation; make one with: finrl-ray confirm "
            f"{folder.path}"
        )
    if not found.finished:
        raise SearchError(
            f"the confirmation in {found.path} has not ended; go on with it first: finrl-ray "
            f"resume {found.path}"
        )
    return _first_of(found, folder, ranked)


def _first_of(
    found: Confirmation, folder: SearchFolder, ranked: Sequence[TrialRecord]
) -> tuple[list[TrialRecord], bool, str]:
    first = found.table[found.table["rank"] == 1]
    if not len(first):
        raise SearchError(
            f"no configuration of the confirmation in {found.path} was trained to its end; see "
            "the reasons in its table"
        )
    row = first.iloc[0]
    bound = f"{title_of(str(row['ranked_by']))}, lower bound {float(row['lower_bound']):.3f}"
    why = f"the first of the confirmation in {found.path.name} ({bound})"
    if row["trial"] is pd.NA:
        return list(_members(folder, ranked)), True, why
    number = int(row["trial"])
    chosen = [record for record in ranked if record.index == number]
    if not chosen:
        raise SearchError(
            f"{found.path} confirms trial {number}, which the search in {folder.path} does not "
            "rank; was one of the folders moved?"
        )
    return chosen, False, why


def _verdict(
    folder: SearchFolder,
    best: TrialRecord,
    chosen: Sequence[TrialRecord],
    *,
    ensemble: bool,
) -> dict[str, Any]:
    """Return the verdict of the search as its file has it, and what it is worth for the chosen."""
    judged = read_verdict(folder.path)
    if judged is None:
        raise SearchError(
            f"the search in {folder.path} has no {VERDICT_FILE}; let it end once with: finrl-ray "
            f"resume {folder.path}"
        )
    content: dict[str, Any] = read_json(folder.path / VERDICT_FILE)
    content.setdefault("sentences", judged.sentences())
    on_ensemble = judged.ensemble is not None
    same = ensemble == on_ensemble and (ensemble or chosen[0].index == best.index)
    word = judged.verdict.kind
    if same and judged.shows_evidence:
        said = f"the search shows {word} for this configuration; the new training is not judged"
    elif same:
        said = (
            "the search shows no evidence of skill for this configuration: what it trades may be "
            "luck, and nothing here says that it beats buy & hold"
        )
    else:
        on = "the ensemble" if on_ensemble else f"trial {best.index}"
        said = (
            f"the verdict ({word}) is on {on}, the winner of the search, and not on what is "
            "deployed here, which has none"
        )
    return {**content, "applies": same, "of_this_agent": said}
