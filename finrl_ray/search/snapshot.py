"""Ray's snapshots of a search, looked at before Ray is asked to restore from them."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from finrl_ray.errors import SearchError
from finrl_ray.search.journal import ENDED, JOURNAL_FILE, Records

logger = logging.getLogger(__name__)


def usable_snapshot(path: Path) -> dict[str, str] | None:
    """Return the status of each trial in the newest readable snapshot; None if there is none.

    An unreadable snapshot is moved aside, so that Ray takes the one before it. Ray itself would
    take it for a new experiment of one empty trial.
    """
    if not (path / "tuner.pkl").is_file():
        return None
    for file in sorted(path.glob("experiment_state-*.json"), reverse=True):
        try:
            state = json.loads(file.read_text(encoding="utf-8"))
            trials = [json.loads(pair[0]) for pair in state["trial_data"]]
            return {trial["trial_id"]: trial["status"] for trial in trials}
        except (ValueError, KeyError, TypeError, IndexError):
            logger.warning("%s is damaged; an older snapshot is used", file.name)
            file.rename(file.with_suffix(".damaged"))
    return None


def check_journal(folder: Path, snapshot: Mapping[str, str] | None, records: Records) -> None:
    """Refuse a journal that knows less than the snapshot: it was cut or exchanged.

    Raises
    ------
    SearchError
        With the trials that are missing.
    """
    ended = {r.trial_id for r in records.trials.values() if r.state in ENDED}
    lost = [
        trial_id
        for trial_id, status in (snapshot or {}).items()
        if (status == "TERMINATED" and trial_id not in ended)
        or (status in ("RUNNING", "PAUSED", "ERROR") and trial_id not in records.trials)
    ]
    if lost:
        raise SearchError(
            f"{folder / JOURNAL_FILE} does not know what became of {len(lost)} trials that Ray's "
            f"snapshot has, {lost[0]} among them: it was cut or lost; put back a copy of it, or "
            "start a new search"
        )
