"""`MarketReplayBuffer` against SB3's own: memory, checkpoint, time per call, SAC steps per second.

    taskset -c 1 python benchmarks/replay_buffer.py [--transitions 100000] [--repeats 15]

One JSON object per line: what was measured, the median of both, their spread, and the ratio, above
1 where ours is smaller or faster. Timings are interleaved, so that a busy machine slows both alike,
and are CPU seconds of one thread. Memory is what a process of its own grows by as the buffer fills.
The market is a random walk of 29 stocks with 8 indicators over 335 days.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch as th
from markets import synthetic_market
from stable_baselines3.common.buffers import ReplayBuffer

from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.state.model import capture_replay
from finrl_ray.agents.state.plain_file import save_plain
from finrl_ray.env.vec_env import StockTradingVecEnv

KINDS = ("ours", "sb3")
N_PERIODS = 335


def make_model(kind: str, buffer_size: int) -> Any:
    kwargs: dict[str, Any] = {"buffer_size": buffer_size, "learning_starts": 1000}
    if kind == "sb3":
        kwargs["replay_buffer_class"] = ReplayBuffer
    env = StockTradingVecEnv(synthetic_market(N_PERIODS), record_trades=False)
    model: Any = DRLAgent(env).get_model("sac", model_kwargs=kwargs, verbose=0, seed=0)
    model._setup_learn(1)
    return model


def fill(model: Any, transitions: int) -> float:
    """Add transitions of random actions; return the CPU seconds of `add`."""
    env, buffer = model.env, model.replay_buffer
    actions = np.random.default_rng(1).uniform(-1, 1, (64, 1, 29)).astype(np.float32)
    observations, seconds = env.reset(), 0.0
    for step in range(transitions):
        action = actions[step % 64]
        after, rewards, dones, infos = env.step(action)
        seen_next = after.copy()
        if dones[0]:
            seen_next[0] = infos[0]["terminal_observation"]
        begin = time.process_time()
        buffer.add(observations, seen_next, action, rewards, dones, infos)
        seconds += time.process_time() - begin
        observations = after
    return seconds


def measure_memory(kind: str, transitions: int) -> dict[str, float]:
    fill(make_model(kind, 500), 1000)  # what the first calls load and compile
    model = make_model(kind, transitions)
    process = psutil.Process()
    before = process.memory_info().rss
    fill(model, transitions)
    grown = process.memory_info().rss - before
    with tempfile.TemporaryDirectory() as folder:
        state, pickled = Path(folder) / "state.pt", Path(folder) / "buffer.pkl"
        begin = time.perf_counter()
        save_plain(capture_replay(model), state)
        seconds = time.perf_counter() - begin
        model.save_replay_buffer(pickled)
        sizes = (state.stat().st_size, pickled.stat().st_size)
    return {
        "memory_mb": grown / 1e6,
        "checkpoint_mb": sizes[0] / 1e6,
        "pickle_mb": sizes[1] / 1e6,
        "checkpoint_write_ms": seconds * 1e3,
    }


def in_own_process(kind: str, transitions: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--transitions", str(transitions), "--memory-of", kind]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def sample_case(model: Any, batch: int, calls: int) -> Callable[[], float]:
    def run() -> float:
        begin = time.process_time()
        for _ in range(calls):
            model.replay_buffer.sample(batch)
        return (time.process_time() - begin) / calls * 1e6

    run()
    return run


def add_case(model: Any, calls: int) -> Callable[[], float]:
    return lambda: fill(model, calls) / calls * 1e6


def train_case(model: Any, steps: int) -> Callable[[], float]:
    def run() -> float:
        begin = time.process_time()
        model.learn(steps, reset_num_timesteps=False)
        return steps / (time.process_time() - begin)

    return run


def timings(transitions: int, repeats: int) -> dict[str, dict[str, list[float]]]:
    models = {kind: make_model(kind, transitions) for kind in KINDS}
    for model in models.values():
        fill(model, transitions)
        model.learn(1_100, reset_num_timesteps=False)
    cases: dict[str, dict[str, Callable[[], float]]] = {
        "sample_64_us": {kind: sample_case(models[kind], 64, 500) for kind in KINDS},
        "sample_256_us": {kind: sample_case(models[kind], 256, 200) for kind in KINDS},
        "add_us": {kind: add_case(models[kind], 2_000) for kind in KINDS},
        "sac_steps_per_s": {kind: train_case(models[kind], 150) for kind in KINDS},
    }
    values = {name: {kind: [] for kind in KINDS} for name in cases}
    for repeat in range(repeats):
        # whichever comes second finds warmer caches
        order = KINDS if repeat % 2 else KINDS[::-1]
        for name, pair in cases.items():
            for kind in order:
                values[name][kind].append(pair[kind]())
    return values


def line(name: str, ours: list[float], sb3: list[float]) -> str:
    medians = statistics.median(ours), statistics.median(sb3)
    ratio = medians[0] / medians[1] if name.endswith("per_s") else medians[1] / medians[0]
    return json.dumps(
        {
            "measure": name,
            "ours": round(medians[0], 3),
            "sb3": round(medians[1], 3),
            "ratio": round(ratio, 3),
            "ours_range": [round(min(ours), 3), round(max(ours), 3)],
            "sb3_range": [round(min(sb3), 3), round(max(sb3), 3)],
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="replay buffers, one JSON per line")
    parser.add_argument("--transitions", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--memory-of", choices=KINDS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    th.set_num_threads(1)
    if arguments.memory_of:
        sizes = measure_memory(arguments.memory_of, arguments.transitions)
        sys.stdout.write(json.dumps(sizes) + "\n")
        return
    memory = {kind: in_own_process(kind, arguments.transitions) for kind in KINDS}
    for name in memory["ours"]:
        sys.stdout.write(line(name, *([memory[kind][name]] for kind in KINDS)) + "\n")
    for name, values in timings(arguments.transitions, arguments.repeats).items():
        sys.stdout.write(line(name, values["ours"], values["sb3"]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
