"""What the benchmarks share: interleaved repeats, medians, and results kept with versions.

A case is a function that runs for a while and returns one number. `interleaved` calls all of them
in turn, so that a busy machine slows all alike and their ratios hold; `write_results` prints one
JSON object per row and keeps them all, with the versions they were measured with, in
`benchmarks/results/KIND/NAME.json`, where KIND is that of the processor: ratios of one kind do not
hold on another. `tables.py` makes the tables of the documentation from these files.
"""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from finrl_ray.machine.available_cpus import available_cpus

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("finrl_ray", "numpy", "numba", "torch", "stable_baselines3", "ray")

Case = Callable[[], float]


def interleaved(cases: Mapping[str, Case], repeats: int) -> dict[str, list[float]]:
    """Return `repeats` numbers of each case, taken round by round, each second round backwards."""
    values: dict[str, list[float]] = {name: [] for name in cases}
    for repeat in range(repeats):
        # whichever comes later finds warmer caches
        names = list(cases) if repeat % 2 == 0 else list(cases)[::-1]
        for name in names:
            values[name].append(float(cases[name]()))
    return values


def per_cpu_second(work: Callable[[], int]) -> Case:
    """Return a case: what `work` says it has done, per second of this process's CPU time."""

    def run() -> float:
        begin = time.process_time()
        done = work()
        return done / (time.process_time() - begin)

    return run


def summary(values: Sequence[float], digits: int = 4) -> dict[str, float]:
    """Return median, min and max with `digits` significant digits."""
    numbers = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: float(f"{value:.{digits}g}") for name, value in numbers.items()}


def paired_ratio(
    above: Sequence[float], below: Sequence[float], digits: int = 4
) -> dict[str, float]:
    """Return the median, min and max over rounds of `above / below` of the same round."""
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    return summary(ratios, digits)


def versions(*more: str, **known: str) -> dict[str, Any]:
    """Return when, on what machine and with which packages something is measured.

    Parameters
    ----------
    more : distributions besides PACKAGES; those that are not installed are None
    known : versions that are not those of installed packages
    """
    found: dict[str, Any] = {
        "measured": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cores": available_cpus(),
        # what else ran: of the last minute, in busy cores
        "load_before": round(os.getloadavg()[0], 1),
        "platform": platform.platform(),
        "python": platform.python_version(),
    }
    for name in (*PACKAGES, *more):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return {**found, **known}


def cpu_model() -> str:
    """Return the processor's name as the system gives it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def processor_kind() -> str:
    """Return `intel`, `amd` or `arm`; of a processor that says nothing, the architecture."""
    model = cpu_model().lower()
    for kind in ("intel", "amd"):
        if kind in model:
            return kind
    return "arm" if platform.machine() in ("arm64", "aarch64") else platform.machine()


def write_results(
    name: str,
    rows: Iterable[Mapping[str, Any]],
    measured_with: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    same: Sequence[str] = (),
) -> Path:
    """Print each row as a line of JSON, and write them all with the versions to `NAME.json`.

    Parameters
    ----------
    name : of the file
    rows : what was measured
    measured_with : what `versions` returned before it
    folder : where the file goes: `benchmarks/results/KIND` by default
    same : columns that say what a row is about; rows of an earlier run that are about something
        else than these stay in the file, with the versions of their own run
    """
    rows = [dict(row) for row in rows]
    for row in rows:
        sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()
    folder = folder or RESULTS / processor_kind()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    known = dict(measured_with or versions())
    if same and path.exists():
        rows = [*_others(json.loads(path.read_text(encoding="utf-8")), rows, same), *rows]
    path.write_text(
        json.dumps({"versions": known, "rows": rows}, indent=2) + "\n", encoding="utf-8"
    )
    return path


def _others(
    kept: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], same: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the rows of an earlier run that no new row replaces."""
    new = {tuple(row.get(name) for name in same) for row in rows}
    others = [row for row in kept["rows"] if tuple(row.get(name) for name in same) not in new]
    return [{**row, "versions": row.get("versions", kept["versions"])} for row in others]
