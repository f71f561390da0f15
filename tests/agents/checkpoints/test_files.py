"""What a folder of checkpoints tells, whatever else is in it."""

import json
from pathlib import Path

import pytest
from small_models import env_of, small_model
from stable_baselines3.common.policies import ActorCriticPolicy

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.callbacks.checkpoint import load_checkpoint, newest_checkpoint
from finrl_ray.agents.checkpoints.files import (
    Checkpoint,
    discard_old,
    elapsed_until,
    find_checkpoints,
    read_checkpoint_manifest,
    write_files,
)
from finrl_ray.errors import ConfigError
from finrl_ray.learners.base import sb3_class


def write(folder: Path, timesteps: int, *, prefix: str = "m", **changes) -> Checkpoint:
    """Write a checkpoint of a few bytes."""
    path = folder / f"{prefix}_{timesteps}_steps.zip"
    values = {
        "timesteps": timesteps,
        "model_path": path,
        "replay_buffer_path": None,
        "vecnormalize_path": None,
        "elapsed_s": timesteps / 10,
        "algorithm": "PPO",
        "name_prefix": prefix,
    }
    checkpoint = Checkpoint(**{**values, **changes})
    write_files(checkpoint, {path: lambda file: file.write_bytes(b"model")})
    return checkpoint


class TestForeignFiles:
    def test_they_are_passed_over(self, tmp_path) -> None:
        write(tmp_path, 40)
        (tmp_path / "m_50_steps.zip").symlink_to(tmp_path / "gone.zip")
        (tmp_path / "m_60_steps.zip").mkdir()
        (tmp_path / "m_70_steps.json").mkdir()
        (tmp_path / "m_80_steps.json").write_text("[]")
        (tmp_path / "m_90_steps.json").write_bytes(b"\xff\xfe")
        (tmp_path / "m_95_steps.zip").write_bytes(b"")
        (tmp_path / "prices.zip").write_bytes(b"")
        (tmp_path / "notes.txt").write_text("")
        assert newest_checkpoint(tmp_path).timesteps == 40
        assert len([damage for _, damage in find_checkpoints(tmp_path, None) if damage]) == 6

    def test_a_file_that_vanishes_while_it_is_read(self, tmp_path, monkeypatch) -> None:
        write(tmp_path, 40)
        gone = write(tmp_path, 80).model_path
        opened = Path.open

        def vanish(path, *args, **kwargs):
            if path == gone:
                gone.unlink(missing_ok=True)
            return opened(path, *args, **kwargs)

        monkeypatch.setattr(Path, "open", vanish)
        assert newest_checkpoint(tmp_path).timesteps == 40

    def test_a_manifest_with_a_flipped_bit_never_raises(self, tmp_path) -> None:
        write(tmp_path, 40)
        path = write(tmp_path, 80).manifest_path
        content = path.read_bytes()
        for place in range(len(content)):
            harmed = bytearray(content)
            harmed[place] ^= 1
            path.write_bytes(harmed)
            found = newest_checkpoint(tmp_path)
            assert (found.timesteps, found.model_path.name) in [
                (40, "m_40_steps.zip"),
                (80, "m_80_steps.zip"),
            ]

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("timesteps", 90, "it is of m_80_steps.zip at 90 timesteps"),
            ("files", {"model": {"name": "m_40_steps.zip"}}, "it is of m_40_steps.zip"),
            ("files", {"model": {"name": "m_80_steps.zip"}}, "not a whole manifest"),
            ("format", "other", "its format is 'other'"),
        ],
    )
    def test_a_manifest_must_be_of_the_files_beside_it(self, tmp_path, key, value, message) -> None:
        path = write(tmp_path, 80).manifest_path
        path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
        with pytest.raises(ValueError, match=message):
            read_checkpoint_manifest(path)


class TestPrefixes:
    def test_two_runs_in_one_folder_are_told_apart(self, tmp_path) -> None:
        for prefix, timesteps in [("m", 40), ("m", 80), ("m_b", 60), ("m_b", 120)]:
            write(tmp_path, timesteps, prefix=prefix)
        assert newest_checkpoint(tmp_path, "m").timesteps == 80
        assert newest_checkpoint(tmp_path, "m_b").timesteps == 120
        assert newest_checkpoint(tmp_path).name_prefix == "m_b"
        assert discard_old(tmp_path, "m", 1000, 1, 0, "max") == [40]
        assert newest_checkpoint(tmp_path, "m_b").timesteps == 120

    def test_the_time_so_far_is_that_of_the_newest_until_then(self, tmp_path) -> None:
        assert elapsed_until(tmp_path, "m", 1000) == 0.0
        for timesteps in (40, 80, 400):
            write(tmp_path, timesteps)
        write(tmp_path, 90, prefix="other")
        assert elapsed_until(tmp_path, "m", 100) == 8.0


class TestWithoutManifest:
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_the_model_says_which_algorithm_it_is_of(self, tmp_path, algorithm) -> None:
        # so does a checkpoint whose process was killed before the manifest
        model = small_model(algorithm, normalize=False)
        model.save(tmp_path / "m_40_steps.zip")
        assert newest_checkpoint(tmp_path).algorithm == sb3_class(model).__name__
        env = env_of(algorithm, normalize=False)
        assert type(load_checkpoint(tmp_path, env)) is type(model)

    def test_a_policy_of_ones_own_does_not(self, tmp_path) -> None:
        class Own(ActorCriticPolicy):
            pass

        model = small_model("ppo", normalize=False)
        model.policy_class = Own
        model.save(tmp_path / "m_40_steps.zip")
        with pytest.raises(ConfigError, match="does not say which algorithm it is of"):
            load_checkpoint(tmp_path)
