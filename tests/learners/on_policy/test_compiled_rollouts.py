"""Rollouts in compiled code are the present ones: bit for bit at one account."""

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
from on_policy_cases import steps_interrupted
from stable_baselines3.common import callbacks as sb3
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from finrl_ray.agents.callbacks.performance_monitor import PerformanceMonitorCallback
from finrl_ray.agents.callbacks.tensorboard import TensorboardCallback
from finrl_ray.agents.state.training_state import capture_state, learn_from, restore_state
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import DataError
from finrl_ray.learners.on_policy import compiled_rollouts
from finrl_ray.learners.on_policy.fused import FusedA2C, FusedPPO
from finrl_ray.learners.on_policy.per_ticker import PerTickerPolicy
from finrl_ray.learners.vec_normalize import LeanVecNormalize
from finrl_ray.machine import compiled_cache

# what `tests/helpers/compile_kernels.py` has compiled already
WEIGHTS: dict[str, Any] = {
    "action": "target_weights",
    "reward": "active",
    "observation": "stationary",
}
COMPILED: list[dict[str, Any]] = [{}, WEIGHTS]
OTHERS: list[dict[str, Any]] = [
    {"fill": "next_open", "turbulence_threshold": 60.0, "time_limit": "dummy_step"},
    {"hmax": 2500.0, "hmax_unit": "money"},
    {"hmax": 0.2, "hmax_unit": "account_share", "lot_size": 5},
    {"short": True, "borrow_rate": 0.5, "maintenance_margin": 0.9},
    {"stop_loss": 0.9, "cooldown": 2, "cash_penalty_proportion": 0.1},
    {"action": "target_weights", "short": True},
    {"action": "target_weights", "lot_size": 5, "trade_rate": 0.5},
]
N_STEPS = 24


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    th.set_num_threads(1)


