"""Checkpoints: names, retention, full disks, damaged files, and loading."""

import errno
import json
import logging
import os
import re
import resource
import shutil
import subprocess
import sys
import time
import zipfile
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from market_env import MarketEnv
from small_models import env_of, small_env, small_model
from stable_baselines3 import SAC
from stable_baselines3.common import callbacks as sb3_callbacks
from stable_baselines3.common.callbacks import CallbackList
from stable_baselines3.common.vec_env import VecNormalize

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.callbacks.checkpoint import (
    CheckpointCallback,
    TimestampedCheckpointCallback,
    load_checkpoint,
    newest_checkpoint,
)
from finrl_ray.agents.callbacks.evaluation import TradingEvalCallback
from finrl_ray.errors import ConfigError

pytestmark = pytest.mark.slow  # they train, or start a server

NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def steps(folder: Path) -> list[int]:
    """Timesteps of the models in a folder."""
    found = (re.search(r"_(\d+)_(?:steps|\d+s.*)\.zip$", name) for name in files(folder))
    return sorted(int(match[1]) for match in found if match)


def saved(folder: Path, algorithm: str = "sac", total: int = 80, n_envs: int = 1, **options):
    options = {"save_freq": 40, "save_replay_buffer": True, "save_vecnormalize": True, **options}
    callback = CheckpointCallback(save_path=str(folder), **options)
    return small_model(algorithm, n_envs).learn(total, callback), callback


