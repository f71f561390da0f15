"""rl-zoo3's search in two processes on FinRL's env; writes zoo.json.

python zoo_search.py TRIALS TIMESTEPS

The zoo and what it needs are put into a folder of their own beside the packages of this Python. It
draws its own samples, prunes by its own evaluations (mean reward, the median rule) and, as its
documentation advises, shares one Optuna study between processes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGES = HERE.parent / ".peers" / "zoo"
VERSION = "2.9.2"
SETTINGS = """\
FinRLStock-v0:
  n_timesteps: !!float {timesteps}
  policy: 'MlpPolicy'
"""


def install() -> None:
    """Install rl-zoo3 without touching the packages that are here."""
    if (PACKAGES / "rl_zoo3").is_dir():
        return
    PACKAGES.mkdir(parents=True, exist_ok=True)
    report = PACKAGES / "report.json"
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    wanted = f"rl_zoo3=={VERSION}"
    dry = [*pip, "--dry-run", "--report", str(report), wanted, "torch==2.13.0"]
    subprocess.run(dry, check=True, stdout=subprocess.DEVNULL)
    missing = [
        f"{item['metadata']['name']}=={item['metadata']['version']}"
        for item in json.loads(report.read_text(encoding="utf-8"))["install"]
    ]
    target = [*pip, "--target", str(PACKAGES), "--no-deps", *missing]
    subprocess.run(target, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    n_trials, timesteps = int(sys.argv[1]), int(sys.argv[2])
    install()
    folder = Path.cwd()
    (folder / "zoo.yml").write_text(SETTINGS.format(timesteps=timesteps), encoding="utf-8")
    storage = "sqlite:///zoo.db"
    command = [sys.executable, "-m", "rl_zoo3.train", "--algo", "ppo", "--env", "FinRLStock-v0"]
    command += ["--gym-packages", "zoo_env", "--conf-file", "zoo.yml", "-optimize"]
    command += ["--n-trials", str(n_trials // 2), "--max-total-trials", str(n_trials)]
    command += ["-n", str(timesteps), "--study-name", "zoo", "--storage", storage]
    command += ["--eval-env-kwargs", "window:'validation'", "--device", "cpu", "--verbose", "0"]
    import optuna

    Path("zoo.db").unlink(missing_ok=True)  # of a run that was cut
    # made here, because two processes that make it at once disturb each other
    optuna.create_study(study_name="zoo", storage=storage, direction="maximize")
    paths = [str(HERE), str(HERE.parent), str(PACKAGES)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    runs = [
        subprocess.Popen([*command, "--seed", str(seed)], env=environment, cwd=folder)
        for seed in (1, 2)
    ]
    codes = [run.wait() for run in runs]
    if any(codes):
        raise SystemExit(f"rl-zoo3 ended with {codes}")
    study = optuna.load_study(study_name="zoo", storage=storage)
    states = [trial.state.name for trial in study.trials]
    trained = [
        {
            "seconds": (trial.datetime_complete - trial.datetime_start).total_seconds(),
            "n_steps": 2 ** trial.params["n_steps_pow"],
        }
        for trial in study.trials
        if trial.state.is_finished() and trial.datetime_complete is not None
    ]
    found = {
        "trained": trained,
        "workers": 2,
        "n_trials": len(states),
        "n_pruned": states.count("PRUNED"),
        "n_failed": states.count("FAIL"),
        "best_mean_reward": study.best_value,
    }
    Path("zoo.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
