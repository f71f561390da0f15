"""The record of every look at a search's test window: when, by what, on which model and config."""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from finrl_ray.files.bounded_reading import read_limited
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.folder.names import OPENINGS_FILE
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.support.text import and_list

_SHOWN_HASH = 12


@dataclass(frozen=True, kw_only=True)
class Opening:
    """One opening of the test window. What an earlier version has not recorded is empty.

    Parameters
    ----------
    time : ISO
    by : what opened it
    trial : the winner's number then
    window : first date and date after the last, ISO
    config_hash : SHA-256 of the search's sealed config; `experiment.json` has both
    model_hash : SHA-256 of the model's file
    ensemble : numbers of the trials that acted together; empty where it was `trial` alone
    """

    time: str = ""
    by: str = ""
    trial: int | None = None
    window: tuple[str, str] | None = None
    config_hash: str = ""
    model_hash: str = ""
    ensemble: tuple[int, ...] = ()

    def sentence(self) -> str:
        """Return it in words."""
        window = "not recorded" if self.window is None else f"[{self.window[0]}, {self.window[1]})"
        config = self.config_hash[:_SHOWN_HASH] or "not recorded"
        model = self.model_hash[:_SHOWN_HASH] or "not recorded"
        trial = "" if self.trial is None else f", trial {self.trial}"
        if self.ensemble:
            trial = f", the ensemble of trials {and_list(self.ensemble)}"
        return (
            f"{self.time or 'time not recorded'} by {self.by or 'not recorded'}{trial}: window "
            f"{window}, config {config}, model {model}"
        )


def record_opening(
    folder: SearchFolder,
    record: TrialRecord,
    model: Path,
    window: tuple[str, str],
    by: str = "backtest",
    ensemble: tuple[int, ...] = (),
) -> None:
    """Note in a search's folder that its test window is opened.

    Parameters
    ----------
    folder : of the search
    record : the trial that it is opened for
    model : its file
    window : first date and date after the last, ISO
    by : what opens it
    ensemble : numbers of the trials that act together, where several do
    """
    opening = Opening(
        time=datetime.now().astimezone().isoformat(timespec="seconds"),
        by=by,
        trial=record.index,
        window=window,
        config_hash=folder.config_hash,
        model_hash=hashlib.sha256(model.read_bytes()).hexdigest(),
        ensemble=ensemble,
    )
    with (folder.path / OPENINGS_FILE).open("a", encoding="utf-8") as file:
        content = asdict(opening)
        if not ensemble:
            del content["ensemble"]
        file.write(json.dumps(content) + "\n")


def read_openings(path: Path) -> list[Opening]:
    """Return every opening of a search's test window, in the order of its record.

    A line that cannot be read is an opening all the same.
    """
    file = path / OPENINGS_FILE
    if not file.is_file():
        return []
    text = read_limited(file).decode("utf-8", errors="replace")
    return [_opening(line) for line in text.splitlines()]


def _opening(line: str) -> Opening:
    try:
        content = json.loads(line)
        window = content.get("window")
        trial = content.get("trial")
        return Opening(
            time=str(content.get("time", "")),
            by=str(content.get("by", "")),
            trial=None if trial is None else int(trial),
            window=None if window is None else (str(window[0]), str(window[1])),
            config_hash=str(content.get("config_hash", "")),
            model_hash=str(content.get("model_hash", "")),
            ensemble=tuple(int(one) for one in content.get("ensemble", ())),
        )
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return Opening()


def count_openings(path: Path) -> int:
    """Return how often the test window of a search has been opened."""
    return len(read_openings(path))
