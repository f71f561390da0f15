"""A whole search by wall time: finrl_ray against FinRL's `tune_sb3`, and two other peers.

    python benchmarks/whole_search.py [--trials 30] [--timesteps 50000] [--peers finrl ray zoo]

The job is FinRL's recipe: 30 samples of its PPO space (batches of 8 to 512, 1 to 20 epochs, nets
of 64 or 256), 50,000 timesteps each, the Sharpe ratio of one episode on the validation rows. FinRL
runs first, as it is: one trial after the other, with its Hyperband pruner that no trial ever
reports to. The others run the samples that FinRL has drawn, on all cores:

    finrl           FinRL 0.3.7: tune_sb3 on its env and SB3
    ray             a plain Ray Tune script: the same env and model in a function
    zoo             rl-zoo3's ExperimentManager with its two processes and its own samples
    finrl_ray       `finrl-ray tune`, every trial to its end
    finrl_ray_asha  the same with ASHA: rungs at 1/16, 1/4 and all of the timesteps

Each is one command from its start to its end, results written, Python's and Ray's start included.
Winners are compared by their Sharpe ratio on the validation rows, as each tool reports it. With
`--peer-timesteps` the peers train that many timesteps per trial, and the seconds of each of their
trials, not those of their starts, are scaled up by the rollouts that it would have had in all.
FinRL and rl-zoo3 run with torch's threads as they are; `--peers finrl_one_thread` is FinRL once
more with one thread.

The whole takes some four hours with all peers. FinRL's threads wait for each other in a loop, so
that anything else on the machine, at whatever priority, slows it several times: nothing may run
beside it. Each tool's row is written when it has ended; with
`--folder DIR` a second call goes on with those that are missing.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from finrl_peer import finrl_folder
from markets import N_VALIDATION, finrl_frame, synthetic_market
from measuring import cpu_model, versions, write_results

from finrl_ray.data.indicators import FINRL_INDICATORS

HERE = Path(__file__).parent
OURS = ("finrl_ray", "finrl_ray_asha")
ONE_THREAD = {"finrl_one_thread": {"OMP_NUM_THREADS": "1"}}
REAL = HERE.parents[1] / "shared" / "data" / "dow30_2020_2021_indicators.parquet"
SPACE: dict[str, Any] = {
    "batch_size": {"choice": [8, 16, 32, 64, 128, 256, 512]},
    "n_steps": {"choice": [8, 16, 32, 64, 128, 256, 512, 1024, 2048]},
    "gamma": {"choice": [0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999]},
    "learning_rate": {"loguniform": [1e-5, 0.999]},
    "ent_coef": {"loguniform": [1e-8, 0.1]},
    "clip_range": {"choice": [0.1, 0.2, 0.3, 0.4]},
    "n_epochs": {"choice": [1, 5, 10, 20]},
    "gae_lambda": {"choice": [0.8, 0.9, 0.92, 0.95, 0.98, 0.99, 1.0]},
    "max_grad_norm": {"choice": [0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 2, 5]},
    "vf_coef": {"uniform": [0, 1]},
    "net_arch": {"choice": ["small", "medium"]},
    "activation_fn": {"choice": ["tanh", "relu"]},
}


def market_frame(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return rows in FinRL's long format and the names of its indicators."""
    if path.exists():
        frame = pd.read_parquet(path)
        return frame.assign(date=frame["date"].astype(str)), list(FINRL_INDICATORS)
    market = synthetic_market(335)
    return finrl_frame(market), list(market.feature_names)


def run(command: list[str], folder: Path, **environment: str) -> float:
    """Run a command to its end in a folder; return its seconds."""
    begin = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}"
        )
    return seconds


def run_peer(
    name: str, folder: Path, timesteps: int, trials: int, **environment: str
) -> dict[str, Any]:
    """Run one of the scripts in `peers/`; it writes `NAME.json` into the folder."""
    script = str(HERE / "peers" / f"{name}_search.py")
    arguments = [sys.executable, script, str(trials), str(timesteps)]
    seconds = run(arguments, folder, PYTHONPATH=str(HERE), **environment)
    found = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return {"seconds": seconds, **found}


