"""Ending a search before its trials have ended: by a budget, an interruption or a full disk."""

import contextlib
import tempfile
from pathlib import Path

from finrl_ray.files.disk_full import WRITE_ERRORS, DiskFullError, disk_full_error, find_disk_full
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.journal.events import append_event
from finrl_ray.search.journal.records import TrialRecords, interruption, unfinished
from finrl_ray.search.journal.state_files import StateFiles
from finrl_ray.search.run.outputs import write_outputs


def end_trials(folder: Path, records: TrialRecords, spent: str) -> None:
    """Note how trials ended that Ray has said nothing of.

    Parameters
    ----------
    folder : of the search
    records : what its journal says
    spent : why the search has ended; empty if it was interrupted
    """
    for record in unfinished(records.trials.values()):
        if not record.started:
            continue
        state, reason = ("stopped", spent) if spent else ("interrupted", interruption(record))
        content = {"trial_id": record.trial_id, "state": state, "reason": reason}
        append_event(folder, records, "end", **content)


def interrupted_by_full_disk(folder: SearchFolder, error: BaseException) -> DiskFullError:
    """Note that a search is interrupted, as far as there is room for it, and return why.

    No attempt of a trial is used up: those that had started go on from their checkpoints.

    Parameters
    ----------
    folder : of the search
    error : of a disk without room
    """
    with contextlib.suppress(*WRITE_ERRORS):
        # what is on the disk: of what could not be written the driver's memory is ahead
        records = folder.records()
        StateFiles(folder.path).drop_ahead(records.number)
        end_trials(folder.path, records, "")
        append_event(folder.path, records, "search", state="interrupted", ended_by="")
        write_outputs(folder, records.in_order())
    found = find_disk_full(error) or disk_full_error(
        "a file of the search", error, [folder.path, tempfile.gettempdir()], "Make room"
    )
    return DiskFullError(
        f"{found}\nThe search is interrupted; what was reported is kept, and no attempt of a trial "
        f"is used up. Once there is room, go on with: finrl-ray resume {folder.path}"
    )
