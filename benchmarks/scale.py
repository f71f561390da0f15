"""What thousands of trials cost the driver: CPU time per result, memory, files, and their growth.

    python benchmarks/scale.py               # 1,000, 5,000 and 10,000 trials; half an hour
    python benchmarks/scale.py --trials 1000 5000

Each size is a search of its own, in a process of its own, on a real Ray: scheduler, journal,
states, retention, TensorBoard's files, the lines of the command line. Its trials train nothing.
They report five times what a trial of PPO reports, each time with a small checkpoint, and ASHA,
which sees each result better than all before it, stops none of them and remembers all.

- `cpu_ms_per_result` is the driver's CPU time, Ray's threads included, over each eighth of the
  trials; `slope` is the last eighth over the second one (the first has the start of the workers).
- `rss_mb` is the driver's memory before the first trial and after the last, `peak_rss_mb` its most;
  `object_store_mb` what Ray's shared memory holds at the end.
- `files` and `folder_mb` are the search's folder without the checkpoints; `journal_mb` and
  `state_mb` are parts of it.
- `show_cpu_s` and `ls_cpu_s` are the commands on the folder afterwards.

The tables and the verdict at the end of a search are made of models, which these trials lack: they
are left out. One JSON object per size, kept in benchmarks/results/KIND/scale.json; `growth` says
how CPU time and memory grow from the smallest to the largest size.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from measuring import versions, write_results
from ray import tune
from search_overhead import RESULTS_PER_TRIAL, STEPS, finished_search, parsed, ray_folder

CHECKPOINT_BYTES = 20_000
MB = 1e6


def idle_trial(sample: dict[str, Any], **_: Any) -> None:
    """Report what a trial of PPO reports, without training."""
    from finrl_ray.metrics.registry import MEASURES

    number = float(tune.get_context().get_trial_id())
    for k in range(1, RESULTS_PER_TRIAL + 1):
        value = number + 0.01 * k
        metrics: dict[str, Any] = {f"eval/{measure.name}": value for measure in MEASURES.values()}
        metrics |= {"objective": value, "eval_objective": value, "timesteps": STEPS * k}
        metrics |= {"seed": 1_000_000 + k, "stop_reason": "", "notes": ""}
        metrics |= {f"sys/{name}": 0.5 for name in ("cpu_percent", "memory_mb", "gpu_percent")}
        metrics["sys/checkpoint_bytes"] = CHECKPOINT_BYTES
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "model.zip").write_bytes(bytes(CHECKPOINT_BYTES))
            tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))


def measured(trials: int) -> dict[str, Any]:
    """Run one search of idle trials in this process."""
    from finrl_ray.cli.live_view import LiveView
    from finrl_ray.search.run import runner

    marks: list[tuple[int, float, float]] = []
    memory = {"before": 0.0, "after": 0.0, "store": 0.0}

    class MeasuringView(LiveView):
        def setup(self, *args: Any, **info: Any) -> None:
            super().setup(*args, **info)
            memory["before"] = psutil.Process().memory_info().rss
            marks.append((0, time.process_time(), time.monotonic()))

        def on_trial_complete(self, *args: Any, **info: Any) -> None:
            super().on_trial_complete(*args, **info)
            ended = len(self.journal.records.endings)
            if ended % max(1, trials // 8) == 0:
                marks.append((ended, time.process_time(), time.monotonic()))

        def on_experiment_end(self, *args: Any, **info: Any) -> None:
            super().on_experiment_end(*args, **info)
            memory["after"] = psutil.Process().memory_info().rss
            memory["store"] = _object_store_bytes()

    # idle trials leave no models for the tables and the winner to be made of
    parts: Any = runner
    parts.train_trial, parts.write_outputs = idle_trial, lambda *_: None
    with ray_folder() as folder:
        config = parsed(
            folder,
            {
                "agent": {"total_timesteps": STEPS * RESULTS_PER_TRIAL},
                "evaluation": {"eval_freq": STEPS},
                "search": {"num_samples": trials, "searcher": "random"},
            },
        )
        result = finished_search(folder, config, trials, MeasuringView)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        results = [(b[0] - a[0]) * RESULTS_PER_TRIAL for a, b in pairwise(marks)]
        cpu = [b[1] - a[1] for a, b in pairwise(marks)]
        per_result = [1e3 * c / n for c, n in zip(cpu, results, strict=True)]
        return {
            "trials": trials,
            "results": sum(results),
            "searcher": config.search.searcher,
            "scheduler": config.search.scheduler.type,
            "wall_s": round(marks[-1][2] - marks[0][2], 1),
            "cpu_ms_per_result": [round(c, 2) for c in per_result],
            "mean_cpu_ms_per_result": round(1e3 * sum(cpu) / sum(results), 2),
            "slope": round(per_result[-1] / per_result[1], 2),
            "rss_mb": [round(memory[name] / MB) for name in ("before", "after")],
            "peak_rss_mb": round(peak / MB),
            "object_store_mb": round(memory["store"] / MB, 1),
            **_folder_facts(result.path),
            "show_cpu_s": _command_cpu_s("show", str(result.path)),
            "ls_cpu_s": _command_cpu_s("ls", str(result.path.parent)),
        }


def _object_store_bytes() -> float:
    import ray

    name = "object_store_memory"
    return float(ray.cluster_resources()[name] - ray.available_resources().get(name, 0.0))


def _folder_facts(path: Path) -> dict[str, Any]:
    files = [f for f in path.rglob("*") if f.is_file() and "ray" not in f.relative_to(path).parts]
    states = sum(f.stat().st_size for f in (path / "state").iterdir())
    return {
        "files": len(files),
        "folder_mb": round(sum(f.stat().st_size for f in files) / MB, 1),
        "journal_mb": round((path / "journal.jsonl").stat().st_size / MB, 1),
        "state_mb": round(states / MB, 2),
    }


def _command_cpu_s(*arguments: str) -> float:
    before = os.times()
    command = [sys.executable, "-m", "finrl_ray", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    spent = after.children_user - before.children_user
    return round(spent + after.children_system - before.children_system, 2)


def in_a_process(trials: int) -> dict[str, Any]:
    """Run one size in a process of its own, whose CPU time and memory are then its alone."""
    child = [sys.executable, __file__, "--child", str(trials)]
    done = subprocess.run(child, check=True, stdout=subprocess.PIPE, text=True)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def rows(sizes: list[int]) -> Iterator[dict[str, Any]]:
    """Yield one row per size, the smallest first, and what grows between the two ends."""
    found = []
    for trials in sorted(sizes):
        found.append(in_a_process(trials))
        yield found[-1]
    if len(found) > 1:
        small, large = found[0], found[-1]
        more = large["trials"] - small["trials"]
        yield {
            "growth": f"{small['trials']} to {large['trials']} trials",
            "cpu_per_result": round(
                large["mean_cpu_ms_per_result"] / small["mean_cpu_ms_per_result"], 2
            ),
            "rss_kb_per_trial": round(1e3 * (large["rss_mb"][1] - small["rss_mb"][1]) / more, 1),
            "journal_kb_per_trial": round(
                1e3 * (large["journal_mb"] - small["journal_mb"]) / more, 2
            ),
            "files_per_trial": round((large["files"] - small["files"]) / more, 2),
        }


def table(found: list[dict[str, Any]]) -> str:
    """Return the rows as a table of text."""
    names = ("trials", "mean_cpu_ms_per_result", "slope", "wall_s", "peak_rss_mb", "journal_mb")
    names = (*names, "files", "show_cpu_s", "ls_cpu_s")
    lines = [names, *(tuple(str(row[name]) for name in names) for row in found if "trials" in row)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(names))]
    return "\n".join(
        "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True))
        for line in lines
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", nargs="+", type=int, default=[1000, 5000, 10000])
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measured(options.child)))
        return
    kept: list[dict[str, Any]] = []
    for row in rows(options.trials):
        kept.append(row)
        # after each size, since the largest take long
        write_results("scale", kept, versions())
    print(table(kept))


if __name__ == "__main__":
    main()