def our_config(folder: Path, name: str, timesteps: int, points: list[dict[str, Any]]) -> Path:
    """Write the config of the same search for `finrl-ray tune`."""
    frame = pd.read_parquet(folder / "market.parquet")
    dates = sorted(frame["date"].unique())
    first = dates[-N_VALIDATION - 2]
    rungs = max(1, timesteps // 16)
    asha = name.endswith("asha")
    config = {
        "name": name,
        "data": {"source": "market.parquet", "features": json.loads(
            (folder / "indicators.json").read_text(encoding="utf-8"))},
        "split": {
            "train": [None, first],
            "validation": [first, dates[-2]],
            "test": [dates[-2], None],
        },
        "env": {"parity": True},
        "agent": {
            "algorithm": "ppo",
            "total_timesteps": timesteps,
            "model_kwargs": {"policy_kwargs": {"ortho_init": False}},
        },
        "evaluation": {"eval_freq": rungs if asha else timesteps},
        "search": {
            "num_samples": len(points),
            "default_space": False,
            "space": SPACE,
            "initial_points": points,
            "scheduler": {"type": "asha", "grace_period": rungs, "reduction_factor": 4}
            if asha
            else {"type": "fifo"},
        },
    }  # fmt: skip
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path


def run_ours(
    name: str, folder: Path, timesteps: int, points: list[dict[str, Any]]
) -> dict[str, Any]:
    config = our_config(folder, name, timesteps, points)
    command = [str(Path(sys.executable).with_name("finrl-ray")), "tune", str(config)]
    seconds = run(command, folder)
    # the last one: a call that was cut may have left another
    results = max((folder / "runs").glob(f"{name}_2*/trials.csv"), key=os.path.getmtime)
    table = pd.read_csv(results)
    return {
        "seconds": seconds,
        "n_trials": len(table),
        "timesteps": int(table["timesteps"].sum()),
        "best_sharpe": float(table["objective"].max()),
        "n_failed": int((table["state"] == "failed").sum()),
    }


def scaled(row: dict[str, Any], short: int, full: int) -> dict[str, Any]:
    """Return a peer's row with the seconds of `full` timesteps per trial instead of `short`."""
    trained, workers = row.pop("trained"), row.pop("workers")
    # PPO trains whole rollouts
    more = sum(
        trial["seconds"] * (-(-full // trial["n_steps"]) / -(-short // trial["n_steps"]) - 1)
        for trial in trained
    )
    seconds = row["seconds"] + more / workers
    return {**row, "seconds": round(seconds, 1), "measured_seconds": round(row["seconds"], 1)}


def measured(
    folder: Path, options: argparse.Namespace, known: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield a row per tool, each when it has ended; one that the folder has is not run again."""
    shorter = options.peer_timesteps or options.timesteps
    rows: dict[str, dict[str, Any]] = {}
    for tool in ("finrl", *(p for p in options.peers if p != "finrl"), *OURS):
        # of the same job on the same processor, or it is no part of this comparison
        kept = Kept(folder / f"{tool}.row.json", [options.trials, options.timesteps, shorter])
        row = kept.read()
        if row is None:
            if tool in OURS:
                row = run_ours(tool, folder, options.timesteps, rows["finrl"]["samples"])
            else:
                environment = ONE_THREAD.get(tool, {})
                peer = run_peer(tool.split("_")[0], folder, shorter, options.trials, **environment)
                row = scaled(peer, shorter, options.timesteps)
            row["versions"] = known
            kept.write(row)
        rows[tool] = row
        if tool == "finrl":
            (folder / "samples.json").write_text(json.dumps(row["samples"]), encoding="utf-8")
        ratios = {
            f"vs_{peer}": round(rows[peer]["seconds"] / row["seconds"], 1)
            for peer in rows
            if tool in OURS and peer not in OURS
        }
        told = {name: row[name] for name in row if name != "samples"}
        yield {"tool": tool, **told, **ratios}


class Kept:
    """A tool's row in a file, which stands for the same job on the same processor alone.

    Parameters
    ----------
    path : the file
    job : what makes it the same job
    """

    def __init__(self, path: Path, job: list[Any]) -> None:
        self._path = path
        self._job = [*job, cpu_model()]

    def read(self) -> dict[str, Any] | None:
        if not self._path.exists():
            return None
        kept = json.loads(self._path.read_text(encoding="utf-8"))
        return dict(kept["row"]) if kept["job"] == self._job else None

    def write(self, row: dict[str, Any]) -> None:
        self._path.write_text(json.dumps({"job": self._job, "row": row}), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--timesteps", type=int, default=50_000)
    parser.add_argument("--peer-timesteps", type=int, default=None)
    peers = ["finrl", "ray", "zoo", *ONE_THREAD]
    parser.add_argument("--peers", nargs="*", default=["finrl"], choices=peers)
    parser.add_argument("--data", type=Path, default=REAL)
    parser.add_argument("--folder", type=Path, help="where tools that have ended are remembered")
    options = parser.parse_args()
    finrl_folder()
    known = versions("optuna", "rl_zoo3", finrl="0.3.7") | {
        "trials": options.trials,
        "timesteps": options.timesteps,
        "peer_timesteps": options.peer_timesteps or options.timesteps,
        "market": "real" if options.data.exists() else "synthetic",
    }
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="fr"))
        )
        folder.mkdir(parents=True, exist_ok=True)
        frame, indicators = market_frame(options.data)
        frame.to_parquet(folder / "market.parquet")
        (folder / "indicators.json").write_text(json.dumps(indicators), encoding="utf-8")
        for place, row in enumerate(measured(folder, options, known)):
            # after each tool, since the peers take long; the first one begins the file anew
            write_results("whole_search", [row], known, same=["tool"] if place else [])


if __name__ == "__main__":
    main()
