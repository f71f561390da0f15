"""Ensembles as one ONNX file: the actions of `EnsembleModel`, by a runtime that knows nothing."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from deployed_agents import TRAINED_ROWS, experiment, price_frame
from gymnasium import spaces
from stable_baselines3 import A2C, PPO, SAC
from stable_baselines3.common.vec_env import DummyVecEnv

from finrl_ray.agents.ensemble_model.files import SavedMember, save_ensemble
from finrl_ray.agents.ensemble_model.model import EnsembleModel, Member
from finrl_ray.agents.frame_stack import N_STACK
from finrl_ray.agents.hyperparameters import resolve_sample
from finrl_ray.agents.models import save_model
from finrl_ray.agents.normalization import Statistics
from finrl_ray.config.env import EnvConfig
from finrl_ray.data.chosen_features import market_of_sample
from finrl_ray.data.load import market_data_of
from finrl_ray.deployment.acting_env import make_acting_env
from finrl_ray.deployment.agent import load_agent
from finrl_ray.deployment.agent_folder import write_agent
from finrl_ray.deployment.onnx_policy.comparing import TOLERANCE
from finrl_ray.deployment.onnx_policy.export import ONNX_FILE, export_agent, export_onnx
from finrl_ray.env.orders.discrete import choices_of
from finrl_ray.env.scaling import fitted_scaling
from finrl_ray.errors import ConfigError
from finrl_ray.learners.on_policy.per_ticker import PerTickerPolicy
from finrl_ray.training.folds import train_on

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

TICKERS, SIZE = 3, 10
WEIGHTS = {"action": "target_weights"}
PORTFOLIO = {"type": "portfolio", "cash_weight": True}


class Shown(gym.Env[Any, Any]):
    """Numbers at random, of which nothing depends on what is done."""

    def __init__(self, size: int, actions: spaces.Space[Any]) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.action_space = actions
        self.rng, self.day = np.random.default_rng(size), 0

    def _shown(self) -> Any:
        return self.rng.normal(1.0, 2.0, self.observation_space.shape).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.day = 0
        return self._shown(), {}

    def step(self, action: Any) -> Any:
        self.day += 1
        return self._shown(), 0.0, self.day == 40, False, {}


def member(
    options: Mapping[str, Any],
    *,
    made: Any = PPO,
    policy: Any = "MlpPolicy",
    size: int = SIZE,
    frames: int = 1,
    normalize: bool = False,
    seed: int = 0,
    **more: Any,
) -> Member:
    """Return a member whose actions differ much from one observation to another."""
    env = EnvConfig(**options)
    entries = TICKERS + bool(env.type == "portfolio" and env.cash_weight)
    actions: spaces.Space[Any] = spaces.Box(-1.0, 1.0, (entries,), np.float32)
    choices = choices_of(env, TICKERS)
    actions = actions if choices is None else choices.space
    shown = DummyVecEnv([lambda: Shown(size * frames, actions)])
    model = made(policy, shown, seed=seed, policy_kwargs={"net_arch": [8]})
    if made is not SAC:
        with th.no_grad():
            model.policy.action_net.weight *= 60.0
    if frames > 1:
        setattr(model, N_STACK, frames)
    statistics = None
    if normalize:
        rng = np.random.default_rng(seed)
        moments = {"obs:": (rng.normal(size=size), rng.uniform(0.5, 4.0, size), 9.0)}
        settings = {"norm_obs": True, "clip_obs": 3.0, "epsilon": 1e-8}
        statistics = Statistics(settings=settings, moments=moments, source="here")
    return Member(model=model, env=env, statistics=statistics, **more)


def acted(file: Path, rows: Mapping[str, Any]) -> Any:
    session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    assert {one.name for one in session.get_inputs()} == set(rows)
    (found,) = session.run(["action"], {k: np.asarray(v, np.float32) for k, v in rows.items()})
    return found


def assert_acts_alike(
    model: EnsembleModel, file: Path, sizes: Mapping[str, tuple[int, int]]
) -> Any:
    """Compare both through an episode of two accounts; `sizes` are width and frames by input."""
    rng, state, start = np.random.default_rng(5), None, np.ones(2, dtype=bool)
    stacks = {name: np.full((2, size * n), np.nan) for name, (size, n) in sizes.items()}
    every = []
    for _ in range(8):
        shown = {
            name: rng.normal(1.0, 2.0, (2, size)).astype(np.float32)
            for name, (size, _) in sizes.items()
        }
        for name, (size, _) in sizes.items():
            stacks[name] = np.hstack([stacks[name][:, size:], shown[name]])
        told = shown if isinstance(model.observation_space, spaces.Dict) else shown["observation"]
        expected, state = model.predict(told, state, start, deterministic=True)
        start = np.zeros(2, dtype=bool)
        found = acted(file, stacks)
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=0.0, atol=TOLERANCE)
        one = acted(file, {name: rows[:1] for name, rows in stacks.items()})
        np.testing.assert_allclose(one, expected[:1], rtol=0.0, atol=TOLERANCE)
        every.append(found)
    assert np.unique(np.stack(every)).size > 3  # they do not all do the same
    return np.concatenate(every)


def told_of(file: Path) -> dict[str, Any]:
    return {one.key: one.value for one in onnx.load(str(file)).metadata_props}


def constant(actions: Any, options: Mapping[str, Any]) -> Member:
    """Return a member that always gives the same actions."""
    found = member(options)
    policy: Any = found.model.policy
    with th.no_grad():
        policy.action_net.weight[:] = 0.0
        policy.action_net.bias[:] = th.as_tensor(actions)
    return found


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        # orders keep their signs
        (([1.0, 0.5, 0.0], {}), ([-0.5, 0.5, 0.0], {}), [0.25, 0.5, 0.0]),
        # weights of 0.5, 0.5, 0 and 0, 0.25, 0
        (([1.0, 1.0, 0.0], WEIGHTS), ([-1.0, 0.25, 0.0], WEIGHTS), [0.25, 0.375, 0.0]),
        # ways of 1 and 0.25: (0.5 + 0.25) / 1.25 and 0.5 / 1.25
        (
            ([0.5, 0.5, 0.0], WEIGHTS),
            ([1.0, 0.0, 0.0], {**WEIGHTS, "trade_rate": 0.25}),
            [0.6, 0.4, 0.0],
        ),
        # a third is added to each, which leaves 1/3, 0, 1/3; 0.8 is cut off at 0.5
        (
            ([0.0, -0.75, 0.0], {**WEIGHTS, "zero_action": "equal_weights"}),
            ([0.8, 0.0, 0.0], {**WEIGHTS, "max_weight": 0.5}),
            [5 / 12, 0.0, 1 / 6],
        ),
        # -1 and 1 are -0.5 and 0.5
        (
            ([-1.0, 1.0, 0.0], {**WEIGHTS, "short": True}),
            ([0.5, 0.25, 0.0], {**WEIGHTS, "short": True}),
            [0.0, 0.375, 0.0],
        ),
    ],
)
def test_worked_numbers(one: Any, other: Any, expected: Any, tmp_path: Path) -> None:
    model, file = EnsembleModel([constant(*one), constant(*other)]), tmp_path / ONNX_FILE
    assert export_onnx(model, file) <= TOLERANCE
    found = acted(file, {"observation": np.zeros((2, SIZE))})
    np.testing.assert_allclose(found, [expected] * 2, rtol=0.0, atol=1e-7)


@pytest.mark.parametrize("options", [{}, WEIGHTS, {**WEIGHTS, "short": True}, PORTFOLIO])
def test_each_member_has_its_own_normalisation(options: Any, tmp_path: Path) -> None:
    members = [
        member(options, normalize=True, seed=1),
        member(options, made=SAC, normalize=True, seed=2),
        member(options, made=A2C, seed=3),
    ]
    model, file = EnsembleModel(members), tmp_path / ONNX_FILE
    assert export_onnx(model, file, facts={"tickers": ["A", "B", "C"]}) <= TOLERANCE
    found = assert_acts_alike(model, file, {"observation": (SIZE, 1)})
    if options:  # weights
        assert (np.abs(found).sum(axis=1) <= 1.0 + 1e-9).all()
    told = told_of(file)
    assert json.loads(told["tickers"]) == ["A", "B", "C"]
    own = json.loads(told["members"])
    assert [one["normalised_inside"] for one in own] == [True, True, False]
    assert [one["algorithm"] for one in own] == ["PPO", "SAC", "A2C"]


def test_members_that_see_different_things_have_an_input_each(tmp_path: Path) -> None:
    quick = {**WEIGHTS, "zero_action": "equal_weights", "max_weight": 0.4}
    members = [
        member(quick, policy=PerTickerPolicy, normalize=True, view="observation_1"),
        member({**WEIGHTS, "trade_rate": 0.3}, size=6, view="observation_2", seed=1),
        member({**WEIGHTS, "trade_rate": 0.3}, size=6, frames=3, view="observation_2", seed=2),
    ]
    model, file = EnsembleModel(members), tmp_path / ONNX_FILE
    assert export_onnx(model, file) <= TOLERANCE
    assert_acts_alike(model, file, {"observation_1": (SIZE, 1), "observation_2": (6, 3)})
    told = told_of(file)
    assert [one["input"] for one in json.loads(told["members"])] == [
        "observation_1",
        "observation_2",
        "observation_2",
    ]
    account = json.loads(told["account"])
    assert account["trade_rate"] == pytest.approx(1.6 / 3)
    assert account["max_weight"] == 1.0
    assert account["no_trade_band"] == pytest.approx(0.03)  # the default of three tickers


def test_stacks_of_different_lengths_of_the_same(tmp_path: Path) -> None:
    """Normalised before they are stacked, and not at all: what is missing is 0 for the policy."""
    members = [
        member({}, frames=3, normalize=True),
        member({}, frames=2, seed=1),
        member({}, normalize=True, seed=2),
    ]
    model, file = EnsembleModel(members), tmp_path / ONNX_FILE
    assert export_onnx(model, file) <= TOLERANCE
    assert_acts_alike(model, file, {"observation": (SIZE, 3)})


@pytest.mark.parametrize("kind", ["per_ticker", "product"])
@pytest.mark.parametrize("options", [{}, {**WEIGHTS, "zero_action": "equal_weights"}])
def test_choices_are_what_they_stand_for(options: Any, kind: str, tmp_path: Path) -> None:
    own = {**options, "discrete_actions": kind}
    members = [member(own, seed=seed, normalize=seed > 0) for seed in range(3)]
    model, file = EnsembleModel(members), tmp_path / ONNX_FILE
    assert export_onnx(model, file) <= TOLERANCE
    assert_acts_alike(model, file, {"observation": (SIZE, 1)})


@pytest.mark.parametrize("actions", [spaces.Discrete(4), spaces.MultiDiscrete([3, 4])])
def test_choices_in_an_env_of_ones_own_are_voted_for(actions: Any, tmp_path: Path) -> None:
    members = []
    for seed in range(3):
        env = DummyVecEnv([lambda: Shown(SIZE, actions)])
        made = PPO("MlpPolicy", env, seed=seed)
        with th.no_grad():
            made.policy.action_net.weight *= 60.0
        members.append(Member(model=made, env=EnvConfig()))
    model, file = EnsembleModel(members), tmp_path / ONNX_FILE
    assert export_onnx(model, file, env=DummyVecEnv([lambda: Shown(SIZE, actions)])) == 0.0
    assert_acts_alike(model, file, {"observation": (SIZE, 1)})


def test_a_member_that_does_more_than_its_layers_is_found_out(tmp_path: Path) -> None:
    members = [member(WEIGHTS), member(WEIGHTS, seed=1)]
    own: Any = members[1].model
    predict = own.predict
    own.predict = lambda *given, **more: (0.9 * predict(*given, **more)[0], None)
    with pytest.raises(ConfigError, match=r"ensemble gives actions that differ from its members'"):
        export_onnx(EnsembleModel(members), tmp_path / ONNX_FILE)
    assert not (tmp_path / ONNX_FILE).exists()


def test_a_member_of_another_kind_is_refused(tmp_path: Path) -> None:
    class Doubled(th.nn.Tanh):
        """A layer of somebody's own."""

    other = member({})
    other.model.policy.mlp_extractor.policy_net.append(Doubled())  # type: ignore[union-attr]  # SB3's
    with pytest.raises(ConfigError, match=r"its policy has a layer Doubled"):
        export_onnx(EnsembleModel([member({}), other]), tmp_path / ONNX_FILE)


