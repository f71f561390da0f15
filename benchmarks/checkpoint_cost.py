"""What share of a trial's time its checkpoints cost, at default settings, per algorithm.

    taskset -c 1 python benchmarks/checkpoint_cost.py [--algorithms ppo sac] [--timesteps 20000]
    taskset -c 1 python benchmarks/checkpoint_cost.py --no-checkpoints   # what is left without

One JSON object per algorithm. A trial trains on 756 days of 29 stocks with 8 indicators (random
walks), is evaluated on 252 others every 2,000 timesteps, and after each evaluation writes its
checkpoint into a temporary folder, from where it is copied to its storage, a folder beside it, and
flushed to the disk, as in a search. `share_percent` is the time of all that over the time of the
whole trial, by the clock; `cpu_share_percent` counts the process's CPU seconds instead, which other
programs on the machine change little, but leaves out waiting for the disk. `parts_ms` is the mean
per checkpoint.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch as th
from markets import synthetic_market
from stable_baselines3.common.base_class import BaseAlgorithm

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.evaluation import EvaluationConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.training import agent

TRAIN_DAYS, VALIDATION_DAYS = 756, 252
LIMIT_PERCENT = 3.0


class Clock:
    """Sums up seconds per name, by the clock and of the CPU."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.cpu_seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        begin, cpu_begin = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - begin
            self.cpu_seconds[name] += time.process_time() - cpu_begin

    def wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.timing(name):
                return function(*args, **kwargs)

        return timed


def run(algorithm: str, timesteps: int, *, checkpoints: bool, storage: Path) -> dict[str, Any]:
    market = synthetic_market(TRAIN_DAYS + VALIDATION_DAYS)
    windows = market.rows(0, TRAIN_DAYS), market.rows(TRAIN_DAYS, market.n_periods)
    config = ExperimentConfig(
        agent=AgentConfig(algorithm=algorithm, total_timesteps=timesteps),
        evaluation=EvaluationConfig(),
    )
    clock, sizes = Clock(), list[int]()

    def report(metrics: dict[str, Any], save: Callable[[Path], None]) -> None:
        if not checkpoints:
            return
        with clock.timing("all"), tempfile.TemporaryDirectory() as folder:
            save(Path(folder))
            with clock.timing("copy_to_storage"):
                kept = storage / f"checkpoint_{len(sizes):06d}"
                shutil.copytree(folder, kept)
                flush(kept)
        sizes.append(sum(path.stat().st_size for path in kept.iterdir()))

    with (
        mock.patch.object(BaseAlgorithm, "save", clock.wrapped("model", BaseAlgorithm.save)),
        timed_in_training(clock, "capture_state"),
        timed_in_training(clock, "save_state"),
        clock.timing("trial"),
    ):
        agent.train_agent({}, config, *windows, report)
    return summary(algorithm, timesteps, clock, sizes)


@contextmanager
def timed_in_training(clock: Clock, name: str) -> Iterator[None]:
    with mock.patch.object(agent, name, clock.wrapped(name, getattr(agent, name))):
        yield


def flush(folder: Path) -> None:
    for path in (*folder.iterdir(), folder):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def summary(algorithm: str, timesteps: int, clock: Clock, sizes: list[int]) -> dict[str, Any]:
    seconds, cpu = clock.seconds, clock.cpu_seconds
    trial = seconds.pop("trial")
    spent = seconds.pop("all", 0.0)
    count = max(1, len(sizes))
    parts = {name: round(1e3 * value / count, 1) for name, value in seconds.items()}
    parts["rest"] = round(1e3 * (spent - sum(seconds.values())) / count, 1)
    share = 100 * spent / trial
    return {
        "algorithm": algorithm,
        "timesteps": timesteps,
        "trial_s": round(trial, 2),
        "checkpoints": len(sizes),
        "last_checkpoint_mb": round(sizes[-1] / 1e6, 2) if sizes else 0.0,
        "ms_per_checkpoint": round(1e3 * spent / count, 1),
        "share_percent": round(share, 3),
        "cpu_share_percent": round(100 * cpu["all"] / cpu["trial"], 3),
        "below_limit": share < LIMIT_PERCENT,
        "parts_ms": parts,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="cost of checkpoints, one JSON per algorithm")
    parser.add_argument("--algorithms", nargs="+", choices=list(ALGORITHMS), default=[*ALGORITHMS])
    parser.add_argument("--timesteps", type=int, default=20_000)
    parser.add_argument("--no-checkpoints", action="store_true")
    arguments = parser.parse_args()
    th.set_num_threads(1)
    for algorithm in arguments.algorithms:
        with tempfile.TemporaryDirectory() as storage:
            run(algorithm, 300, checkpoints=True, storage=Path(storage) / "warm-up")
            measured = run(
                algorithm,
                arguments.timesteps,
                checkpoints=not arguments.no_checkpoints,
                storage=Path(storage),
            )
        sys.stdout.write(json.dumps(measured) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
