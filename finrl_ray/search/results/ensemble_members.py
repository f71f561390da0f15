"""Which trials act together as the winner (`search.ensemble`)."""

from collections.abc import Sequence
from dataclasses import dataclass

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.config.trial.shared_rules import other_rules
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.support.text import counted

_MOST_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class ChosenMembers:
    """The trials of an ensemble.

    Parameters
    ----------
    records : the trials, the one that ranks first before the others
    ranks : of each, from 1
    wanted : `search.ensemble`
    notes : why it has fewer, or others than those that rank first, in sentences
    """

    records: tuple[TrialRecord, ...]
    ranks: tuple[int, ...]
    wanted: int
    notes: tuple[str, ...]


def choose_members(ranked: Sequence[TrialRecord], config: ExperimentConfig) -> ChosenMembers:
    """Return the first `search.ensemble` trials that can trade one account with the first.

    Passed over are trials whose account has other rules (`config/trial/shared_rules.py`), trials
    that have not come to the end of a whole path where others have, and trials that have left no
    checkpoint.

    Parameters
    ----------
    ranked : the trials that can win, best first
    config : of the search
    """
    wanted = config.search.ensemble or 1
    chosen: list[TrialRecord] = []
    ranks: list[int] = []
    passed_over: list[str] = []
    whole = any(record.last.get("paths") for record in ranked)
    for rank, record in enumerate(ranked, start=1):
        if len(chosen) == wanted:
            break
        reason = _reason_against(record, chosen, config, whole_path=whole)
        if reason:
            passed_over.append(f"trial {record.index} ({reason})")
        else:
            chosen.append(record)
            ranks.append(rank)
    notes = []
    if passed_over:
        named = ", ".join(passed_over[:_MOST_NAMED])
        more = len(passed_over) - _MOST_NAMED
        notes.append(f"passed over: {named}" + (f" and {more} more" if more > 0 else ""))
    if len(chosen) < wanted:
        notes.append(
            f"search.ensemble asks for {wanted} trials, and {counted(len(chosen), 'trial')} can "
            "be in it"
        )
    return ChosenMembers(
        records=tuple(chosen), ranks=tuple(ranks), wanted=wanted, notes=tuple(notes)
    )


def _reason_against(
    record: TrialRecord,
    chosen: Sequence[TrialRecord],
    config: ExperimentConfig,
    *,
    whole_path: bool,
) -> str:
    """Return in words why a trial cannot be in the ensemble; empty if it can."""
    if not record.checkpoints:
        return "it has left no checkpoint"
    if whole_path and not record.last.get("paths"):
        return "it has not come to the end of a path"
    if record.exploits and record.exploits[-1]["timesteps"] >= record.last.get("timesteps", 0):
        return "it became a copy of another trial at its end"
    if not chosen:
        return ""
    options = [config_of_sample(config, one.sample).env for one in (chosen[0], record)]
    return ", ".join(other_rules(*options))