class TestNames:
    def test_files_are_named_as_sb3s(self, tmp_path) -> None:
        ours, theirs = tmp_path / "ours", tmp_path / "theirs"
        saved(ours, total=40, name_prefix="trading_model")
        callback = sb3_callbacks.CheckpointCallback(40, str(theirs), "trading_model", True, True)
        small_model("sac").learn(40, callback)
        assert files(ours) == sorted([*files(theirs), "trading_model_40_steps.json"])

    @pytest.mark.parametrize(("n_envs", "expected"), [(1, [40, 80]), (4, [40, 80]), (3, [42, 81])])
    def test_frequency_is_in_timesteps_whatever_n_envs(self, tmp_path, n_envs, expected) -> None:
        saved(tmp_path, "a2c", 85, n_envs)
        assert steps(tmp_path) == expected

    def test_it_is_sb3s_with_its_attributes(self, tmp_path) -> None:
        callback = CheckpointCallback(40, str(tmp_path), "x", True, verbose=2)
        assert isinstance(callback, sb3_callbacks.CheckpointCallback)
        assert (callback.save_freq, callback.save_path, callback.name_prefix) == (
            40,
            str(tmp_path),
            "x",
        )
        assert callback.save_replay_buffer
        assert not callback.save_vecnormalize

    def test_a_folder_stays_where_it_was_when_the_process_moves(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        callback = CheckpointCallback(40, "checkpoints")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        small_model("a2c").learn(40, callback)
        assert steps(tmp_path / "checkpoints") == [40]

    def test_the_subclass_of_the_users_guide_runs(self, tmp_path, caplog) -> None:
        class GuideCheckpoint(CheckpointCallback):
            """The shape of the subclass that users write."""

            def _on_step(self) -> bool:
                if self.n_calls % self.save_freq == 0:
                    self.model.save(f"{self.save_path}/model_{self.num_timesteps}_3s")
                return True

        small_model("a2c").learn(80, GuideCheckpoint(40, save_path=str(tmp_path), verbose=2))
        assert files(tmp_path) == ["model_40_3s.zip", "model_80_3s.zip"]
        checkpoint = newest_checkpoint(tmp_path)
        assert (checkpoint.timesteps, checkpoint.elapsed_s) == (80, 3.0)

    def test_the_manifest_tells_what_there_is(self, tmp_path) -> None:
        saved(tmp_path, total=40)
        manifest = json.loads((tmp_path / "rl_model_40_steps.json").read_text())
        assert manifest["algorithm"] == "SAC"
        assert manifest["timesteps"] == 40
        assert manifest["metric"] is None
        assert {entry["name"]: entry["bytes"] for entry in manifest["files"].values()} == {
            name: (tmp_path / name).stat().st_size
            for name in files(tmp_path)
            if not name.endswith(".json")
        }


class TestTimestamped:
    def test_names_hold_the_seconds_of_training(self, tmp_path, monkeypatch) -> None:
        clock = [100.0]
        monkeypatch.setattr(time, "monotonic", lambda: clock[0])
        callback = TimestampedCheckpointCallback(
            40, str(tmp_path), save_replay_buffer=True, save_vecnormalize=True
        )
        clock[0] = 500.0  # the clock does not start at construction
        model = small_model("sac")

        class Tick(sb3_callbacks.BaseCallback):
            def _on_step(self) -> bool:
                clock[0] += 0.5
                return True

        model.learn(40, CallbackList([Tick(), callback]))
        assert files(tmp_path) == [
            "model_40_20s.json",
            "model_40_20s.zip",
            "model_replay_buffer_40_20s.pkl",
            "model_vecnormalize_40_20s.pkl",
        ]
        state = callback.get_state()
        clock[0] = 9000.0
        resumed = TimestampedCheckpointCallback(40, str(tmp_path))
        resumed.set_state(state)
        assert resumed.start_time is None
        model.learn(40, CallbackList([Tick(), resumed]), reset_num_timesteps=False)
        assert resumed.start_time is not None
        # the 20 seconds of the first run lie behind it
        elapsed = datetime.now() - resumed.start_time  # noqa: DTZ005 (as users write it)
        assert 20 <= elapsed.total_seconds() < 40
        assert "model_80_40s.zip" in files(tmp_path)
        assert newest_checkpoint(tmp_path).elapsed_s == 40.0
        # a new process that has the folder alone
        again = TimestampedCheckpointCallback(40, str(tmp_path))
        model.learn(40, CallbackList([Tick(), again]), reset_num_timesteps=False)
        assert "model_120_60s.zip" in files(tmp_path)

    def test_names_can_hold_a_metric(self, tmp_path) -> None:
        evaluation = TradingEvalCallback(small_env(), eval_freq=40)
        callback = TimestampedCheckpointCallback(20, tmp_path, metric="sharpe_ratio")
        small_model("a2c").learn(40, CallbackList([evaluation, callback]))
        sharpe = evaluation.sharpe_history[0]
        names = [name for name in files(tmp_path) if name.endswith("zip")]
        assert re.fullmatch(r"model_20_\d+s\.zip", names[0])
        assert re.fullmatch(rf"model_40_\d+s_sharpe_{sharpe:.3f}\.zip", names[1])
        assert newest_checkpoint(tmp_path).timesteps == 40

    @pytest.mark.parametrize(("verbose", "said"), [(1, 0), (2, 2)])
    def test_it_speaks_from_verbose_2_on(self, tmp_path, caplog, verbose, said) -> None:
        with caplog.at_level(logging.INFO):
            callback = TimestampedCheckpointCallback(40, tmp_path, verbose=verbose)
            small_model("a2c").learn(80, callback)
        messages = [r.getMessage() for r in caplog.records]
        assert sum(message.startswith("checkpoint saved: ") for message in messages) == said


class TestRetention:
    def test_the_newest_are_kept(self, tmp_path) -> None:
        saved(tmp_path, total=200, keep_last=2)
        assert steps(tmp_path) == [160, 200]
        assert len(files(tmp_path)) == 8

    def test_the_best_are_kept_besides(self, tmp_path) -> None:
        evaluation = TradingEvalCallback(small_env(), eval_freq=20, metric="total_return")
        callback = CheckpointCallback(20, tmp_path, keep_last=1, keep_best=2)
        # the checkpoint is written before its own evaluation, as in setup_callbacks
        small_model("a2c").learn(200, CallbackList([callback, evaluation]))
        returns = evaluation.log.history("total_return")
        best = sorted(evaluation.evaluation_timesteps, key=lambda t: -returns[t // 20 - 1])[:2]
        assert steps(tmp_path) == sorted({*best, 200})
        manifest = json.loads((tmp_path / f"rl_model_{best[0]}_steps.json").read_text())
        assert manifest["metric"] == {
            "name": "total_return",
            "value": max(returns),
            "timesteps": best[0],
        }

    def test_less_volatility_is_better(self, tmp_path) -> None:
        evaluation = TradingEvalCallback(small_env(), eval_freq=20)
        callback = CheckpointCallback(20, tmp_path, keep_best=1, metric="annual_volatility")
        small_model("a2c").learn(200, CallbackList([callback, evaluation]))
        volatility = evaluation.log.history("annual_volatility")
        assert 20 * (int(np.argmin(volatility)) + 1) in steps(tmp_path)
        assert len(steps(tmp_path)) <= 2

    def test_other_files_and_other_runs_are_left_alone(self, tmp_path) -> None:
        saved(tmp_path, "a2c", total=40, name_prefix="rl_model_other")
        saved(tmp_path, "a2c", total=400, save_freq=400)
        (tmp_path / "rl_model_notes.json").write_text("{}")
        saved(tmp_path, "a2c", total=120, keep_last=1)
        assert steps(tmp_path) == [40, 120, 400]
        assert "rl_model_notes.json" in files(tmp_path)

    def test_of_the_same_timesteps_the_one_just_written_is_kept(self, tmp_path, monkeypatch):
        for seconds in (20, 22, 19, 25):
            monkeypatch.setattr(TimestampedCheckpointCallback, "elapsed_s", float(seconds))
            small_model("a2c").learn(40, TimestampedCheckpointCallback(40, tmp_path, keep_last=1))
            assert files(tmp_path) == [f"model_40_{seconds}s.json", f"model_40_{seconds}s.zip"]

    def test_a_new_process_counts_the_earlier_ones(self, tmp_path) -> None:
        model, _ = saved(tmp_path, "a2c", total=80)
        callback = CheckpointCallback(40, tmp_path, keep_last=2)
        model.learn(40, callback, reset_num_timesteps=False)
        assert steps(tmp_path) == [80, 120]


class TestFullDisk:
    def test_training_goes_on_and_nothing_half_is_left(self, tmp_path, monkeypatch, caplog) -> None:
        model, tries = small_model("sac"), []

        def full(path) -> None:
            tries.append(model.num_timesteps)
            path.write_bytes(b"half")
            if model.num_timesteps == 80:
                raise NO_SPACE
            type(model).save_replay_buffer(model, path)

        monkeypatch.setattr(model, "save_replay_buffer", full)
        callback = CheckpointCallback(
            40, tmp_path, save_replay_buffer=True, save_vecnormalize=True, keep_last=1
        )
        seen = []

        class Look(sb3_callbacks.BaseCallback):
            def _on_step(self) -> bool:
                if self.num_timesteps == 81:
                    seen.append((files(tmp_path), callback.last_error))
                return True

        model.learn(120, CallbackList([callback, Look()]))
        assert tries == [40, 80, 120]
        whole = ["rl_model_40_steps.json", "rl_model_40_steps.zip"]
        pickles = ["rl_model_replay_buffer_40_steps.pkl", "rl_model_vecnormalize_40_steps.pkl"]
        assert seen == [([*whole, *pickles], NO_SPACE)]
        assert callback.failed_timesteps == [80]
        assert callback.last_error is None
        assert "the checkpoint at 80 timesteps could not be written" in caplog.text
        assert "No space left on device" in caplog.text
        assert steps(tmp_path) == [120]

    @pytest.mark.parametrize("limit", [100, 5_000, 42_000, 60_000])
    def test_a_limit_of_the_system_in_the_middle_of_a_file(self, tmp_path, limit) -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)

        class Limit(sb3_callbacks.BaseCallback):
            def _on_step(self) -> bool:
                size = limit if self.num_timesteps == 80 else before[0]
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
                return True

        callback = CheckpointCallback(40, tmp_path, save_replay_buffer=True, save_vecnormalize=True)
        try:
            small_model("sac").learn(85, CallbackList([Limit(), callback]))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert callback.failed_timesteps == [80]
        assert steps(tmp_path) == [40]
        assert len(files(tmp_path)) == 4
        assert newest_checkpoint(tmp_path).timesteps == 40

    def test_the_earlier_checkpoint_of_the_same_name_stays_whole(self, tmp_path, monkeypatch):
        saved(tmp_path, total=40)
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        model = small_model("sac")
        monkeypatch.setattr(
            VecNormalize, "save", lambda self, path: (_ for _ in ()).throw(NO_SPACE)
        )
        model.learn(
            40, CheckpointCallback(40, tmp_path, save_replay_buffer=True, save_vecnormalize=True)
        )
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture(scope="module")
def two_checkpoints(tmp_path_factory) -> Path:
    """A folder with checkpoints at 40 and 80 timesteps; copy it before changing it."""
    folder = tmp_path_factory.mktemp("two_checkpoints")
    saved(folder)
    return folder


class TestDamage:
    @pytest.mark.parametrize(
        ("harm", "name", "message"),
        [
            (truncate, "rl_model_80_steps.zip", r"rl_model_80_steps.zip has \d+ bytes instead of"),
            (flip, "rl_model_80_steps.zip", "rl_model_80_steps.zip does not match its checksum"),
            (Path.unlink, "rl_model_80_steps.zip", "rl_model_80_steps.zip is missing"),
            (
                Path.unlink,
                "rl_model_replay_buffer_80_steps.pkl",
                "rl_model_replay_buffer_80_steps.pkl is missing",
            ),
            (flip, "rl_model_replay_buffer_80_steps.pkl", "does not match its checksum"),
            (truncate, "rl_model_vecnormalize_80_steps.pkl", "bytes instead of"),
            (truncate, "rl_model_80_steps.json", "rl_model_80_steps.json is damaged"),
        ],
    )
    def test_a_damaged_checkpoint_is_skipped_and_said_so(
        self, tmp_path, caplog, two_checkpoints, harm, name, message
    ) -> None:
        shutil.copytree(two_checkpoints, tmp_path, dirs_exist_ok=True)
        harm(tmp_path / name)
        checkpoint = newest_checkpoint(tmp_path)
        assert checkpoint.timesteps == 40
        said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
        assert re.search(message, said[0])
        assert said[-1].endswith("rl_model_40_steps.zip")
        assert load_checkpoint(tmp_path).num_timesteps == 40

    def test_none_that_is_whole_is_an_error(self, tmp_path) -> None:
        saved(tmp_path, "a2c", total=40)
        flip(tmp_path / "rl_model_40_steps.zip")
        with pytest.raises(ConfigError, match=r"no whole checkpoint in .* does not match"):
            newest_checkpoint(tmp_path)
        with pytest.raises(ConfigError, match="no whole checkpoint of name_prefix 'other'"):
            newest_checkpoint(tmp_path, "other")
        with pytest.raises(ConfigError, match="there is no folder of checkpoints"):
            newest_checkpoint(tmp_path / "no")

    def test_sb3s_own_checkpoints_are_checked_as_far_as_they_can_be(self, tmp_path, caplog) -> None:
        callback = sb3_callbacks.CheckpointCallback(40, str(tmp_path), "m", True, True)
        small_model("sac").learn(160, callback)
        assert newest_checkpoint(tmp_path).timesteps == 160
        truncate(tmp_path / "m_160_steps.zip")
        truncate(tmp_path / "m_replay_buffer_120_steps.pkl")
        with zipfile.ZipFile(tmp_path / "m_200_steps.zip", "w") as file:
            file.writestr("other", "x")
        checkpoint = newest_checkpoint(tmp_path)
        assert checkpoint.timesteps == 80
        assert "m_200_steps.zip is not a whole model: it has no entry 'data'" in caplog.text
        assert "m_160_steps.zip is not a whole model" in caplog.text
        assert "m_replay_buffer_120_steps.pkl is cut short" in caplog.text
        with pytest.raises(ConfigError, match=r"replay buffer .*is a pickle.*trust=True"):
            load_checkpoint(checkpoint, small_env())
        model = load_checkpoint(checkpoint, small_env(), trust=True)
        assert isinstance(model, SAC)
        assert model.replay_buffer.pos == 79  # SB3 saves before it stores the step's transition

    @pytest.mark.slow
    def test_a_process_killed_while_it_writes(self, tmp_path) -> None:
        code = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from small_models import env_of, small_model
from stable_baselines3 import SAC
from finrl_ray.agents.callbacks.checkpoint import CheckpointCallback
whole = SAC.save
def save(model, path):
    if model.num_timesteps == 80:
        path.write_bytes(b"half")
        os.kill(os.getpid(), 9)
    whole(model, path)
SAC.save = save
model = small_model("sac")
model.learn(200, CheckpointCallback(40, {str(tmp_path)!r}, "sac_model", True, True))
"""
        killed = subprocess.run([sys.executable, "-c", code], check=False)
        assert killed.returncode == -9
        leftovers = [name for name in files(tmp_path) if ".tmp." in name]
        assert leftovers
        assert newest_checkpoint(tmp_path).timesteps == 40
        saved(tmp_path, "a2c", total=10, name_prefix="other")
        assert [name for name in files(tmp_path) if ".tmp." in name] == leftovers
        model = load_checkpoint(tmp_path, small_env())
        model.learn(50, CheckpointCallback(40, tmp_path, "sac_model"), reset_num_timesteps=False)
        assert [name for name in files(tmp_path) if ".tmp." in name] == []
        assert newest_checkpoint(tmp_path).timesteps == 80

    def test_leftovers_that_cannot_be_removed_do_not_stop_training(self, tmp_path, monkeypatch):
        leftover = tmp_path / ".rl_model_40_steps.999999999.tmp.zip"
        leftover.write_bytes(b"")
        unlink = Path.unlink

        def refuse(path, missing_ok=False) -> None:
            if path == leftover:
                raise OSError(errno.EROFS, "Read-only file system")
            unlink(path, missing_ok)

        monkeypatch.setattr(Path, "unlink", refuse)
        saved(tmp_path, "a2c", total=40)
        assert steps(tmp_path) == [40]

    def test_a_file_that_a_living_process_writes_is_left_alone(self, tmp_path) -> None:
        living = tmp_path / f".rl_model_40_steps.{os.getppid()}.tmp.zip"
        living.write_bytes(b"")
        saved(tmp_path, "a2c", total=40)
        assert living.exists()


class TestLoading:
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    @pytest.mark.parametrize("wrapped", [False, True])
    def test_everything_comes_back(self, tmp_path, algorithm, wrapped) -> None:
        model, _ = saved(tmp_path, algorithm, total=64, n_envs=2, save_freq=64)
        env = env_of(algorithm, 2, normalize=wrapped)
        loaded = load_checkpoint(tmp_path, env)
        assert type(loaded) is type(model)
        assert loaded.num_timesteps == 64
        normalizer = loaded.get_vec_normalize_env()
        assert (normalizer is env) == wrapped
        assert normalizer.obs_rms.count == pytest.approx(66, abs=0.1)
        if model.num_timesteps == 64:  # A2C goes on to the end of its rollout
            np.testing.assert_array_equal(
                normalizer.obs_rms.mean, model.get_vec_normalize_env().obs_rms.mean
            )
        if hasattr(model, "replay_buffer"):
            assert loaded.replay_buffer.pos == 31
        loaded.learn(64, reset_num_timesteps=False)
        assert loaded.num_timesteps >= 128

    def test_a_replay_buffer_of_somebody_else_needs_trust(self, tmp_path, monkeypatch) -> None:
        saved(tmp_path / "own", "sac", total=64, n_envs=2, save_freq=64)
        load_checkpoint(tmp_path / "own", small_env(2))
        # moved, it is still this user's own; to another user, with another key, it is not
        (tmp_path / "own").rename(tmp_path / "moved")
        load_checkpoint(tmp_path / "moved", small_env(2))
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
        with pytest.raises(ConfigError, match="was not written by this user"):
            load_checkpoint(tmp_path / "moved", small_env(2))
        load_checkpoint(tmp_path / "moved", small_env(2), trust=True)

    def test_without_an_env_it_is_for_predicting(self, tmp_path) -> None:
        saved(tmp_path)
        model = load_checkpoint(tmp_path, name_prefix="rl_model")
        assert isinstance(model, SAC)
        assert model.env is None

    def test_an_env_that_does_not_fit_is_told(self, tmp_path, market) -> None:
        from finrl_ray.env.make import create_env

        saved(tmp_path, "a2c", total=40)
        with pytest.raises(ConfigError, match="cannot be loaded as a A2C model with this env"):
            load_checkpoint(tmp_path, create_env(market))
        with pytest.raises(ConfigError, match="cannot be loaded as a SAC model"):
            load_checkpoint(tmp_path, MarketEnv(), algorithm="sac")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"save_freq": 0}, "save_freq must be a whole number of timesteps >= 1, got 0"),
        ({"keep_last": 0}, "keep_last must be None or a whole number >= 1, got 0"),
        ({"keep_best": 1.5}, "keep_best must be None or a whole number >= 1, got 1.5"),
        ({"name_prefix": ""}, "name_prefix must be text without a folder .* got ''"),
        ({"name_prefix": "a/b"}, "name_prefix must be text without a folder .* got 'a/b'"),
        ({"name_prefix": ".a"}, "name_prefix must be text without a folder .* got '.a'"),
        ({"metric": "sharpe"}, "metric must be one of sharpe_ratio, .* got 'sharpe'"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        CheckpointCallback(**{"save_freq": 10, "save_path": tmp_path, **options})
