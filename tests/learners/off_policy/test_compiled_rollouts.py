"""Rollouts of SAC, TD3 and DDPG in compiled code are those in Python, bit for bit."""

import copy
import dataclasses
import logging
from typing import Any

import numpy as np
import pytest
import torch as th
from asking_callbacks import At, Stop
from bit_equality import assert_equal_bits
from env_markets import random_market
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.noise import (
    NormalActionNoise,
    OrnsteinUhlenbeckActionNoise,
)
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

from finrl_ray.agents.replay.choose import make_replay_buffer
from finrl_ray.agents.state.training_state import capture_state, learn_from, restore_state
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import DataError
from finrl_ray.learners.off_policy import compiled_rollouts
from finrl_ray.learners.off_policy.fused import FusedDDPG, FusedSAC, FusedTD3
from finrl_ray.learners.vec_normalize import LeanVecNormalize

KINDS: dict[str, Any] = {"sac": FusedSAC, "td3": FusedTD3, "ddpg": FusedDDPG}
# what `tests/helpers/compile_kernels.py` has compiled already
WEIGHTS: dict[str, Any] = {
    "action": "target_weights",
    "reward": "active",
    "observation": "stationary",
}
N_STEPS = 120


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    th.set_num_threads(1)


class Watch(BaseCallback):
    """Keeps what is there at each step that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[int, Any] = {}
        self.rollouts: list[int] = []

    def next_needed_timestep(self, num_timesteps: int) -> None:
        return None

    def _on_step(self) -> bool:
        names = ("actions", "buffer_actions", "rewards", "dones", "new_obs")
        more = ("num_collected_steps", "num_collected_episodes")
        buffer = self.model.replay_buffer
        self.seen[self.num_timesteps] = {
            **{name: np.copy(self.locals[name]) for name in (*names, *more)},
            "infos": [without_clock(info) for info in self.locals["infos"]],
            "last": np.copy(self.model._last_obs),
            "original": np.copy(self.model._last_original_obs),
            "progress": self.model._current_progress_remaining,
            "calls": self.n_calls,
            "buffer": (buffer.pos, buffer.full),
            "random": th.get_rng_state().numpy(),
            "numpys": np.random.get_state()[1],  # noqa: NPY002  # SB3's stream
        }
        return True

    def _on_rollout_end(self) -> None:
        self.rollouts.append(self.num_timesteps)
        assert self.num_timesteps == self.model.num_timesteps


class Everything(BaseCallback):
    def _on_step(self) -> bool:
        return True


def without_clock(info: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in info.items() if name != "account_history"}
    if "account_history" in info:
        kept["episode"] = {name: info.get("episode", {}).get(name) for name in "rl"}
        kept["values"] = info["account_history"].account_value
    return kept


def make_model(
    algorithm: str,
    n_envs: int = 1,
    *,
    in_python: bool = False,
    options: dict[str, Any] | None = None,
    market: Any = None,
    normalize: dict[str, Any] | None = None,
    plain_buffer: bool = False,
    single: bool = False,
    **changes: Any,
) -> Any:
    chosen = {"random_start": market is None, **(options or {})}
    market = random_market(40, halts=0.1) if market is None else market
    env: Any
    if single:
        account = StockTradingEnv(market, **chosen)
        env = DummyVecEnv([lambda: account])
    else:
        env = StockTradingVecEnv(market, n_envs, **chosen)
    env.seed(3)
    if normalize is not None:
        env = LeanVecNormalize(env, **normalize)
    settings: dict[str, Any] = {
        "learning_rate": lambda progress: 1e-3 * progress,
        "batch_size": 16,
        "buffer_size": 90,
        "learning_starts": 21,
        "policy_kwargs": {"net_arch": [16, 24]},
        "seed": 3,
        "device": "cpu",
        **copy.deepcopy(changes),
    }
    model = KINDS[algorithm]("MlpPolicy", env, _init_setup_model=False, **settings)
    if not plain_buffer:
        model.replay_buffer = make_replay_buffer(model)
    model._setup_model()
    model._always_in_python = in_python
    return model


def trained(model: Any, *more: BaseCallback, n_steps: int = N_STEPS) -> dict[str, Any]:
    watch = Watch()
    if model._always_in_python:
        more = (*more, Everything())
    model.learn(n_steps * model.n_envs, callback=CallbackList([*more, watch]), log_interval=1)
    known = model.logger.name_to_value.items()
    logged = {name: value for name, value in known if not name.startswith("time")}
    state = {**capture_state(model), "logged": logged, "rollouts": watch.rollouts}
    buffer = model.replay_buffer
    if type(buffer) is not ReplayBuffer:
        state["transitions"] = buffer.transitions()
    return {**state, "seen": watch.seen, "numbers": [watch.n_calls, model._n_updates]}


def assert_same(compiled: dict[str, Any], python: dict[str, Any]) -> None:
    python["seen"] = {at: python["seen"][at] for at in compiled["seen"]}
    assert_equal_bits(python, compiled)


def pair(algorithm: str, *more: BaseCallback, **settings: Any) -> list[dict[str, Any]]:
    states = []
    for in_python in (False, True):
        model = make_model(algorithm, in_python=in_python, **settings)
        states.append(trained(model, *copy.deepcopy(more)))
        if not in_python:
            assert model._taker is not None, model._slow_reasons
    return states


def noise(n_actions: int = 3) -> NormalActionNoise:
    return NormalActionNoise(np.zeros(n_actions), 0.3 * np.ones(n_actions))


CASES: list[dict[str, Any]] = [
    {},
    {"options": WEIGHTS, "train_freq": 4, "gradient_steps": 2, "plain_buffer": True},
    {"normalize": {}, "train_freq": 7, "options": WEIGHTS},
    {"normalize": {"norm_obs": False}, "train_freq": (1, "episode"), "gradient_steps": -1},
    {"n_envs": 3, "train_freq": 5, "buffer_size": 60},
    {"policy_kwargs": {"net_arch": [9], "activation_fn": nn.Tanh}, "n_envs": 9, "normalize": {}},
    {"single": True, "train_freq": 4, "plain_buffer": True},
]


@pytest.mark.parametrize("settings", CASES, ids=str)
@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_rollouts_are_those_in_python(algorithm: str, settings: dict[str, Any]) -> None:
    assert_same(*pair(algorithm, **settings))


@pytest.mark.parametrize("n_envs", [1, 2])
def test_ddpg_explores_with_noise_from_numpys_stream(n_envs: int) -> None:
    compiled, python = pair("ddpg", n_envs=n_envs, action_noise=noise(), train_freq=4)
    assert len(compiled["seen"]) < len(python["seen"]) / 2
    assert_same(compiled, python)


class Spoil(At):
    def act(self) -> bool:
        with th.no_grad():
            for parameter in self.model.actor.parameters():
                parameter.fill_(float("nan"))
        return True


def test_callbacks_are_called_at_the_steps_they_ask_for() -> None:
    asked = 1, 2, 7, 23, 24, 33, 100
    states, callbacks = [], []
    for in_python in (False, True):
        model, callback = make_model("td3", in_python=in_python, train_freq=30), At(*asked)
        states.append(trained(model, callback))
        callbacks.append(callback)
    assert [at for at, _ in callbacks[0].called] == list(asked)
    assert callbacks[0].called == callbacks[1].called
    assert set(asked) <= states[0]["seen"].keys()
    assert len(states[0]["seen"]) < 30
    assert_same(*states)


def where(model: Any) -> dict[str, Any]:
    """Where a training has been left in the middle of a rollout."""
    buffer = model.replay_buffer
    return {
        "at": model.num_timesteps,
        "pos": buffer.pos,
        "transitions": buffer.transitions(),
        "rewards": buffer.rewards[: buffer.pos],
        "last": model._last_obs,
        "random": th.get_rng_state(),
        "numpys": np.random.get_state()[1],  # noqa: NPY002  # SB3's stream
        "sampler": model.action_space.np_random.bit_generator.state["state"]["state"],
    }


@pytest.mark.parametrize("train_freq", [1, 40])
@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_errors_and_stops_leave_what_the_present_path_leaves(
    algorithm: str, train_freq: int
) -> None:
    for spoils in (False, True):
        left = []
        for in_python in (False, True):
            settings: dict[str, Any] = {"train_freq": train_freq, "action_noise": noise()}
            model = make_model(algorithm, in_python=in_python, **settings)
            if spoils:
                with pytest.raises(ValueError, match=r"Expected parameter|actions"):
                    model.learn(100, callback=Spoil(33))
            else:
                model.learn(100, callback=Stop(33))
            left.append(where(model))
        assert left[0]["at"] == 33
        assert_equal_bits(*left)


@pytest.mark.parametrize("learning_starts", [3, 100])
@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_an_account_beyond_float32_is_refused_in_the_middle(
    algorithm: str, learning_starts: int
) -> None:
    """A run that ends early leaves the streams where single steps leave them."""
    far = np.where(np.arange(40) < 17, 1.0, 1e36)[:, np.newaxis]
    market = random_market(40)
    market = dataclasses.replace(market, close=market.close * far)
    left = []
    for in_python in (False, True):
        settings: dict[str, Any] = {"learning_starts": learning_starts, "action_noise": noise()}
        model = make_model(algorithm, in_python=in_python, market=market, train_freq=50, **settings)
        watch = Watch()
        with pytest.raises(DataError, match="float32") as raised:
            model.learn(100, callback=[watch, *([Everything()] if in_python else [])])
        books = model.env.accounts.books
        account = {"shares": books.shares, "ledger": books.ledger}
        left.append({"error": str(raised.value), **where(model), **account})
        assert in_python or len(watch.seen) <= 1
    assert left[0]["at"] > 5
    assert_equal_bits(*left)


@pytest.mark.parametrize("algorithm", ["sac", "ddpg"])
def test_a_resumed_run_goes_on_as_one_that_was_not_stopped(algorithm: str) -> None:
    changes: dict[str, Any] = {"options": WEIGHTS, "n_envs": 2, "normalize": {}, "train_freq": 4}
    total, states = 160, []
    whole = make_model(algorithm, **changes)
    learn_from(whole, total, Watch())
    stopped = make_model(algorithm, **changes)
    learn_from(
        stopped, total, Watch(), lambda model: bool(states.append(capture_state(model))) or
        len(states) < 9,
    )  # fmt: skip
    again = make_model(algorithm, **changes)
    restore_state(again, states[-1])
    learn_from(again, total, Watch())
    assert again.num_timesteps == total
    assert again._taker is not None
    assert_equal_bits(capture_state(whole), capture_state(again))


@pytest.mark.parametrize("train_freq", [1, 10])
def test_a_training_after_ctrl_c_begins_anew(
    train_freq: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, steps = make_model("td3", train_freq=train_freq), compiled_rollouts.run_steps

    def interrupted(*arguments: Any) -> Any:
        ended = steps(*arguments)
        if model.num_timesteps >= 40:
            raise KeyboardInterrupt
        return ended

    monkeypatch.setattr(compiled_rollouts, "run_steps", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.learn(100)
    assert model._last_obs is None
    monkeypatch.undo()
    account = model.env.accounts.books.records[0]
    model.learn(20, reset_num_timesteps=False)
    assert model.num_timesteps == 60
    assert account["day"] - account["start"] == 20
    seen, after = model.replay_buffer.transitions()
    ended = model.replay_buffer.dones[:60, 0] == 1
    broken = np.flatnonzero(~(seen[1:, 0] == after[:-1, 0]).all(axis=1))
    # an episode that ended, and the steps that nobody has counted
    assert set(broken) <= {*np.flatnonzero(ended), 39}


class Mine(FusedTD3):
    def _on_step(self) -> None:
        super()._on_step()


def test_what_python_must_do_at_every_step_is_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    other = OrnsteinUhlenbeckActionNoise(np.zeros(3), np.ones(3))
    wide = NormalActionNoise(np.zeros(3), np.ones(3), dtype=np.float64)
    model = make_model("td3", action_noise=other)
    for _ in range(2):
        model.learn(30)
    make_model("td3", action_noise=wide).learn(30)
    make_model("td3", optimize_memory_usage=True, plain_buffer=True,
               replay_buffer_kwargs={"handle_timeout_termination": False}).learn(30)  # fmt: skip
    env = VecNormalize(make_model("td3", normalize={}).env)
    FusedTD3("MlpPolicy", env, learning_starts=10, device="cpu").learn(20)
    Mine("MlpPolicy", make_model("td3").env, learning_starts=10, device="cpu").learn(20)
    stored = make_model("sac")
    stored._store_transition = stored._store_transition
    stored.learn(30)
    said = [one.message for one in caplog.records if one.name == compiled_rollouts.__name__]
    names = (
        *("OrnsteinUhlenbeckActionNoise", "float64", "optimize_memory_usage", "LeanVecNormalize"),
        *("Mine may choose", "_store_transition of the model"),
    )
    assert len(said) == len(names)
    for name, message in zip(names, said, strict=True):
        assert name in message


def test_a_callback_that_looks_at_every_step_is_named(caplog: pytest.LogCaptureFixture) -> None:
    model = make_model("sac", train_freq=8)
    model.learn(60, callback=Everything())
    assert [one.levelno for one in caplog.records] == [logging.WARNING]
    assert "Everything looks at every step; it can say" in caplog.text
    assert "next_needed_timestep" in caplog.text


@pytest.mark.long  # compiles the rules of trading for each
@pytest.mark.parametrize(
    "options",
    [
        {"fill": "next_open", "turbulence_threshold": 60.0, "time_limit": "dummy_step"},
        {"hmax": 2500.0, "hmax_unit": "money"},
        {"short": True, "borrow_rate": 0.5, "maintenance_margin": 0.9},
        {"action": "target_weights", "short": True},
    ],
    ids=str,
)
def test_every_formulation_is_bit_for_bit(options: dict[str, Any]) -> None:
    for algorithm in ("sac", "td3"):
        assert_same(*pair(algorithm, options=options, train_freq=6, normalize={}))
