"""Faults strike inside of rollouts, updates and evaluations, whatever code these run in."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from repository import REPOSITORY, TESTS

pytestmark = pytest.mark.slow

EVENTS = {"rollout": 21, "update": 3, "evaluation": 10}
"""The events that are waited for: none of them ends a run of compiled code by itself."""
TRIALS = [
    (0.90, "ppo", "fused"),
    (0.91, "a2c", "fused"),
    (0.92, "sac", "fused"),
    (0.93, "td3", "fused"),
    (0.94, "ppo", "exact"),
    (0.95, "sac", "exact"),
    (0.96, "ppo", "sb3"),
]
TRAINING = """
import sys
from pathlib import Path
from trial_reports import Reports
from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.evaluation import EvaluationConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.training import agent

data = MarketData.from_finrl(read_bundled(), features=["volume"])
for trial in sys.argv[2:]:
    gamma, algorithm, learner = trial.split("-")
    on_policy = {"ppo": {"n_steps": 32, "batch_size": 16, "n_epochs": 2}, "a2c": {"n_steps": 8}}
    off_policy = {"batch_size": 16, "learning_starts": 16, "buffer_size": 200}
    config = ExperimentConfig(
        env=EnvConfig(random_start=True),
        agent=AgentConfig(
            algorithm=algorithm,
            learner=learner,
            total_timesteps=64,
            n_envs=2,
            normalize=True,
            model_kwargs=on_policy.get(algorithm, off_policy),
        ),
        evaluation=EvaluationConfig(eval_freq=64),
    )
    sample = {"gamma": float(gamma), "net_arch": "tiny"}
    report = Reports(Path(sys.argv[1]) / gamma)
    agent.train_agent(sample, config, data.rows(100, 400), data.rows(400, 440), report)
"""


def fault(phase: str, trial: tuple[float, str, str], target: str) -> dict[str, Any]:
    return {
        "name": f"{phase}-{trial[0]}",
        "match": {"gamma": trial[0]},
        "phase": phase,
        "after_reports": 0,
        "event": EVENTS[phase],
        "target": target,
        "signals": ["SIGKILL"],
    }


def train(
    folder: Path, trials: list[tuple[float, str, str]], faults: list[dict[str, Any]]
) -> "subprocess.CompletedProcess[str]":
    """Train in a process of its own, whose faults leave their files in a folder."""
    plan = folder / "plan.json"
    plan.write_text(json.dumps({"driver": "", "faults": faults}), encoding="utf-8")
    paths = [TESTS / "faults" / "inject", TESTS / "helpers", REPOSITORY]
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "FINRL_RAY_FAULTS": str(plan),
        "OMP_NUM_THREADS": "1",
    }
    names = ["-".join(map(str, trial)) for trial in trials]
    command = [sys.executable, "-c", TRAINING, str(folder), *names]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def struck_at(folder: Path, phase: str, trial: tuple[float, str, str]) -> int | None:
    """Return at which event a fault has struck; None if it has not."""
    file = folder / f"fired-{phase}-{trial[0]}"
    return int(file.read_text(encoding="utf-8").split()[2]) if file.exists() else None


def test_faults_strike_at_their_event_under_every_learner(tmp_path: Path) -> None:
    faults = [fault(phase, trial, "note") for trial in TRIALS for phase in EVENTS]
    done = train(tmp_path, TRIALS, faults)
    assert done.returncode == 0, done.stderr[-2000:]
    found = {
        trial: {phase: struck_at(tmp_path, phase, trial) for phase in EVENTS} for trial in TRIALS
    }
    # compiled updates of a whole epoch, or of all gradient steps, cannot be cut
    for trial in TRIALS:
        updates = found[trial].pop("update")
        assert updates is not None, trial
        assert updates >= EVENTS["update"], trial
        assert found[trial] == {"rollout": 21, "evaluation": 10}, trial


def test_a_process_is_gone_in_the_midst_of_a_compiled_rollout(tmp_path: Path) -> None:
    trial = TRIALS[0]
    done = train(tmp_path, [trial], [fault("rollout", trial, "worker")])
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    assert struck_at(tmp_path, "rollout", trial) == 21
    assert not (tmp_path / "0.9").exists()  # nothing was reported
