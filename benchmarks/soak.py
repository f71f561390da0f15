"""A soak: many short trials while a second process kills workers at random times.

    python benchmarks/soak.py                     # 1,000 trials; `make soak`
    python benchmarks/soak.py --trials 100 --kills 10

Shows that no trial is lost or doubled, that the driver's memory is flat, and that neither a process
nor a temporary file is left. Ends with 1 if one of these does not hold. Kills are bounded in number
and rate, come from a seeded stream, and hit worker processes of this search alone.
"""

import argparse
import json
import multiprocessing
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "faults"))

from searches import Search, close_all_on_sigterm, processes_below, read_text_table

MAX_FAILURES = 10
"""More kills than ever hit one trial: each kill picks one of the workers alive."""
MAX_KB_PER_TRIAL = 150.0
"""Ray keeps some 70 kB for each trial that it has run; a leak of results would be far above."""
ORPHANS_GONE_S = 30.0


def raw_config(trials: int) -> dict[str, Any]:
    """Trials of one evaluation after 64 timesteps, which take a tenth of a second each."""
    return {
        "name": "soak",
        "seed": 5,
        "split": {
            "train": [None, "2006-01-01"],
            "validation": ["2006-01-01", "2006-04-01"],
            "test": ["2006-04-01", "2006-07-01"],
        },
        "agent": {"algorithm": "a2c", "total_timesteps": 64, "n_envs": 4},
        "evaluation": {"eval_freq": 64},
        "search": {
            "num_samples": trials,
            "max_failures": MAX_FAILURES,
            "scheduler": {"type": "fifo"},
            "default_space": False,
            "space": {"net_arch": "tiny", "gamma": {"uniform": [0.9, 0.99]}},
        },
    }


def kill_workers(ray_tmp: str, count: int, mean_s: float, seed: int, killed: Any) -> None:
    """Kill `count` workers, one at a time, after waits with the mean `mean_s` and at least 1 s."""
    rng = np.random.default_rng(seed)
    while killed.value < count:
        time.sleep(max(1.0, rng.exponential(mean_s)))
        # Ray names a worker after the actor that it holds
        workers = [p for p in processes_below(ray_tmp) if _title(p).startswith("ray::Implicit")]
        if workers:
            workers[int(rng.integers(len(workers)))].kill()
            killed.value += 1


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""


