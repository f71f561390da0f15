"""Memory of a search with eight SAC trials at once, each with a full replay buffer of 100,000.

    python benchmarks/memory.py [--trials 8] [--algorithm sac]

29 stocks with 8 indicators. Every trial fills its buffer with random actions first, which is what
its warm-up is that long for, and then learns for some steps. The proportional set size (a page that
several processes share counts in shares) of the command and of all processes below it, Ray's own
among them, is read each second (Linux only). `per_trial` is what one more trial at once adds: the
whole less that of a search with one trial, by the number of trials between.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import yaml
from markets import finrl_frame, synthetic_market
from measuring import versions, write_results

WARM_UP = 100_000
LEARNING = 200


def config(folder: Path, algorithm: str, trials: int) -> Path:
    """Write a config that runs `trials` trials at once, whatever the number of cores."""
    content = {
        "name": f"memory_{trials}",
        "data": {"source": "market.parquet", "features": [f"feature_{k}" for k in range(8)]},
        "agent": {
            "algorithm": algorithm,
            "total_timesteps": WARM_UP + LEARNING,
            "model_kwargs": {"learning_starts": WARM_UP, "buffer_size": WARM_UP},
        },
        "evaluation": {"eval_freq": WARM_UP + LEARNING},
        "search": {
            "num_samples": trials,
            "cpus_per_trial": 0.125,
            "max_concurrent_trials": trials,
            "default_space": False,
            "space": {"learning_rate": {"loguniform": [1e-5, 1e-3]}},
        },
    }
    path = folder / f"memory_{trials}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def proportional_size(process: psutil.Process) -> tuple[int, int]:
    """Return the bytes of a process and all below it, and how many of them run a trial."""
    total, n_trials = 0, 0
    for one in [process, *process.children(recursive=True)]:
        try:
            # the sums of the kernel: adding up every mapping takes a tenth of a second per process
            lines = Path(f"/proc/{one.pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
            n_trials += "ImplicitFunc" in " ".join(one.cmdline())
        except (psutil.Error, OSError, StopIteration):
            continue
    return total, n_trials


def peak(folder: Path, algorithm: str, trials: int) -> tuple[int, int]:
    """Return the largest memory of a search in bytes, and the most trials that ran at once."""
    command = [str(Path(sys.executable).with_name("finrl-ray")), "tune"]
    command.append(str(config(folder, algorithm, trials)))
    with (folder / "output.txt").open("w+", encoding="utf-8") as output:
        process = psutil.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        most, most_trials = 0, 0
        while process.poll() is None:
            size, n_trials = proportional_size(process)
            most, most_trials = max(most, size), max(most_trials, n_trials)
            time.sleep(1.0)
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"the search ended with {process.returncode}: {output.read()[-2000:]}")
    return most, most_trials


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--algorithm", choices=["sac", "td3", "ddpg"], default="sac")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fr") as name:
        folder = Path(name)
        finrl_frame(synthetic_market(335)).to_parquet(folder / "market.parquet")
        one, _ = peak(folder, options.algorithm, 1)
        whole, at_once = peak(folder, options.algorithm, options.trials)
    row = {
        "algorithm": options.algorithm,
        "trials_at_once": at_once,
        "buffer_size": WARM_UP,
        "peak_gib": round(whole / 2**30, 3),
        "one_trial_gib": round(one / 2**30, 3),
        "per_trial_mib": round((whole - one) / max(1, options.trials - 1) / 2**20, 1),
    }
    write_results("memory", [row], versions())


if __name__ == "__main__":
    main()
