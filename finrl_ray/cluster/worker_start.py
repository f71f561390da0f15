"""What a worker process of a Ray of our own does before its first task.

Ray starts one process per CPU ahead, while the driver is still busy, and gives it to a trial only
if the trial asks for no environment of its own. So the variables of the workers come with Ray's own
environment and are set by a function that Ray runs in each new worker. It then imports what trials
need, which takes seconds, in as many processes as trials run at once; others stay small.
"""

import contextlib
import importlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from finrl_ray.cluster.ray_internals import HOOK_VARIABLE
from finrl_ray.support.garbage import no_collection

START_VARIABLE = "FINRL_RAY_WORKER_START"


@contextlib.contextmanager
def worker_start(env: Mapping[str, str], module: str, processes: int) -> Iterator[dict[str, str]]:
    """Yield the environment of a Ray whose workers begin so, until the block is left.

    Parameters
    ----------
    env : variables that each worker has, before it imports anything
    module : imported by the first workers
    processes : how many import it; 0: none
    """
    places = tempfile.mkdtemp(prefix="finrl_ray_workers_")
    said = {"env": dict(env), "module": module, "processes": processes, "places": places}
    hook = f"{begin.__module__}.{begin.__qualname__}"
    try:
        # the C library reads its own when a process starts
        early = {name: value for name, value in env.items() if name.startswith("MALLOC_")}
        yield {**early, HOOK_VARIABLE: hook, START_VARIABLE: json.dumps(said)}
    finally:
        shutil.rmtree(places, ignore_errors=True)


def begin() -> None:
    """Set the variables of this process, and import what trials need if it is among the first."""
    told = os.environ.get(START_VARIABLE)
    if told is None:
        return
    said = json.loads(told)
    os.environ.update(said["env"])
    if _has_place(Path(said["places"]), said["processes"]):
        # what cannot be imported fails where it is used, with a trial that says so
        with contextlib.suppress(Exception), no_collection():
            importlib.import_module(said["module"])


def _has_place(folder: Path, places: int) -> bool:
    """Take one of the places, which each of many processes can do at the same moment."""
    for number in range(places):
        try:
            (folder / str(number)).touch(exist_ok=False)
        except FileExistsError:
            continue
        except OSError:  # the search has ended
            return False
        return True
    return False
