"""What the files of a run say, whole or half-written."""

import os

import numpy as np
import pytest
from run_folders import write_episodes, write_evaluations, write_journal
from stable_baselines3.common.logger import configure

from finrl_ray.monitoring.run_files import RunProgress, newest_run, read_progress


def test_a_training_run(tmp_path) -> None:
    write_episodes(tmp_path)
    write_evaluations(tmp_path)
    progress = read_progress(tmp_path)
    assert progress.episodes["timesteps"].tolist() == [100, 200, 300, 400]
    assert progress.episodes["portfolio_value"].tolist() == [1001, 1002, 1003, 1004]
    assert progress.evaluations["mean_reward"].tolist() == [0.5, 1.5, 2.5]
    # the last day of the shorter episode, not the NaN behind it
    assert progress.evaluations["account_value"].tolist() == [1008, 1018, 1028]
    assert progress.timesteps == 600
    assert not progress.is_search
    assert not progress.finished
    (tmp_path / "metrics.json").write_text("{}")
    assert read_progress(tmp_path).finished


def test_a_search(tmp_path) -> None:
    write_journal(tmp_path)
    progress = read_progress(tmp_path)
    assert progress.is_search
    assert progress.trial_states == {"completed": 1, "running": 1}
    assert progress.best_objective == 0.9
    assert progress.curves["0"].tolist() == [[100, 0.1], [200, 0.4]]
    assert progress.timesteps == 300
    assert not progress.finished
    write_journal(tmp_path, ended=True)
    assert read_progress(tmp_path).finished


def test_event_files_if_there_is_nothing_else(tmp_path) -> None:
    for name, value in (("PPO_1", 1.0), ("PPO_2", 2.0)):
        output = configure(str(tmp_path / name), ["tensorboard"])
        for step in (10, 20):
            output.record("rollout/ep_rew_mean", value * step)
            output.dump(step)
        output.close()
    old = next((tmp_path / "PPO_1").iterdir())
    os.utime(old, (0, 0))
    scalars = read_progress(tmp_path).scalars
    assert scalars["rollout/ep_rew_mean"].tolist() == [[10, 20], [20, 40]]
    write_episodes(tmp_path)
    assert not read_progress(tmp_path).scalars


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.7, 0.99])
def test_half_written_files_are_read_as_far_as_they_go(share, tmp_path) -> None:
    for path in (write_episodes(tmp_path), write_evaluations(tmp_path), write_journal(tmp_path)):
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
    progress = read_progress(tmp_path)
    assert not progress.evaluations
    steps = progress.episodes.get("timesteps", np.empty(0)).tolist()
    assert steps == [100.0, 200.0, 300.0, 400.0][: len(steps)]
    assert len(steps) < 4 or share == 0.99
    assert sum(progress.trial_states.values()) <= 2


def test_missing_files_are_waited_for(tmp_path) -> None:
    for folder in (tmp_path, tmp_path / "not there yet"):
        progress = read_progress(folder)
        assert progress.is_empty
        assert progress.timesteps == 0
    (tmp_path / "eval_logs").mkdir()
    assert read_progress(tmp_path).is_empty


def test_numbers_that_sb3_writes(tmp_path) -> None:
    folder = tmp_path / "eval_logs"
    folder.mkdir()
    np.savez(
        folder / "evaluations.npz",
        timesteps=[10, 20],
        results=[[1.0], [2.0]],
        ep_lengths=[[5], [5]],
    )
    assert read_progress(tmp_path).evaluations["mean_reward"].tolist() == [1.0, 2.0]


def test_the_latest_run_of_a_folder_of_runs(tmp_path) -> None:
    for k, name in enumerate(("old", "new")):
        write_episodes(tmp_path / name)
        os.utime(tmp_path / name, (1000 + k, 1000 + k))
    (tmp_path / "notes").mkdir()
    assert newest_run(tmp_path) == tmp_path / "new"
    assert newest_run(tmp_path / "old") == tmp_path / "old"
    assert newest_run(tmp_path / "missing") == tmp_path / "missing"


def test_nothing_is_empty() -> None:
    assert RunProgress().is_empty
