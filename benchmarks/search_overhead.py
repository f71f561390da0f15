"""What a search costs besides training: per result, between two trials, before the first result.

    python benchmarks/search_overhead.py                       # all; some 15 minutes
    python benchmarks/search_overhead.py --only workers start  # parts of it
    python benchmarks/search_overhead.py --only driver --trials 1000 2000 5000

`driver`: trials that only report five results, each with a checkpoint of a real size, through the
whole search: Ray, scheduler, journal, states, retention, the view of the command line. Each result
is better than those of all trials before it, so that ASHA stops none and remembers all of them.
`cpu_ms_per_result` is the driver's CPU time over each eighth of the trials, Ray's threads included.

`workers`: real trials of a second that differ in gamma alone, with one worker and with two.
`overhead_ms` is the time in a
worker from the last training step of a trial to the first of the next one: the last report with
its checkpoint, the driver's answer, the next trial's start, envs and model; `last_report_ms` is the
part of it until the driver has answered, `turnaround_ms` that until the next trial is entered, and
`build_ms` the rest. The last evaluation is training's. `training_share` is the time in trials'
learning loops over workers x time after the first result. `others_cores` are the cores that other
programs had meanwhile: `two_workers_over_one` is taken over the rounds that were left alone, and is
null where there were none.

`start`: from the command to the first result in the journal, on the quickstart experiment; and how
long `--help` takes.

`processes`: the quickstart experiment from the command to its end, with its backtest and report:
CPU seconds of each kind of process up to the first result, to the last trial's end and to that of
the command, and the largest resident memory of each kind. CPU seconds depend little on what else
the machine does.

`reading`: CPU seconds of the commands that read or check, on that search; the median of some runs.

One JSON object per measurement, kept in benchmarks/results/KIND/search_overhead.json; parts that
were not asked for stay there as they were.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from measuring import summary, versions, write_results
from ray import tune

REPOSITORY = Path(__file__).parents[1]
QUICKSTART = REPOSITORY / "experiments" / "quickstart" / "config.yaml"
RESULTS_PER_TRIAL = 5
STEPS = 1000
CHECKPOINT_BYTES = 60_000
EQUAL_TRIALS = {
    "n_steps": 128,
    "batch_size": 256,
    "n_epochs": 10,
    "net_arch": "small",
    "gamma": {"uniform": [0.98, 0.99]},
}
LEFT_ALONE_CORES = 0.1
PARTS = ("driver", "workers", "start", "processes", "reading")
KINDS = {
    "gcs_server": "gcs_server",
    "raylet/raylet ": "raylet",
    "dashboard/agent": "dashboard agent",
    "runtime_env/agent": "runtime env agent",
    "dashboard/dashboard": "dashboard",
    "multiprocessing": "dashboard modules",
    "log_monitor": "log monitor",
    "monitor.py": "autoscaler monitor",
    "process_guard": "guard",
    "DashboardActor": "dashboard actor",
    "ImplicitFunc": "trial worker",
    "default_worker": "idle worker",
    "ray::IDLE": "idle worker",
}
"""Kinds of processes by a part of their command line; the first that fits."""
READING = (
    ["--help"],
    ["show", "DIR"],
    ["ls", "RUNS"],
    ["report", "DIR"],
    ["compare", "DIR", "OTHER", "--html", "PAGE"],
    ["doctor", str(QUICKSTART), "--no-measure"],
    ["audit", str(QUICKSTART)],
)
MEASURES = ("sharpe_ratio", "sortino_ratio", "calmar_ratio", "max_drawdown", "total_return")


@contextmanager
def ray_folder() -> Iterator[Path]:
    # Ray's socket paths must stay below 108 characters
    folder = Path(tempfile.mkdtemp(prefix="ov"))
    os.environ["RAY_TMPDIR"] = str(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def parsed(folder: Path, overrides: dict[str, dict[str, Any]]) -> Any:
    import yaml

    from finrl_ray.config.load import parse_config

    raw = yaml.safe_load(QUICKSTART.read_text(encoding="utf-8"))
    for section, values in overrides.items():
        raw[section] = {**raw[section], **values}
    raw["search"]["storage_path"] = str(folder / "runs")
    return parse_config(raw)


# -- the driver ----------------------------------------------------------------------------------


def idle_trial(sample: dict[str, Any], **_: Any) -> None:
    """Report as a trial does, without training."""
    number = float(tune.get_context().get_trial_id())
    for k in range(1, RESULTS_PER_TRIAL + 1):
        value = number + 0.01 * k
        metrics: dict[str, Any] = {f"eval/{name}": value for name in MEASURES}
        metrics |= {"objective": value, "eval_objective": value, "timesteps": STEPS * k}
        metrics |= {"seed": len(sample), "stop_reason": "", "sys/checkpoint_bytes": 0}
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "model.zip").write_bytes(bytes(CHECKPOINT_BYTES))
            tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))


def finished_search(folder: Path, config: Any, trials: int, make_view: Any) -> Any:
    """Run a search to its end, its output in a file of `folder`, and return its result."""
    from finrl_ray.search.run.runner import run_search

    with (folder / "output.txt").open("w") as output, contextlib.redirect_stdout(output):
        result = run_search(config, make_view=make_view)
    assert result.finished
    assert len(result.table) == trials
    return result


def driver(trials: int, searcher: str) -> dict[str, Any]:
    """Run one search of idle trials in this process."""
    from finrl_ray.cli.live_view import LiveView
    from finrl_ray.search.run import runner

    marks: list[tuple[int, float, float]] = []

    class MeasuringView(LiveView):
        def on_trial_complete(self, *args: Any, **info: Any) -> None:
            super().on_trial_complete(*args, **info)
            ended = len(self.journal.records.endings)
            if ended % max(1, trials // 8) == 0:
                marks.append((ended, time.process_time(), time.monotonic()))

    # idle trials leave no models for the tables and the winner to be made of
    runner_parts: Any = runner
    runner_parts.train_trial, runner_parts.write_outputs = idle_trial, lambda *_: None
    total = STEPS * RESULTS_PER_TRIAL
    with ray_folder() as folder:
        config = parsed(
            folder,
            {
                "agent": {"total_timesteps": total},
                "evaluation": {"eval_freq": STEPS},
                "search": {"num_samples": trials, "searcher": searcher},
            },
        )
        result = finished_search(folder, config, trials, MeasuringView)
        state = max(path.stat().st_size for path in (result.path / "state").iterdir())
    results = [(b[0] - a[0]) * RESULTS_PER_TRIAL for a, b in pairwise(marks)]
    cpu = [b[1] - a[1] for a, b in pairwise(marks)]
    return {
        "part": "driver",
        "trials": trials,
        "searcher": searcher,
        "scheduler": config.search.scheduler.type,
        "results_per_trial": RESULTS_PER_TRIAL,
        "cpu_ms_per_result": [round(1e3 * c / n, 2) for c, n in zip(cpu, results, strict=True)],
        "mean_cpu_ms_per_result": round(1e3 * sum(cpu) / sum(results), 2),
        "wall_ms_per_result": round(1e3 * (marks[-1][2] - marks[0][2]) / sum(results), 2),
        "state_bytes": state,
    }


# -- the workers ---------------------------------------------------------------------------------


class OtherPrograms(tune.Callback):
    """Counts the cores that programs outside this search had while it ran."""

    def __init__(self) -> None:
        self.began = self.own = self.busy = self.cores = 0.0

    def on_trial_start(self, *args: Any, **info: Any) -> None:
        if not self.began:
            self.began, self.own, self.busy = time.monotonic(), _own_cpu_s(), _busy_s()

    def on_trial_complete(self, *args: Any, **info: Any) -> None:
        others = (_busy_s() - self.busy) - (_own_cpu_s() - self.own)
        self.cores = others / (time.monotonic() - self.began)


def _own_cpu_s() -> float:
    own = psutil.Process()
    total = 0.0
    for process in (own, *own.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


def timed_trial(folder: str) -> Callable[..., None]:
    """Return `train_trial` that appends when its parts began and ended to a file per process."""

    def timed(sample: dict[str, Any], **given: Any) -> None:
        from finrl_ray.search.worker import trainable
        from finrl_ray.training import agent

        times = {"entered": time.time()}
        plain_learn, plain_report = agent.learn_from, trainable.report_evaluation

        def learn(*args: Any, **options: Any) -> None:
            times["began"] = time.time()
            try:
                plain_learn(*args, **options)
            finally:
                times["learned"] = time.time()

        def report(*args: Any) -> None:
            times["report"] = time.time()
            try:
                plain_report(*args)
            finally:
                times["reported"] = time.time()
                times["reports"] = times.get("reports", 0.0) + times["reported"] - times["report"]

        agent.learn_from, trainable.report_evaluation = learn, report
        try:
            trainable.train_trial(sample, **given)
        finally:
            agent.learn_from, trainable.report_evaluation = plain_learn, plain_report
            with (Path(folder) / f"{os.getpid()}.jsonl").open("a") as file:
                file.write(json.dumps(times) + "\n")

    return timed


def workers(count: int, trials: int, timesteps: int) -> dict[str, Any]:
    """Run one search of real trials in this process."""
    from finrl_ray.search.run import runner

    with ray_folder() as folder:
        runner_parts: Any = runner
        runner_parts.train_trial = timed_trial(str(folder))
        config = parsed(
            folder,
            {
                "agent": {"total_timesteps": timesteps},
                "evaluation": {"eval_freq": timesteps // 4},
                "search": {
                    "num_samples": trials,
                    "max_concurrent_trials": count,
                    "scheduler": {"type": "fifo"},
                    "default_space": False,
                    "space": EQUAL_TRIALS,
                },
            },
        )
        others = OtherPrograms()
        result = runner.run_search(config, make_view=lambda *_: others)
        lives = [
            [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            for path in folder.glob("*.jsonl")
        ]
        lines = (result.path / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    first = next(event["time"] for event in events if event["event"] == "result")
    ends = [event["time"] for event in events if event["event"] == "end"]
    parts: dict[str, list[float]] = defaultdict(list)
    for life in lives:
        for before, after in pairwise(life):
            parts["overhead_ms"].append(after["began"] - before["report"])
            parts["last_report_ms"].append(before["reported"] - before["report"])
            parts["turnaround_ms"].append(after["entered"] - before["reported"])
            parts["build_ms"].append(after["began"] - after["entered"])
    trained = sum(max(0.0, t["learned"] - max(t["began"], first)) for life in lives for t in life)
    reports = sum(t["reports"] for life in lives for t in life)
    learned = sum(t["learned"] - t["began"] for life in lives for t in life)
    return {
        "part": "workers",
        "workers": count,
        "trials": trials,
        "timesteps": timesteps,
        "seconds_per_trial": round(learned / trials, 3),
        **{
            name: {k: round(1e3 * v, 1) for k, v in summary(values).items()}
            for name, values in parts.items()
        },
        "others_cores": round(others.cores, 3),
        "report_share": round(reports / learned, 4),
        "training_share": round(trained / (count * (max(ends) - first)), 4),
        "trials_per_hour": round(3600 * (trials - count) / (max(ends) - sorted(ends)[count - 1])),
    }


# -- the start -----------------------------------------------------------------------------------


def start(repeats: int) -> dict[str, Any]:
    """Run the command and end it once it has a result."""
    seconds, helps = [], []
    for _ in range(repeats):
        with ray_folder() as folder:
            helps.append(_help_s())
            began = time.time()
            process = _started_command(folder)
            try:
                seconds.append(_first_result(folder) - began)
            finally:
                process.terminate()
                process.wait(60)
    return {"part": "start", "first_result_s": summary(seconds), "help_s": summary(helps)}


def processes() -> dict[str, Any]:
    """Run the command to its end and sum its processes by kind."""
    with ray_folder() as folder:
        began = time.time()
        process = _started_command(folder, "--backtest")
        family = Family(process.pid)
        moments: dict[str, dict[str, float]] = {}
        walls: dict[str, float] = {}
        while process.poll() is None:
            family.look()
            events = {"first result": '"event": "result"', "search": '"state": "finished"'}
            text = "".join(
                path.read_text(encoding="utf-8") for path in folder.glob("runs/*/journal.jsonl")
            )
            for moment, mark in events.items():
                if mark in text and moment not in moments:
                    moments[moment] = family.cpu_s()
                    walls[moment] = round(time.time() - began, 1)
            time.sleep(0.05)
        assert process.returncode == 0, (folder / "output.txt").read_text(encoding="utf-8")
        moments["command"], walls["command"] = family.cpu_s(), round(time.time() - began, 1)
    return {
        "part": "processes",
        "cpu_s_until": moments,
        "total_cpu_s_until": {name: round(sum(cpu.values()), 2) for name, cpu in moments.items()},
        "most_mib": family.most_mib(),
        "wall_s_until": walls,
        "load": os.getloadavg()[0],
    }


class Family:
    """The processes that a command has started, with the CPU time and memory of each.

    Parameters
    ----------
    pid : of the command
    """

    def __init__(self, pid: int) -> None:
        self.root = psutil.Process(pid)
        self.kinds: dict[int, str] = {pid: "driver"}
        self.cpu: dict[int, float] = {}
        self.most: dict[int, int] = {}

    def look(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in (self.root, *self.root.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    self._look_at(process)

    def _look_at(self, process: psutil.Process) -> None:
        pid, times = process.pid, process.cpu_times()
        self.cpu[pid] = times.user + times.system
        self.most[pid] = max(self.most.get(pid, 0), process.memory_info().rss)
        line = " ".join(process.cmdline())
        kind = next((kind for part, kind in KINDS.items() if part in line), "other")
        # a worker is named by its task, for a while
        if pid not in self.kinds or self.kinds[pid] in ("idle worker", "other"):
            self.kinds[pid] = kind

    def cpu_s(self) -> dict[str, float]:
        found: dict[str, float] = defaultdict(float)
        for pid, cpu in self.cpu.items():
            found[self.kinds[pid]] += cpu
        return {kind: round(cpu, 2) for kind, cpu in sorted(found.items())}

    def most_mib(self) -> dict[str, int]:
        found: dict[str, int] = defaultdict(int)
        for pid, most in self.most.items():
            found[self.kinds[pid]] = max(found[self.kinds[pid]], most // 2**20)
        return dict(sorted(found.items()))


def reading(repeats: int) -> dict[str, Any]:
    """Run one search, and then each command that reads or checks some times."""
    with ray_folder() as folder:
        assert _started_command(folder).wait() == 0
        (search,) = (folder / "runs").iterdir()
        names = {
            "DIR": str(search),
            "OTHER": str(shutil.copytree(search, folder / "other")),
            "RUNS": str(folder / "runs"),
            "PAGE": str(folder / "page.html"),
        }
        found: dict[str, list[float]] = defaultdict(list)
        for _ in range(repeats):
            for arguments in READING:
                before = os.times()
                subprocess.run(
                    [*_command(), *(names.get(one, one) for one in arguments)],
                    stdout=subprocess.DEVNULL,
                    check=True,
                )
                after = os.times()
                cpu = after.children_user + after.children_system
                found[arguments[0]].append(cpu - before.children_user - before.children_system)
    medians = {name: round(statistics.median(cpu), 2) for name, cpu in found.items()}
    return {"part": "reading", "cpu_s": medians}


def _started_command(folder: Path, *options: str) -> "subprocess.Popen[bytes]":
    with (folder / "output.txt").open("w") as output:
        storage = f"search.storage_path={folder / 'runs'}"
        command = [*_command(), "tune", str(QUICKSTART), "--set", storage, *options]
        return subprocess.Popen(command, stdout=output)


def _command() -> list[str]:
    return [sys.executable, "-m", "finrl_ray"]


def _help_s() -> float:
    began = time.perf_counter()
    subprocess.run([*_command(), "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _first_result(folder: Path, patience_s: float = 120.0) -> float:
    give_up = time.time() + patience_s
    while time.time() < give_up:
        for path in folder.glob("runs/*/journal.jsonl"):
            for line in path.read_text(encoding="utf-8").splitlines():
                if '"event": "result"' in line:
                    return float(json.loads(line)["time"])
        time.sleep(0.05)
    raise RuntimeError((folder / "output.txt").read_text(encoding="utf-8"))


# -- all of it -----------------------------------------------------------------------------------


def in_a_process(part: str, *arguments: Any) -> dict[str, Any]:
    """Run one measurement in a process of its own, whose CPU time is then its alone."""
    child = [sys.executable, __file__, "--child", json.dumps([part, *arguments])]
    done = subprocess.run(child, check=True, stdout=subprocess.PIPE, text=True)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def measured(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    if "driver" in options.only:
        for trials in options.trials:
            yield in_a_process("driver", trials, options.searcher)
    if "workers" in options.only:
        ratios = []
        for repeat in range(options.repeats):
            rows = {}
            for count in (1, 2) if repeat % 2 == 0 else (2, 1):
                row = in_a_process("workers", count, 16 * count, options.timesteps)
                rows[count] = row
                yield row
            if max(row["others_cores"] for row in rows.values()) <= LEFT_ALONE_CORES:
                ratios.append(rows[2]["trials_per_hour"] / rows[1]["trials_per_hour"])
        ratio = round(statistics.median(ratios), 3) if ratios else None
        yield {"part": "scaling", "rounds": len(ratios), "two_workers_over_one": ratio}
    if "start" in options.only:
        yield start(options.repeats)
    if "processes" in options.only:
        yield processes()
    if "reading" in options.only:
        yield reading(options.repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--trials", nargs="+", type=int, default=[250, 500, 1000, 2000])
    parser.add_argument("--searcher", default="random")
    parser.add_argument("--timesteps", type=int, default=32768)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        part, *arguments = json.loads(options.child)
        print(json.dumps({"driver": driver, "workers": workers}[part](*arguments)))
        return
    write_results("search_overhead", measured(options), versions(), same=["part"])


if __name__ == "__main__":
    main()