class Rows(BaseCallback):
    """Keeps each rollout, and what is seen where a step is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.rollouts: list[Any] = []
        self.seen: dict[int, Any] = {}

    def next_needed_timestep(self, num_timesteps: int) -> None:
        return None

    def _on_step(self) -> bool:
        names = ("actions", "clipped_actions", "values", "log_probs", "rewards", "dones", "new_obs")
        self.seen[self.num_timesteps] = {
            **{
                name: copy.deepcopy(self.locals[name]) for name in (*names, "obs_tensor", "n_steps")
            },
            "calls": self.n_calls,
            "infos": [without_clock(info) for info in self.locals["infos"]],
            "last_obs": np.copy(self.model._last_obs),
            "starts": np.copy(self.model._last_episode_starts),
            "pos": self.model.rollout_buffer.pos,
            "random": th.get_rng_state().numpy(),
        }
        return True

    def _on_rollout_end(self) -> None:
        buffer = self.locals["rollout_buffer"]
        names = ("observations", "actions", "values", "log_probs", "advantages", "returns")
        more = ("rewards", "episode_starts")
        known = self.logger.name_to_value
        logged = {name: value for name, value in known.items() if name.startswith("train/rew")}
        arrays = {name: np.copy(getattr(buffer, name)) for name in (*names, *more)}
        self.rollouts.append({**arrays, "logged": logged})
        assert (self.num_timesteps, buffer.full) == (self.model.num_timesteps, True)


class Everything(BaseCallback):
    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def _on_step(self) -> bool:
        self.steps += 1
        return True


def without_clock(info: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in info.items() if name != "account_history"}
    if "account_history" in info:
        kept["episode"] = {name: info.get("episode", {}).get(name) for name in "rl"}
        kept["values"] = info["account_history"].account_value
    return kept


def make_model(
    kind: Any = FusedPPO,
    options: dict[str, Any] | None = None,
    n_envs: int = 1,
    *,
    in_python: bool = False,
    normalize: dict[str, Any] | None = None,
    random_start: bool = True,
    **changes: Any,
) -> Any:
    chosen = {"random_start": random_start, **(options or {})}
    env: Any = StockTradingVecEnv(random_market(40, halts=0.1), n_envs, **chosen)
    env.seed(3)
    if normalize is not None:
        env = LeanVecNormalize(env, **normalize)
    sizes = {"n_steps": N_STEPS, "batch_size": 16, "n_epochs": 2} if kind is FusedPPO else {}
    settings = {"policy_kwargs": {"net_arch": [16, 24]}, "seed": 3, "device": "cpu", **sizes}
    settings |= copy.deepcopy(changes)
    model = kind(settings.pop("policy", "MlpPolicy"), env, **settings)
    model._always_in_python = in_python
    return model


def trained(model: Any, n_steps: int = 200, *more: BaseCallback) -> dict[str, Any]:
    rows = Rows()
    model.set_random_seed(7)
    if model._always_in_python:
        more = (*more, Everything())
    model.learn(n_steps * model.n_envs, callback=CallbackList([*more, rows]))
    known = model.logger.name_to_value.items()
    logged = {name: value for name, value in known if not name.startswith("time")}
    state = {**capture_state(model), "rollouts": rows.rollouts, "seen": rows.seen}
    return {**state, "logged": logged, "calls": rows.n_calls}


def pair(*more: Any, **settings: Any) -> list[dict[str, Any]]:
    made = [make_model(in_python=in_python, **settings) for in_python in (False, True)]
    return [trained(model, 200, *copy.deepcopy(more)) for model in made]


def test_steps_that_python_takes_are_left_out_as_compiled_ones_are() -> None:
    """Only what looks at every step costs anything, whatever the env."""
    asked, states = (1, 2, 7, 23, 24, 25, 100, 111), []
    for everything in ([], [Everything()]):
        model, rows, logged = make_model(in_python=True), Rows(), TensorboardCallback()
        model.learn(200, callback=[At(*asked), logged, *everything, rows])
        known = model.logger.name_to_value.items()
        found = {name: value for name, value in known if not name.startswith("time")}
        states.append({**capture_state(model), "rollouts": rows.rollouts, "logged": found})
        states[-1] |= {"seen": rows.seen, "calls": [rows.n_calls, logged.n_calls]}
    assert set(asked) <= set(states[0]["seen"])
    assert_same(*states)


def assert_same(compiled: dict[str, Any], python: dict[str, Any]) -> None:
    assert 0 < len(compiled["seen"]) < len(python["seen"])
    python["seen"] = {at: python["seen"][at] for at in compiled["seen"]}
    assert_equal_bits(python, compiled)


@pytest.mark.parametrize("options", COMPILED, ids=str)
@pytest.mark.parametrize("kind", [FusedPPO, FusedA2C])
@pytest.mark.parametrize(
    "normalize", [None, {}, {"norm_obs": False, "clip_reward": 0.5}, {"norm_reward": False}]
)
def test_one_account_is_bit_for_bit(options: Any, kind: Any, normalize: Any) -> None:
    assert_same(*pair(kind=kind, options=options, normalize=normalize))


@pytest.mark.long  # half a minute each where nothing is compiled
@pytest.mark.parametrize("options", OTHERS, ids=str)
@pytest.mark.parametrize("normalize", [None, {}])
def test_every_formulation_is_bit_for_bit(options: Any, normalize: Any) -> None:
    assert_same(*pair(options=options, normalize=normalize))


@pytest.mark.parametrize("options", [{}, {"time_limit": "dummy_step"}], ids=str)
def test_a_single_env_of_finrls_kind_is_bit_for_bit(options: Any, tmp_path: Any) -> None:
    states, figures = [], []
    for in_python in (False, True):
        single = StockTradingEnv(random_market(40, halts=0.1), random_start=True, **options)
        env = LeanVecNormalize(DummyVecEnv([lambda made=single: made]))
        env.seed(3)
        settings = {"n_steps": N_STEPS, "batch_size": 16, "n_epochs": 2, "device": "cpu"}
        model = FusedPPO("MlpPolicy", env, seed=3, **settings)
        model._always_in_python = in_python
        assert compiled_rollouts.reason_against_env(env) == ""
        states.append(trained(model))
        # nobody but this callback sums up what an episode of such an env pays
        watched = PerformanceMonitorCallback(50, plot_dir=tmp_path)
        model.learn(100, callback=[watched])
        figures.append(watched.episodes)
    assert_same(*states)
    assert figures[0] == figures[1]
    assert len(figures[0]) > 2


@pytest.mark.parametrize("n_envs", [3, 9])
@pytest.mark.parametrize("policy", ["MlpPolicy", PerTickerPolicy])
def test_several_accounts_are_equal_to_rounding(n_envs: int, policy: Any) -> None:
    changes = {"options": WEIGHTS, "n_envs": n_envs, "normalize": {}, "policy": policy}
    compiled, python = (
        trained(make_model(in_python=in_python, **changes), N_STEPS)["rollouts"][0]
        for in_python in (False, True)
    )
    del python["logged"]
    for name, rows in python.items():
        np.testing.assert_allclose(compiled[name], rows, rtol=2e-3, atol=2e-4, err_msg=name)


class Silent(At):
    def act(self) -> bool:
        return True


class Spoil(At):
    def act(self) -> bool:
        with th.no_grad():
            self.model.policy.log_std.fill_(float("nan"))
        return True


@pytest.mark.parametrize("normalize", [None, {}])
def test_callbacks_are_called_at_the_steps_they_ask_for(normalize: Any) -> None:
    asked = (1, 2, 7, 23, 24, 25, 100, 111)
    compiled, python = (make_model(in_python=p, normalize=normalize) for p in (False, True))
    callbacks = At(*asked), At(*asked)
    states = [
        trained(model, 200, callback)
        for model, callback in zip((compiled, python), callbacks, strict=True)
    ]
    assert [at for at, _ in callbacks[0].called] == list(asked)
    assert callbacks[0].called == callbacks[1].called
    assert_same(*states)


@pytest.mark.parametrize("n_envs", [1, 9])
def test_where_a_rollout_is_split_changes_nothing(n_envs: int) -> None:
    changes = {"options": WEIGHTS, "n_envs": n_envs, "normalize": {}}
    often = Silent(*range(5 * n_envs, 10_000, 5 * n_envs))
    states = [trained(make_model(**changes), 60, *more) for more in ([], [often])]
    assert len(states[1]["seen"]) > len(states[0]["seen"])
    states[1]["seen"] = {at: states[1]["seen"][at] for at in states[0]["seen"]}
    assert_equal_bits(*states)


@pytest.mark.parametrize("n_envs", [1, 9])
def test_a_resumed_run_goes_on_as_one_that_was_not_stopped(n_envs: int) -> None:
    changes = {"options": WEIGHTS, "n_envs": n_envs, "normalize": {}}
    total, states = 6 * N_STEPS * n_envs, []
    whole = make_model(**changes)
    learn_from(whole, total, Rows())
    stopped = make_model(**changes)
    learn_from(
        stopped, total, Rows(), lambda model: bool(states.append(capture_state(model))) or
        len(states) < 4,
    )  # fmt: skip
    again = make_model(**changes)
    restore_state(again, states[-1])
    learn_from(again, total, Rows())
    assert again.num_timesteps == total
    assert_equal_bits(capture_state(whole), capture_state(again))


def where(model: Any) -> dict[str, Any]:
    """Where a training has been left in the middle of a rollout."""
    pos = model.rollout_buffer.pos
    return {
        "at": model.num_timesteps,
        "pos": pos,
        "rows": model.rollout_buffer.rewards[:pos],
        "last": model._last_obs,
        "random": th.get_rng_state(),
    }


def test_a_callback_ends_training_at_its_step() -> None:
    left = []
    for in_python in (False, True):
        model = make_model(in_python=in_python)
        model.learn(100, callback=Stop(31))
        left.append(where(model))
    assert left[0]["at"] == 31
    assert_equal_bits(*left)


@pytest.mark.parametrize("n_envs", [1, 9])
def test_errors_are_those_of_the_present_path(n_envs: int) -> None:
    left = []
    for in_python in (False, True):
        model = make_model(n_envs=n_envs, in_python=in_python, random_start=False)
        with pytest.raises(ValueError, match="Expected parameter"):
            model.learn(100, callback=Spoil(5 * n_envs))
        left.append(where(model))
    assert left[0]["at"] == 5 * n_envs
    if n_envs > 1:  # more than a few accounts are equal to rounding
        left = [{name: one[name] for name in ("at", "pos", "random")} for one in left]
    assert_equal_bits(*left)


def test_an_account_beyond_float32_is_refused_in_the_middle() -> None:
    market = random_market(40)
    far = np.where(np.arange(40) < 17, 1.0, 1e36)[:, np.newaxis]
    market = dataclasses.replace(market, close=market.close * far)
    left = []
    for in_python in (False, True):
        env = StockTradingVecEnv(market, 1, initial_amount=1e5)
        model = FusedPPO("MlpPolicy", env, n_steps=N_STEPS, batch_size=8, seed=1, device="cpu")
        model._always_in_python = in_python
        with pytest.raises(DataError, match="float32") as raised:
            model.learn(100, callback=Rows())
        books = env.accounts.books
        account = {"shares": books.shares, "ledger": books.ledger}
        left.append({"error": str(raised.value), **where(model), **account})
    assert left[0]["at"] > 5
    assert_equal_bits(*left)


@pytest.mark.parametrize("normalize", [None, {}])
def test_rewards_are_logged_as_if_every_step_were_seen(normalize: Any) -> None:
    class Writes(At):
        def act(self) -> bool:
            self.logger.dump(self.num_timesteps)
            return True

    states = []
    for in_python in (False, True):
        model = make_model(in_python=in_python, normalize=normalize)
        logged = TensorboardCallback()
        states.append(trained(model, 190, Writes(30, 171), logged))
    found = states[0]["rollouts"][2]["logged"]
    assert found["train/reward_min"] < found["train/reward_mean"] < found["train/reward_max"]
    assert_same(*states)


def test_a_subclass_that_acts_otherwise_sees_every_step() -> None:
    class Mine(At):
        def _on_step(self) -> bool:
            self.called.append((self.num_timesteps, self.n_calls))
            return True

    mine = Mine(10)
    make_model().learn(N_STEPS, callback=mine)
    assert len(mine.called) == N_STEPS


def test_a_callback_that_says_nothing_sees_every_step(caplog: Any) -> None:
    caplog.set_level(logging.INFO)
    model, watch = make_model(), Everything()
    model.learn(2 * N_STEPS, callback=[watch, Rows()])
    assert watch.steps == 2 * N_STEPS
    said = [record for record in caplog.records if record.name == compiled_rollouts.__name__]
    assert len(said) == 1
    assert "Everything looks at every step" in said[0].message
    assert "next_needed_timestep" in said[0].message
    assert said[0].levelno == logging.WARNING


@pytest.mark.parametrize(
    ("wrap", "reason"),
    [
        (VecMonitor, "VecMonitor"),
        (lambda env: VecNormalize(LeanVecNormalize(env)), "LeanVecNormalize"),
    ],
)
def test_envs_that_are_stepped_in_python_are_named(wrap: Any, reason: str) -> None:
    env = StockTradingVecEnv(random_market(), 1)
    assert compiled_rollouts.reason_against_env(env) == ""
    assert compiled_rollouts.reason_against_env(LeanVecNormalize(env)) == ""
    assert compiled_rollouts.reason_against_env(VecNormalize(env)) == ""
    assert reason in compiled_rollouts.reason_against_env(wrap(env))


def test_sb3s_own_callbacks_do_what_they_do() -> None:
    class Counted(sb3.BaseCallback):
        """As a child: called at events alone."""

        def __init__(self) -> None:
            super().__init__()
            self.at: list[int] = []

        def _on_step(self) -> bool:
            self.at.append(self.num_timesteps)
            return True

    found = []
    for in_python in (False, True):
        model, inner, rows = make_model(n_envs=2, in_python=in_python), Counted(), Rows()
        stop = sb3.StopTrainingOnMaxEpisodes(max_episodes=4)
        events = sb3.EveryNTimesteps(34, inner)
        model.learn(10_000, callback=[events, stop, rows])
        found.append((inner.at, stop.n_episodes, stop.n_calls, rows.n_calls, model.num_timesteps))
    assert found[0] == found[1]
    assert len(found[0][0]) > 3


def test_deviations_without_an_end_are_said_after_the_update_that_they_spoil() -> None:
    model = make_model(policy_kwargs={"net_arch": [8], "log_std_init": 1e38})
    with pytest.raises(ValueError, match="Expected parameter"):
        model.learn(2 * N_STEPS, callback=Rows())
    assert model.num_timesteps == N_STEPS


def test_a_rollout_longer_than_its_buffer_is_refused_as_in_sb3() -> None:
    """Compiled code does not look where an array ends."""
    model = make_model()
    model.n_steps = 2 * N_STEPS
    with pytest.raises(IndexError):
        model.learn(2 * N_STEPS)


def test_training_begins_anew_after_an_interrupt_within_compiled_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The steps of the run that was interrupted are counted by nobody."""
    model = make_model()
    model.learn(N_STEPS)
    with steps_interrupted(monkeypatch), pytest.raises(KeyboardInterrupt):
        model.learn(N_STEPS, reset_num_timesteps=False)
    model.learn(N_STEPS, reset_num_timesteps=False)
    first = model.rollout_buffer.episode_starts[0]
    assert first.all()


def test_without_a_compiler_models_learn_and_act_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_cache._settings, "DISABLE_JIT", 1)
    model = make_model()
    assert model.learner == "exact"
    assert "compiler is switched off" in compiled_rollouts.reason_against_env(model.env)


def test_a_copy_of_what_steps_draws_noise_of_its_own() -> None:
    model = make_model()
    model.learn(N_STEPS)
    copied = copy.deepcopy(model._steppers)
    copied.draw(3)
    assert np.array_equal(copied.noise.numpy()[:3], th.stack(copied._rows[:3]).numpy())
