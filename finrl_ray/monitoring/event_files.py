"""Scalars of TensorBoard's event files."""

from pathlib import Path

import numpy as np

from finrl_ray._typing import FloatArray

EVENT_PATTERN = "events.out.tfevents.*"


def read_scalars(folder: Path) -> dict[str, FloatArray]:
    """Return the scalars of the run below `folder` that was written to last.

    Returns
    -------
    dict
        By tag, an array (n, 2) of step and value, in the order of writing; empty if there is none.
    """
    files = [path for path in folder.rglob(EVENT_PATTERN) if path.is_file()]
    if not files:
        return {}
    # here, because a run that writes its own files does not need TensorBoard
    from tensorboard.backend.event_processing.directory_watcher import DirectoryDeletedError
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    latest = max(files, key=_written_at).parent
    events = EventAccumulator(str(latest), size_guidance={"scalars": 0})
    try:
        events.Reload()
    except (DirectoryDeletedError, OSError):
        return {}
    return {
        tag: np.array([[event.step, event.value] for event in events.Scalars(tag)])
        for tag in events.Tags()["scalars"]
    }


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # it has gone since it was listed
        return 0.0
