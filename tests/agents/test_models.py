"""Saved models: read back bit for bit, never run, and refused with a reason when they are wrong."""

import base64
import contextlib
import io
import json
import logging
import os
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
import torch as th
from repository import REPOSITORY
from small_models import SMALL_KWARGS, small_env, small_model
from stable_baselines3 import A2C, PPO, SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.models import load_model, save_model
from finrl_ray.agents.normalization import (
    STATISTICS_MEMBER,
    read_statistics,
    under_statistics,
)
from finrl_ray.agents.saved_models.inert_pickle import RefusedError, read_inert
from finrl_ray.agents.saved_models.zip_file import DESCRIPTION_MEMBER
from finrl_ray.errors import ConfigError

ALGORITHMS = ("a2c", "ppo", "ddpg", "td3", "sac")


class Planted:
    """Unpickling one makes a file: what a pickle of somebody else may do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


class OwnPolicyNet(nn.Module):
    """An activation that is no class of torch."""

    def forward(self, values: th.Tensor) -> th.Tensor:
        return values.tanh()


def no_unpickling(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any, **named: Any) -> Any:
        # compiled code that Numba has kept beside the sources is none of a model's
        if str(sys._getframe(1).f_globals["__name__"]).startswith("numba."):
            return loads(*given, **named)
        raise AssertionError("something was unpickled")

    loads = pickle.loads
    for module in (pickle, cloudpickle):
        monkeypatch.setattr(module, "loads", refuse)
        monkeypatch.setattr(module, "load", refuse)


def rewritten(source: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Write a zip file anew with its members changed."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target


def with_pickle(name: str, content: bytes) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        data = json.loads(members["data"])
        data[name] = {":type:": "x", ":serialized:": base64.b64encode(content).decode()}
        members["data"] = json.dumps(data).encode()

    return change


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model as SB3 writes it, one as `save_model` does, and statistics."""
    path = tmp_path_factory.mktemp("models")
    env = VecNormalize(small_env())
    model = DRLAgent(env).get_model("a2c", model_kwargs=SMALL_KWARGS["a2c"], seed=0, verbose=0)
    env.reset()
    for _ in range(5):
        env.step(np.stack([env.action_space.sample() for _ in range(env.num_envs)]))
    model.save(path / "model.zip")
    save_model(model, path / "own.zip")
    env.save(str(path / "vecnormalize.pkl"))
    return path