MEMBERS = (
    ({**WEIGHTS, "observation_scaling": "train"}, {}, {}),
    (
        {**WEIGHTS, "observation": "stationary", "return_horizons": (1, 3), "trade_rate": 0.5},
        {"normalize": True, "n_stack": 2},
        {"data.features": ["swing"]},
    ),
)


def test_a_deployed_ensemble_in_its_env(tmp_path: Path) -> None:
    """Fed with what the env of its account shows, the file does what the agent does."""
    whole, frame = experiment(env=WEIGHTS), price_frame()
    market = market_data_of(frame, whole.data)[0]
    trained, members, scalings = market.rows(0, TRAINED_ROWS), [], {}
    for number, (env, agent, sample) in enumerate(MEMBERS, start=1):
        config, rows = experiment(env=env, agent=agent), market_of_sample(trained, sample)
        view = f"observation_{number}"
        scalings[view] = fitted_scaling(config.env, rows)
        file = tmp_path / view / "model.zip"
        file.parent.mkdir()
        fitted = resolve_sample({}, config.agent)
        save_model(train_on(fitted, config, rows, scalings[view], number), file)
        about = {"algorithm": "ppo", "env": config.env, "normalized": bool(agent), "view": view}
        one = SavedMember(**about, file="", sha256="", trial=number, rank=number, sample=sample)
        members.append((one, file))
    save_ensemble(tmp_path / "best", members, {})
    kept = {view: scaling for view, scaling in scalings.items() if scaling is not None}
    given = {"config": whole, "bars": frame, "trained": trained, "scalings": kept}
    folder = write_agent(tmp_path / "agent", model=tmp_path / "best", **given)
    file = tmp_path / ONNX_FILE
    assert export_agent(folder, file) <= TOLERANCE
    told = told_of(file)
    assert json.loads(told["features_by_input"])["observation_2"] == ["swing"]
    assert json.loads(told["compared_on"]) > 256 + 40

    agent = load_agent(folder)
    acting: Any = make_acting_env(agent.folder, market.rows(TRAINED_ROWS - 1, market.n_periods))
    shown, state, start = acting.reset(), None, np.ones(1, dtype=bool)
    width = shown["observation_2"].shape[1]
    stack, traded = np.full((1, 2 * width), np.nan), 0
    for _ in range(15):
        stack = np.hstack([stack[:, width:], shown["observation_2"]])
        action, state = agent.model.predict(shown, state, start, deterministic=True)
        rows_shown = {"observation_1": shown["observation_1"], "observation_2": stack}
        found = acted(file, rows_shown)
        np.testing.assert_allclose(found, action, rtol=0.0, atol=TOLERANCE)
        traded += int(np.any(action))
        shown, *_ = acting.step(action)
        start = np.zeros(1, dtype=bool)
    assert traded