class MemoryWatch:
    """Samples the driver's resident memory once a second, with the trials that have ended."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self.samples: list[tuple[int, float]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        assert self.search.process is not None
        driver = psutil.Process(self.search.process.pid)
        while not self._stop.wait(1.0):
            try:
                resident = driver.memory_info().rss / 1e6
                journal = (self.search.folder / "journal.jsonl").read_bytes()
            except (psutil.NoSuchProcess, OSError, ValueError):
                continue
            if resident:  # none is left of a driver that has just ended
                self.samples.append((journal.count(b'"event": "end"'), resident))

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def kb_per_trial(self) -> float:
        """The slope over the second half of the trials: imports and caches come before."""
        last = self.samples[-1][0] if self.samples else 0
        later = np.array([s for s in self.samples if s[0] >= last / 2])
        if len(later) < 3 or len(np.unique(later[:, 0])) < 2:
            return float("nan")
        return float(np.polyfit(later[:, 0], later[:, 1], 1)[0] * 1e3)


def count_files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def lost_or_doubled(search: Search, trials: int) -> list[str]:
    """What is wrong with the table and the curves."""
    table = read_text_table(search.folder / "trials.csv")
    curves = read_text_table(search.folder / "learning_curves.csv")
    numbers = Counter(table["trial"].astype(int))
    faults = []
    lost = [n for n in range(trials) if n not in numbers]
    doubled = [n for n, count in numbers.items() if count > 1]
    same = int(table["gamma"].duplicated().sum())
    twice = int(curves.duplicated(["trial", "timesteps"]).sum())
    if lost:
        faults.append(f"{len(lost)} trials are lost, {lost[0]} among them")
    if doubled or same:
        faults.append(f"{len(doubled)} trials and {same} samples are doubled")
    if twice or len(curves) != trials:
        faults.append(f"{len(curves)} evaluations, {twice} of them doubled, not {trials}")
    states = table["state"].value_counts().to_dict()
    if states != {"completed": trials}:
        faults.append(f"the trials ended as {states}")
    return faults


def left_behind(search: Search, tmp: Path) -> list[str]:
    """Processes and temporary files that outlive the search."""
    deadline = time.monotonic() + ORPHANS_GONE_S
    while (orphans := search.processes()) and time.monotonic() < deadline:
        time.sleep(0.5)
    faults = []
    if orphans:
        faults.append(f"{len(orphans)} processes are left: {_title(orphans[0])[:80]}")
    files = [str(path.relative_to(tmp)) for path in tmp.rglob("*") if path.is_file()]
    if files:
        faults.append(f"{len(files)} files are left in the temporary folder, such as {files[0]}")
    unfinished = [p for p in search.folder.rglob("*") if ".tmp" in p.name or ".copy" in p.name]
    if unfinished:
        faults.append(f"{len(unfinished)} unfinished files, such as {unfinished[0].name}")
    known = {e["path"] for e in search.events() if e["event"] == "checkpoint"}
    on_disk = [p.relative_to(search.folder) for p in search.folder.glob("ray/*/checkpoint_*")]
    unknown = [str(path) for path in on_disk if str(path) not in known]
    if unknown:
        faults.append(f"{len(unknown)} checkpoints nobody knows, such as {unknown[0]}")
    return faults


def run_soak(home: Path, trials: int, kills: int, mean_s: float, seed: int) -> dict[str, Any]:
    tmp = home / "tmp"
    tmp.mkdir()
    killed = multiprocessing.Value("i", 0)
    with Search(home=home, raw=raw_config(trials), env={"TMPDIR": str(tmp)}) as search:
        started = time.monotonic()
        search.start()
        killer = multiprocessing.Process(
            target=kill_workers, args=(str(search.ray_tmp), kills, mean_s, seed, killed)
        )
        killer.start()
        try:
            with MemoryWatch(search) as memory:
                code = search.wait(timeout_s=60.0 + trials * 2.0 + kills * 30.0)
        finally:
            killer.terminate()
            killer.join()
        seconds = time.monotonic() - started
        faults = [f"exit code {code}: {search.tail(3)}"] if code else []
        faults += lost_or_doubled(search, trials) + left_behind(search, tmp)
        slope = memory.kb_per_trial()
        if not slope <= MAX_KB_PER_TRIAL:
            faults.append(f"the driver grows by {slope:.0f} kB per trial ({MAX_KB_PER_TRIAL:.0f})")
        if not killed.value:
            faults.append("no worker was killed: more trials are needed")
        return {
            "trials": trials,
            "killed": killed.value,
            "retries": sum(e["event"] == "recover" for e in search.events()),
            "seconds": round(seconds, 1),
            "driver_mb": [round(memory.samples[0][1]), round(memory.samples[-1][1])],
            "driver_kb_per_trial": round(slope, 1),
            "folder_files_per_trial": round(count_files(search.folder) / trials, 2),
            "ray_session_files_per_trial": round(count_files(search.ray_tmp) / trials, 2),
            "temp_files": count_files(tmp),
            "violations": faults,
        }


def main() -> int:
    close_all_on_sigterm()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--kills", type=int, help="at most this many; one in 25 trials by default")
    parser.add_argument("--every", type=float, default=5.0, help="mean seconds between kills")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    kills = arguments.trials // 25 if arguments.kills is None else arguments.kills
    home = Path(tempfile.mkdtemp(prefix="soak"))
    try:
        summary = run_soak(home, arguments.trials, kills, arguments.every, arguments.seed)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(json.dumps(summary, indent=2))
    return 1 if summary["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