@pytest.mark.parametrize("written", ["sb3", "own"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_model_comes_back_without_unpickling(algorithm, written, tmp_path, monkeypatch) -> None:
    model = small_model(algorithm)
    file = tmp_path / "model.zip"
    (model.save if written == "sb3" else lambda path: save_model(model, path))(file)
    no_unpickling(monkeypatch)
    loaded = load_model(algorithm, tmp_path / "model", device="cpu")
    observation = np.zeros((1, *model.observation_space.shape), np.float32)
    for state in ("policy",):
        one, other = getattr(model, state).state_dict(), getattr(loaded, state).state_dict()
        assert one.keys() == other.keys()
        assert all(th.equal(one[name], other[name]) for name in one)
    np.testing.assert_array_equal(
        model.predict(observation, deterministic=True)[0],
        loaded.predict(observation, deterministic=True)[0],
    )
    assert loaded.observation_space == model.observation_space
    assert loaded.action_space == model.action_space
    assert (loaded.gamma, loaded.seed) == (model.gamma, model.seed)
    assert loaded.policy_kwargs == model.policy_kwargs
    assert [loaded.lr_schedule(p) for p in (1.0, 0.3)] == [model.lr_schedule(p) for p in (1.0, 0.3)]


@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_a_loaded_model_trains_on_as_sb3_loads_it(algorithm: str, tmp_path: Path) -> None:
    model = small_model(algorithm)
    model.learn(40)
    save_model(model, tmp_path / "model.zip")

    def trained(loaded: Any) -> list[th.Tensor]:
        loaded.learn(40, reset_num_timesteps=False)
        return list(loaded.policy.state_dict().values())

    one = trained(type(model).load(tmp_path / "model.zip", env=small_env()))
    other = trained(load_model(algorithm, tmp_path / "model.zip", env=small_env(), learner="fused"))
    assert all(th.equal(a, b) for a, b in zip(one, other, strict=True))


ACT = """
import json, sys
import numpy as np

def acted(model):
    rng, state, starts, actions = np.random.default_rng(0), None, np.array([True]), []
    for step in range(5):
        seen = rng.normal(size=(1, 5)).astype(np.float32)
        action, state = model.predict(seen, state=state, episode_start=starts, deterministic=True)
        starts = np.array([step == 2])
        actions.append(action.tolist())
    return actions
"""


@pytest.mark.slow
def test_stock_sb3_and_contrib_load_a_model_and_predict_the_same(tmp_path: Path) -> None:
    names = ("tqc", "crossq", "recurrent_ppo", "trpo", "dqn")
    here: dict[str, Any] = {}
    exec(ACT, here)
    classes, actions = [], []
    for name in names:
        model = small_model(name, normalize=False, learning_rate=1e-3)
        model.learn(64)
        save_model(model, tmp_path / f"{type(model).__name__}.zip")
        classes.append(type(model).__name__)
        actions.append(here["acted"](model))
    code = f"""{ACT}
import sb3_contrib, stable_baselines3
for name in {classes}:
    library = sb3_contrib if hasattr(sb3_contrib, name) else stable_baselines3
    print(json.dumps(acted(getattr(library, name).load(sys.argv[1] + "/" + name, device="cpu"))))
assert not any(name.startswith("finrl_ray") for name in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == actions


def test_what_is_written_can_be_read_by_sb3_itself(folder: Path) -> None:
    assert (
        A2C.load(folder / "own.zip").num_timesteps == A2C.load(folder / "model.zip").num_timesteps
    )


def test_schedules_noises_and_activations_come_back(tmp_path: Path, monkeypatch) -> None:
    kwargs = {
        "policy_kwargs": {"activation_fn": "gelu", "net_arch": {"pi": [4], "qf": [8]}},
        "action_noise": "ornstein_uhlenbeck",
        "learning_rate": "lin_3e-4",
        "train_freq": [4, "step"],
        "buffer_size": 50,
    }
    model = DRLAgent(gym.make("Pendulum-v1")).get_model("td3", model_kwargs=kwargs, verbose=0)
    save_model(model, tmp_path / "m.zip")
    no_unpickling(monkeypatch)
    loaded = load_model("td3", tmp_path / "m.zip")
    assert loaded.policy_kwargs["activation_fn"] is nn.GELU
    assert loaded.learning_rate == model.learning_rate
    assert loaded.train_freq == model.train_freq
    assert loaded.action_noise._theta == model.action_noise._theta
    np.testing.assert_array_equal(loaded.action_noise._sigma, model.action_noise._sigma)


def test_of_a_function_only_training_depends(tmp_path: Path) -> None:
    model = PPO(
        "MlpPolicy",
        gym.make("Pendulum-v1"),
        learning_rate=lambda rest: 1e-3 * rest,
        n_steps=4,
        batch_size=2,
    )
    for write in (model.save, lambda path: save_model(model, path)):
        write(tmp_path / "m.zip")
        loaded = load_model("ppo", tmp_path / "m.zip")
        assert loaded.learning_rate == 3e-4  # SB3's default
        with_trust = load_model("ppo", tmp_path / "m.zip", trust=True)
        assert th.equal(with_trust.policy.log_std, model.policy.log_std)


def test_a_network_of_ones_own_needs_trust(tmp_path: Path) -> None:
    model = A2C("MlpPolicy", gym.make("Pendulum-v1"), policy_kwargs={"activation_fn": OwnPolicyNet})
    model.save(tmp_path / "m.zip")
    with pytest.raises(ConfigError, match=r"policy_kwargs names \S*test_models.*trust=True"):
        load_model("a2c", tmp_path / "m.zip")
    loaded = load_model("a2c", tmp_path / "m.zip", trust=True)
    assert loaded.policy_kwargs["activation_fn"] is OwnPolicyNet


def test_a_network_of_ones_own_that_one_has_saved_oneself_does_not(tmp_path, monkeypatch) -> None:
    env = VecNormalize(DummyVecEnv([lambda: gym.make("Pendulum-v1")]))
    model = A2C("MlpPolicy", env, policy_kwargs={"activation_fn": OwnPolicyNet})
    save_model(model, tmp_path / "m.zip")
    assert load_model("a2c", tmp_path / "m.zip").policy_kwargs["activation_fn"] is OwnPolicyNet
    assert read_statistics(tmp_path / "m.zip") is not None
    # another pickle under the signature is not one's own
    evil = with_pickle("policy_kwargs", cloudpickle.dumps(Planted(tmp_path / "run")))
    with pytest.raises(ConfigError, match="trust=True"):
        load_model("a2c", rewritten(tmp_path / "m.zip", tmp_path / "n.zip", evil))
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "somebody else"))
    with pytest.raises(ConfigError, match="trust=True"):
        load_model("a2c", tmp_path / "m.zip")


@pytest.mark.parametrize(
    "name", ["observation_space", "policy_class", "lr_schedule", "_last_obs", "predict"]
)
def test_no_pickle_in_a_model_is_run(name: str, folder: Path, tmp_path: Path) -> None:
    planted = with_pickle(name, cloudpickle.dumps(Planted(tmp_path / "run")))
    for source in ("model.zip", "own.zip"):
        file = rewritten(folder / source, tmp_path / source, planted)
        if source == "model.zip" and name in ("observation_space", "policy_class"):
            with pytest.raises(ConfigError, match=r"names posix\.mkdir.*trust=True"):
                load_model("a2c", file)
        else:
            load_model("a2c", file)
    assert not (tmp_path / "run").exists()
    # the plant does grow where it is trusted
    load = rewritten(folder / "model.zip", tmp_path / "model.zip", planted)
    with contextlib.suppress(ConfigError):
        load_model("a2c", load, trust=True)
    assert (tmp_path / "run").exists()


@pytest.mark.parametrize("member", ["policy.pth", "policy.optimizer.pth", "pytorch_variables.pth"])
def test_no_pickle_in_the_numbers_is_run(member: str, folder: Path, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    th.save({"a": Planted(tmp_path / "run")}, buffer)
    content = buffer.getvalue()
    for source in ("model.zip", "own.zip"):
        file = rewritten(folder / source, tmp_path / source, lambda m: m.update({member: content}))
        for trust in (False, True):
            with pytest.raises(ConfigError, match="cannot be loaded as an a2c model"):
                load_model("a2c", file, trust=trust)
    assert not (tmp_path / "run").exists()


def test_no_pickle_in_statistics_is_run(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "model.zip", tmp_path)
    (tmp_path / "vecnormalize.pkl").write_bytes(pickle.dumps(Planted(tmp_path / "run")))
    with pytest.raises(ConfigError, match=r"names posix\.mkdir.*--trust"):
        read_statistics(tmp_path / "model.zip")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="something else than SB3's VecNormalize"):
        read_statistics(tmp_path / "model.zip", trust=True)
    assert (tmp_path / "run").exists()


def test_nothing_can_be_smuggled_through_known_names(tmp_path: Path) -> None:
    """Names of the libraries give records alone, whatever a pickle does with them."""
    target = str(tmp_path / "run")
    for module, name in (
        ("torch.utils._config_module", "install_config_module"),
        ("numpy.testing._private.utils", "runstring"),
        ("numpy", "f2py.compile"),
        ("finrl_ray.config.load", "os.mkdir"),
        ("torch", "os.mkdir"),
        ("stable_baselines3.common.save_util", "os.mkdir"),
    ):
        text = b"\x80\x04\x8c" + bytes([len(module)]) + module.encode()
        text += b"\x8c" + bytes([len(name)]) + name.encode()
        text += b"\x93\x8c" + bytes([len(target)]) + target.encode() + b"\x85R."
        value = read_inert(text)
        assert type(value).__name__ == "Record"
    assert not (tmp_path / "run").exists()
    for module, name in (
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("os", "system"),
        ("functools", "partial"),
    ):
        with pytest.raises(RefusedError, match=rf"names {module}\.{name}"):
            read_inert(f"c{module}\n{name}\n.".encode())


def test_statistics_are_the_same_by_every_way(folder: Path, monkeypatch) -> None:
    own = VecNormalize.load(str(folder / "vecnormalize.pkl"), small_env())
    no_unpickling(monkeypatch)
    for file in ("model.zip", "own.zip"):
        statistics = read_statistics(folder / file)
        assert statistics is not None
        env: Any = under_statistics(small_env(), statistics, evaluating=True)
        np.testing.assert_array_equal(env.obs_rms.mean, own.obs_rms.mean)
        np.testing.assert_array_equal(env.obs_rms.var, own.obs_rms.var)
        assert (env.obs_rms.count, env.ret_rms.var) == (own.obs_rms.count, own.ret_rms.var)
        assert (env.clip_obs, env.gamma, env.epsilon) == (own.clip_obs, own.gamma, own.epsilon)
        assert (env.training, env.norm_reward) == (False, False)
    assert zipfile.ZipFile(folder / "own.zip").namelist().count(STATISTICS_MEMBER) == 1


def test_statistics_of_dict_observations(tmp_path: Path) -> None:
    class Two(gym.Env):  # type: ignore[type-arg]
        observation_space = gym.spaces.Dict(
            {"a": gym.spaces.Box(-1, 1, (2,)), "b": gym.spaces.Box(-1, 1, (3,))}
        )
        action_space = gym.spaces.Box(-1, 1, (1,))

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            return self.observation_space.sample(), {}

        def step(self, action: Any) -> Any:
            return self.observation_space.sample(), 0.0, False, False, {}

    env = VecNormalize(DummyVecEnv([Two]))
    env.reset()
    model = A2C("MultiInputPolicy", env)
    save_model(model, tmp_path / "m.zip")
    assert load_model("a2c", tmp_path / "m.zip").observation_space == env.observation_space
    statistics = read_statistics(tmp_path / "m.zip")
    assert statistics is not None
    again: Any = under_statistics(DummyVecEnv([Two]), statistics)
    for key in ("a", "b"):
        np.testing.assert_array_equal(again.obs_rms[key].mean, env.obs_rms[key].mean)


def _set_nan(members: dict[str, bytes]) -> None:
    state = th.load(io.BytesIO(members["policy.pth"]), weights_only=True)
    state["log_std"][0] = np.nan
    buffer = io.BytesIO()
    th.save(state, buffer)
    members["policy.pth"] = buffer.getvalue()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.pop("data"), "has no data"),
        (lambda m: m.pop("policy.pth"), r"has no policy\.pth"),
        (lambda m: m.update({"data": b"{"}), "not valid JSON"),
        (lambda m: m.update({"data": b"[" * 100_000}), "not valid JSON"),
        (lambda m: m.update({"data": b"[]"}), "no JSON object"),
        (lambda m: m.update({"data": b"{}"}), "has no policy_class"),
        (lambda m: m.update({"policy.pth": b""}), "cannot be loaded"),
        (lambda m: m.update({"policy.pth": m["policy.pth"][:300]}), "cannot be loaded"),
        (_set_nan, "log_std is NaN"),
        (with_pickle("observation_space", b"cno_such_module.spaces\nBox\n."), "no_such_module"),
        (with_pickle("observation_space", b""), "observation_space is empty"),
        (with_pickle("observation_space", pickle.dumps(3)), "cannot be loaded"),
        (with_pickle("policy_kwargs", pickle.dumps({"net_arch": [3, 3]})), "size mismatch"),
    ],
)  # fmt: skip
def test_a_damaged_model_is_named(change: Any, words: str, folder: Path, tmp_path: Path) -> None:
    file = rewritten(folder / "model.zip", tmp_path / "model.zip", change)
    with pytest.raises(ConfigError, match=words):
        load_model("a2c", file)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update({DESCRIPTION_MEMBER: b"{"}), "is damaged"),
        (lambda m: m.update({DESCRIPTION_MEMBER: b"[" * 100_000}), "is damaged"),
        (lambda m: m.update({DESCRIPTION_MEMBER: b'{"format": "other"}'}), "format 'other'"),
        (lambda m: m.update({STATISTICS_MEMBER: b"PK"}), "statistics in"),
        (lambda m: m.update({STATISTICS_MEMBER: m[STATISTICS_MEMBER][:100]}), "statistics in"),
    ],
)  # fmt: skip
def test_a_damaged_description_is_named(change, words, folder, tmp_path) -> None:
    file = rewritten(folder / "own.zip", tmp_path / "model.zip", change)
    read: Any = read_statistics if "statistics" in words else partial(load_model, "a2c")
    with pytest.raises(ConfigError, match=words):
        read(file)


@pytest.mark.parametrize("source", ["model.zip", "own.zip"])
def test_a_file_cut_anywhere_is_refused_in_words(source: str, folder: Path, tmp_path: Path) -> None:
    whole = (folder / source).read_bytes()
    file = tmp_path / "model.zip"
    for length in [0, 1, 4, 100, *range(1000, len(whole) - 1, 977), len(whole) - 1]:
        file.write_bytes(whole[:length])
        with pytest.raises(ConfigError, match=r"model\.zip"):
            load_model("a2c", file)


@pytest.mark.parametrize("source", ["model.zip", "own.zip"])
def test_a_changed_byte_never_ends_in_a_raw_error(source, folder, tmp_path) -> None:
    whole = (folder / source).read_bytes()
    file = tmp_path / "model.zip"
    random = np.random.default_rng(0)
    for place in random.integers(0, len(whole), 60):
        changed = bytearray(whole)
        changed[place] ^= 1 << int(random.integers(8))
        file.write_bytes(changed)
        try:
            load_model("a2c", file)
        except ConfigError:
            continue


def test_statistics_cut_anywhere_are_refused_in_words(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "vecnormalize.pkl").read_bytes()
    shutil.copy(folder / "model.zip", tmp_path)
    for length in range(0, len(whole), 13):
        (tmp_path / "vecnormalize.pkl").write_bytes(whole[:length])
        with pytest.raises(ConfigError, match=r"statistics .*vecnormalize\.pkl"):
            read_statistics(tmp_path / "model.zip")


def test_statistics_that_are_no_file_are_refused_at_once(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "model.zip", tmp_path)
    (tmp_path / "vecnormalize.pkl").mkdir()
    with pytest.raises(ConfigError, match="it is a folder"):
        read_statistics(tmp_path / "model.zip")
    (tmp_path / "vecnormalize.pkl").rmdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "vecnormalize.pkl")
        with pytest.raises(ConfigError, match="a pipe"):
            read_statistics(tmp_path / "model.zip")


@pytest.mark.parametrize("value", [3, {"a": 1}, None, "text", [1]])
def test_a_pickle_of_something_else_is_no_statistics(value: Any, folder, tmp_path) -> None:
    shutil.copy(folder / "model.zip", tmp_path)
    (tmp_path / "vecnormalize.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(ConfigError, match="instead of SB3's VecNormalize"):
        read_statistics(tmp_path / "model.zip")


def test_files_that_are_not_there_or_not_models(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is a folder; give the .* in it are .*own"):
        load_model("a2c", folder)
    with pytest.raises(ConfigError, match=r"no such file, and no nothing\.zip"):
        load_model("a2c", tmp_path / "nothing")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(ConfigError, match="not a whole zip file"):
        load_model("a2c", tmp_path / "text.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "x")
    with pytest.raises(ConfigError, match=r"it has no data and no policy\.pth, but readme\.txt"):
        load_model("a2c", tmp_path / "other.zip")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data", b" " * (300 << 20))
    with pytest.raises(ConfigError, match="would unpack to"):
        load_model("a2c", tmp_path / "bomb.zip")


@pytest.mark.parametrize("written", ["sb3", "own"])
def test_a_model_of_another_algorithm_is_named(written: str, tmp_path: Path) -> None:
    for algorithm in ALGORITHMS:
        model = small_model(algorithm)
        file = tmp_path / f"{algorithm}.zip"
        (model.save if written == "sb3" else lambda path, m=model: save_model(m, path))(file)
    for saved in ALGORITHMS:
        for asked in set(ALGORITHMS) - {saved}:
            both = rf"as an? {asked} model: it is an? {saved} model"
            with pytest.raises(ConfigError, match=both):
                load_model(asked, tmp_path / f"{saved}.zip")


def test_an_env_of_other_sizes_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be loaded as an a2c model: Observation spaces"):
        load_model("a2c", folder / "own.zip", env=gym.make("Pendulum-v1"))
    model = load_model("a2c", folder / "own.zip")
    with pytest.raises(ConfigError, match="it has other tickers, features or options"):
        DRLAgent.DRL_prediction(model, gym.make("Pendulum-v1"))


@pytest.mark.parametrize("source", ["model.zip", "own.zip"])
def test_statistics_that_were_not_loaded_are_a_warning(source, folder, caplog) -> None:
    def warned(model: Any, env: Any) -> bool:
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="finrl_ray"):
            DRLAgent.DRL_prediction(model, env)
        return "trained on normalised observations" in caplog.text

    statistics = read_statistics(folder / source)
    assert statistics is not None
    model = load_model("a2c", folder / source)
    assert warned(model, small_env())
    assert warned(model, VecNormalize(small_env(), training=False))
    assert not warned(model, under_statistics(small_env(), statistics, evaluating=True))
    # loaded by SB3 itself, which knows of no file beside it
    assert warned(A2C.load(folder / source), small_env())
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="finrl_ray"):
        DRLAgent.DRL_prediction_load_from_file("a2c", small_env(), folder / source)
    assert "trained on normalised" not in caplog.text
    assert not warned(small_model("a2c"), small_env())


def test_a_model_that_was_never_normalised_is_no_warning(tmp_path: Path, caplog) -> None:
    save_model(small_model("a2c", normalize=False), tmp_path / "m.zip")
    model = load_model("a2c", tmp_path / "m.zip")
    with caplog.at_level(logging.WARNING, logger="finrl_ray"):
        DRLAgent.DRL_prediction(model, small_env())
    assert not caplog.text


def test_statistics_of_rewards_alone_are_no_warning(tmp_path: Path, caplog) -> None:
    env = VecNormalize(small_env(), norm_obs=False)
    for name, settings in (("m", {}), ("n", {"trained_under_vec_normalize": True})):
        model = DRLAgent(env).get_model("a2c")
        model.__dict__.update(settings)  # as files of before have it
        save_model(model, tmp_path / f"{name}.zip")
        statistics = read_statistics(tmp_path / f"{name}.zip")
        assert statistics is not None
        loaded = load_model("a2c", tmp_path / f"{name}.zip")
        for other in (small_env(), under_statistics(small_env(), statistics, evaluating=True)):
            with caplog.at_level(logging.WARNING, logger="finrl_ray"):
                DRLAgent.DRL_prediction(loaded, other)
    assert "trained on normalised" not in caplog.text


def test_sac_without_its_optimizer_is_not_whole(tmp_path: Path) -> None:
    small_model("sac").save(tmp_path / "m.zip")
    file = rewritten(tmp_path / "m.zip", tmp_path / "n.zip", lambda m: m.pop("actor.optimizer.pth"))
    with pytest.raises(ConfigError, match="cannot be loaded as a sac model"):
        load_model(SAC, file)


def test_models_are_loaded_in_one_place() -> None:
    """Whoever has a model's class calls the loader, and not SB3's `load`."""
    call = re.compile(r"(model_class|kind|type\(\w*model\)|A2C|PPO|DDPG|TD3|SAC)\.load\(")
    found = {
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / "finrl_ray").rglob("*.py")
        if call.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"finrl_ray/agents/models.py"}
