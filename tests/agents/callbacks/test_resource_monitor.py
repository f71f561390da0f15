"""Memory in the log, and a clean end before the system's."""

import logging
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from small_models import small_env, small_model
from stable_baselines3 import SAC
from stable_baselines3.common.logger import Logger, configure
from stable_baselines3.common.vec_env import VecNormalize

from finrl_ray.agents.callbacks.callback_state import (
    capture_callback_state,
    restore_callback_state,
)
from finrl_ray.agents.callbacks.resource_monitor import ResourceMonitorCallback
from finrl_ray.errors import ConfigError
from finrl_ray.machine.resources import GIB, ResourceMonitor

pytestmark = pytest.mark.slow  # they train, or start a server


class ScriptedMonitor(ResourceMonitor):
    """Uses the given GiB, one after the other, then the last."""

    def __init__(self, *rss_gb: float) -> None:
        super().__init__(memory_limit_gb=1, min_available_fraction=0.0)
        self.memory_limit_bytes = GIB
        self.rss_gb = list(rss_gb)
        self.checks = 0

    def _tree_rss(self) -> int:
        script = getattr(self, "rss_gb", [0.0])
        return int(script[min(getattr(self, "checks", 0), len(script) - 1)] * GIB)

    def check_resources(self):
        usage = super().check_resources()
        self.checks += 1
        return usage


class KeptLogger(Logger):
    def __init__(self) -> None:
        super().__init__(folder=None, output_formats=[])
        self.seen: list[dict] = []

    def record(self, key, value, exclude=None) -> None:
        super().record(key, value, exclude)
        if key.startswith("sys/"):
            self.seen.append({key: value})


def stopper(tmp_path, *rss_gb, **options) -> ResourceMonitorCallback:
    options = {"check_freq": 20, "checkpoint_dir": tmp_path / "rescue", **options}
    return ResourceMonitorCallback(ScriptedMonitor(*rss_gb), **options)


@pytest.mark.parametrize(("n_envs", "expected"), [(1, 5), (4, 5), (30, 3)])
def test_frequency_is_in_timesteps_whatever_n_envs(n_envs, expected, tmp_path) -> None:
    callback = stopper(tmp_path, 0.1)
    model = small_model("a2c", n_envs, n_steps=1)
    model.learn(100 if n_envs < 30 else 90, callback)
    assert callback.monitor.checks == expected
    assert not (tmp_path / "rescue").exists()


def test_numbers_are_logged(tmp_path) -> None:
    model, kept = small_model("a2c"), KeptLogger()
    model.set_logger(kept)
    callback = stopper(tmp_path, 0.25)
    model.learn(20, callback)
    seen = {key: value for entry in kept.seen for key, value in entry.items()}
    assert seen["sys/rss_gb"] == seen["sys/memory_fraction"] == 0.25
    assert 0 <= seen["sys/cpu_percent"] <= 100
    assert callback.latest is not None
    assert callback.latest.level == "ok"


def test_numbers_are_written_when_they_are_taken(tmp_path) -> None:
    # no episode ends here, at which SAC would write its log, and training is ended at timestep 40
    model = small_model("sac", learning_starts=1000)
    model.set_logger(configure(str(tmp_path), ["csv"]))
    model.learn(100, stopper(tmp_path, 0.25, 2.0))
    table = pd.read_csv(tmp_path / "progress.csv")
    assert table["sys/rss_gb"].tolist() == [0.25, 2.0]


def test_a_warning_does_not_end_training(tmp_path, caplog) -> None:
    callback = stopper(tmp_path, 0.9)
    model = small_model("a2c")
    model.learn(100, callback)
    assert model.num_timesteps == 100
    assert caplog.text.count("resources warn") == 1
    assert not callback.stop_reason


@pytest.mark.parametrize("n_envs", [1, 4])
@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_at_the_limit_everything_is_saved_and_training_ends(
    algorithm, n_envs, tmp_path, caplog
) -> None:
    callback = stopper(tmp_path, 0.5, 0.9, 1.1)
    model = small_model(algorithm, n_envs)
    model.learn(400, callback)
    assert model.num_timesteps == 60
    assert "out of memory at 60 timesteps" in callback.stop_reason
    assert "1.10 of 1.00 GB" in callback.stop_reason
    assert callback.stop_reason in caplog.text
    folder = tmp_path / "rescue"
    expected = {"model.zip", "vecnormalize.pkl"}
    expected |= {"replay_buffer.pkl"} if algorithm == "sac" else set()
    assert {path.name for path in folder.iterdir()} == expected
    loaded = type(model).load(folder / "model.zip")
    assert loaded.num_timesteps == 60
    normalizer = VecNormalize.load(str(folder / "vecnormalize.pkl"), small_env())
    assert normalizer.obs_rms.count == model.get_vec_normalize_env().obs_rms.count
    if isinstance(loaded, SAC):
        loaded.load_replay_buffer(folder / "replay_buffer.pkl")
        assert loaded.replay_buffer.size() == model.replay_buffer.size()
        np.testing.assert_array_equal(loaded.replay_buffer.rewards, model.replay_buffer.rewards)


def test_without_room_the_model_alone_is_saved(tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    model = small_model("sac", normalize=False)
    model.learn(100, stopper(tmp_path, 1.5))
    assert {path.name for path in (tmp_path / "rescue").iterdir()} == {"model.zip"}
    assert "no room for the replay buffer" in caplog.text


def test_a_disk_that_fills_up_ends_training_all_the_same(tmp_path, monkeypatch, caplog) -> None:
    model = small_model("sac", normalize=False)

    def full(path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model, "save_replay_buffer", full)
    callback = stopper(tmp_path, 1.5)
    model.learn(100, callback)
    assert model.num_timesteps == 20
    # nothing half-written stays
    assert {path.name for path in (tmp_path / "rescue").iterdir()} == {"model.zip"}
    assert "No space left" in caplog.text


def test_the_default_folder_is_the_loggers(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = small_model("a2c")
    model.set_logger(configure(str(tmp_path / "run"), []))
    model.learn(40, ResourceMonitorCallback(ScriptedMonitor(2.0), 20))
    assert (tmp_path / "run" / "resource_checkpoint" / "model.zip").exists()
    small_model("a2c").learn(40, ResourceMonitorCallback(ScriptedMonitor(2.0), 20))
    assert (tmp_path / "resource_checkpoint" / "model.zip").exists()


def test_every_check_is_told_at_verbose_1(tmp_path, caplog) -> None:
    with caplog.at_level(logging.INFO):
        small_model("a2c").learn(60, stopper(tmp_path, 0.1, verbose=1))
    for n in (20, 40, 60):
        assert f"at {n} timesteps: memory 0.10 of 1.00 GB" in caplog.text


def test_a_resumed_callback_keeps_its_rhythm(tmp_path) -> None:
    callback = stopper(tmp_path, 0.1)
    model = small_model("a2c")
    model.learn(30, callback)
    again = stopper(tmp_path, 0.1)
    restore_callback_state(again, capture_callback_state(callback))
    model.learn(30, again, reset_num_timesteps=False)
    assert again.monitor.checks == 2


def test_bad_arguments() -> None:
    with pytest.raises(ConfigError, match="check_freq"):
        ResourceMonitorCallback(ResourceMonitor(), 0)
