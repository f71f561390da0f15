"""Searches in a process of their own, ended by signals and resumed: the same table in the end.

What is killed is a process with a Ray of its own. What is not, the undisturbed searches and the
resumes, runs in this process, on the Ray of this file: a command loads torch and starts a Ray anew.
Searchers and schedulers go on from the folder that a kill would leave; kills of them are `long`.
"""

import os
import signal
import time
from typing import Any

import pandas as pd
import pytest
from interrupted_search import (
    resume,
    resuming,
    searched_with_a_copy,
    start,
    table,
    undisturbed_table,
    wait_for_results,
)
from small_search import write_small_config
from typer.testing import CliRunner

from finrl_ray.cli.main import app
from finrl_ray.search.journal.events import read_journal
from finrl_ray.search.run.runner import resume_search

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    home = tmp_path_factory.mktemp("undisturbed")
    return undisturbed_table(write_small_config(home / "config.yaml", home / "runs"))


@pytest.mark.parametrize(
    ("number", "exit_code", "after"),
    [
        pytest.param(signal.SIGINT, 130, 5, marks=pytest.mark.long),
        pytest.param(signal.SIGTERM, 130, 9, marks=pytest.mark.long),
        (signal.SIGKILL, -9, 7),
    ],
)
def test_a_search_ended_by_a_signal_resumes_to_the_same_table(
    number, exit_code, after, undisturbed, tmp_path
) -> None:
    # two trials at a time are killed
    at_a_time = {"max_concurrent_trials": 2 if number == signal.SIGKILL else 1}
    config = write_small_config(tmp_path / "config.yaml", tmp_path / "runs", search=at_a_time)
    process = start(config)
    folder = wait_for_results(tmp_path / "runs", after, process)
    os.kill(process.pid, number)
    out = process.communicate(timeout=1200)[0]
    assert process.returncode == exit_code, out
    if exit_code == 130:
        assert f"go on with: finrl-ray resume {folder}" in out.replace("\n", " ")
        assert "interrupted" in set(table(folder)["state"])
        assert "Traceback" not in out
        # as the message says
        resumed = CliRunner().invoke(app, ["resume", str(folder), "--no-report"])
        assert resumed.exit_code == 0, resumed.output
    else:
        assert resume_search(folder).finished
    pd.testing.assert_frame_equal(table(folder), undisturbed)


@pytest.mark.long
def test_sigterm_to_the_whole_group_interrupts_a_search_and_loses_nothing(
    undisturbed, tmp_path
) -> None:
    # as a batch system ends a job: Ray's own processes get it too, some before the driver
    process = start(write_small_config(tmp_path / "config.yaml", tmp_path / "runs"))
    folder = wait_for_results(tmp_path / "runs", 8, process)
    os.killpg(process.pid, signal.SIGTERM)
    out = process.communicate(timeout=1200)[0]
    assert process.returncode == 130, out
    assert "stopping; what was reported is kept" in out
    assert "interrupted" in out
    assert "Ray was lost" not in out
    assert "Traceback" not in out
    states = {record.state for record in read_journal(folder).trials.values()}
    assert "failed" not in states
    resumed = resume(folder)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    pd.testing.assert_frame_equal(table(folder), undisturbed)


@pytest.mark.long
def test_a_search_killed_and_interrupted_again_while_it_goes_back_loses_no_trial(
    undisturbed, tmp_path
) -> None:
    process = start(write_small_config(tmp_path / "config.yaml", tmp_path / "runs"))
    folder = wait_for_results(tmp_path / "runs", 6, process)
    process.kill()
    process.communicate(timeout=1200)
    # the second life ends before its first report
    second = resuming(folder)
    while '"resumed"' not in (folder / "journal.jsonl").read_text():
        assert second.poll() is None, second.communicate()[0]
        time.sleep(0.02)
    second.send_signal(signal.SIGINT)
    out = second.communicate(timeout=1200)[0]
    assert second.returncode == 130, out
    # and goes on elsewhere: nothing in the folder names the place where it began
    elsewhere = folder.rename(tmp_path / "elsewhere")
    resumed = resume(elsewhere)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    pd.testing.assert_frame_equal(table(elsewhere), undisturbed)


SHORT = {"algorithm": "a2c", "total_timesteps": 512, "n_envs": 4}
SPACE = {
    "learning_rate": {"loguniform": [1e-4, 1e-2]},
    "n_steps": 8,
    "net_arch": "tiny",
    "ent_coef": {"uniform": [0.0, 0.1]},
}
PLANS: dict[str, dict[str, object]] = {
    "optuna": {
        "searcher": "optuna",
        "num_samples": 14,  # the first ten are random
        "max_concurrent_trials": 1,
        "scheduler": {"type": "asha", "grace_period": 128},
    },
    "pbt": {"num_samples": 4, "scheduler": {"type": "pbt", "perturbation_interval": 128}},
}


@pytest.mark.parametrize("killed", [pytest.param(True, marks=pytest.mark.long), False])
@pytest.mark.parametrize(
    ("plan", "after"), [pytest.param("optuna", 18, marks=pytest.mark.long), ("pbt", 9)]
)
def test_a_searcher_that_learns_and_a_population_go_on_with_all_they_knew(
    plan, after, killed, tmp_path, ray_session
) -> None:
    sections: dict[str, dict[str, Any]] = {
        "agent": SHORT,
        "evaluation": {"eval_freq": 128},
        "search": {**PLANS[plan], "space": SPACE, "default_space": False},
    }
    whole = write_small_config(tmp_path / "w.yaml", tmp_path / "whole", **sections)
    undisturbed = searched_with_a_copy(whole, after, tmp_path / "copy")
    folder = tmp_path / "copy"
    if killed:
        process = start(write_small_config(tmp_path / "c.yaml", tmp_path / "killed", **sections))
        folder = wait_for_results(tmp_path / "killed", after, process)
        process.kill()
        process.communicate(timeout=1200)
    told = (folder / "journal.jsonl").read_text().count('"event": "result"')
    assert resume_search(folder).finished
    # what was known before the kill was not computed again
    results = (folder / "journal.jsonl").read_text().count('"event": "result"')
    assert results == len(pd.read_csv(folder / "learning_curves.csv")) >= told
    pd.testing.assert_frame_equal(table(folder), undisturbed)
    if plan == "optuna":
        assert undisturbed["state"].eq("stopped").any()
    else:
        assert undisturbed["lineage"].notna().any()
