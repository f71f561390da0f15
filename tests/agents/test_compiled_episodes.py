"""Evaluations in compiled code are those of stock SB3's model, step by step, bit for bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from bit_equality import assert_equal_bits
from env_markets import random_market
from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecMonitor, VecNormalize

from finrl_ray.agents import rollout
from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.rollout import evaluate_episodes
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.learners.forward import policy as forward
from finrl_ray.learners.forward.library import torch_functions
from finrl_ray.learners.vec_normalize import LeanVecNormalize

needs_mkl = pytest.mark.skipif(torch_functions() is None, reason="torch has no MKL here")
STOCK: dict[str, type[BaseAlgorithm]] = {
    "ppo": PPO,
    "a2c": A2C,
    "sac": SAC,
    "td3": TD3,
    "ddpg": DDPG,
}
WEIGHTS = {"action": "target_weights", "observation": "stationary", "zero_action": "equal_weights"}
LIMITS = {"stop_loss": 0.9, "cooldown": 2, "turbulence_threshold": 80.0}
CASES: dict[str, tuple[str, str, int, bool, dict[str, Any]]] = {
    "ppo, orders": ("ppo", "MlpPolicy", 1, False, {}),
    "ppo, three accounts, normalised": ("ppo", "MlpPolicy", 3, True, {"random_start": True}),
    "a2c, one network for all tickers": ("a2c", "PerTickerPolicy", 1, False, WEIGHTS),
    "sac, weights, normalised": ("sac", "MlpPolicy", 1, True, WEIGHTS),
    "td3, two accounts, limits, normalised": ("td3", "MlpPolicy", 2, True, LIMITS),
    "ddpg, the dummy step": ("ddpg", "MlpPolicy", 1, True, {"time_limit": "dummy_step"}),
}


def market() -> MarketData:
    return random_market(60, halts=0.1)


def env_of(options: dict[str, Any], n_envs: int = 1) -> StockTradingVecEnv:
    env = StockTradingVecEnv(market(), n_envs, initial_amount=2e4, **options)
    env.seed(4)
    return env


def trained(algorithm: str, policy: str, n_envs: int, normalized: bool, options: Any) -> Any:
    env: VecEnv = env_of(options, n_envs)
    if normalized:
        env = LeanVecNormalize(env)
    kwargs: dict[str, Any] = {"learning_starts": 44, "buffer_size": 200, "batch_size": 16}
    if algorithm in ("ppo", "a2c"):
        kwargs = {"n_steps": 16, **({"batch_size": 16} if algorithm == "ppo" else {})}
    model = DRLAgent(env).get_model(
        algorithm, policy, {"net_arch": [16, 12]}, kwargs, verbose=0, seed=1
    )
    DRLAgent.train_model(model, "run", total_timesteps=48)
    with th.no_grad():
        for parameter in model.policy.parameters():
            parameter += 0.1 * th.randn(parameter.shape)
    return model


def stepped(
    model: BaseAlgorithm, env: VecEnv, n_episodes: int
) -> list[tuple[int, float, int, Any]]:
    """SB3's own loop: what each of so many episodes of the first accounts came to."""
    rewards, lengths = np.zeros(env.num_envs), np.zeros(env.num_envs, dtype=int)
    found: list[tuple[int, float, int, Any]] = []
    seen = env.reset()
    while len(found) < n_episodes:
        actions, _ = BaseAlgorithm.predict(model, seen, deterministic=True)
        seen, paid, dones, infos = env.step(actions)
        rewards += paid
        lengths += 1
        for index in np.flatnonzero(dones):
            history = infos[index]["account_history"]
            found.append((int(index), float(rewards[index]), int(lengths[index]), history))
            rewards[index], lengths[index] = 0.0, 0
    return found


@pytest.fixture
def compiled_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where an evaluation takes a single step."""

    def refuse(*_: Any) -> Any:
        pytest.fail("a single step was taken")

    monkeypatch.setattr(rollout._Steps, "_step", refuse)


@needs_mkl
@pytest.mark.usefixtures("compiled_only")
@pytest.mark.parametrize("name", CASES)
def test_episodes_are_those_of_stock_sb3(name: str, tmp_path: Path) -> None:
    algorithm, _, n_envs, normalized, options = CASES[name]
    model = trained(*CASES[name])
    model.save(tmp_path / "model.zip")
    stock = STOCK[algorithm].load(tmp_path / "model.zip", device="cpu")
    assert type(stock) is STOCK[algorithm]
    there: VecEnv = env_of(options, n_envs)
    if normalized:
        model.get_vec_normalize_env().save(str(tmp_path / "statistics.pkl"))
        there = VecNormalize.load(str(tmp_path / "statistics.pkl"), there)
        there.training = there.norm_reward = False
    expected = stepped(stock, there, 2 * n_envs)
    here: list[tuple[Any, VecEnv]] = [(model, env_of(options, n_envs))]
    if normalized:
        other = VecNormalize.load(str(tmp_path / "statistics.pkl"), env_of(options, n_envs))
        here.append((stock, other))
    else:
        here.append((stock, env_of(options, n_envs)))
    for tried, env in here:
        episodes = evaluate_episodes(tried, env, 2 * n_envs)
        assert len(episodes) == len(expected)
        for episode, (index, reward, length, history) in zip(episodes, expected, strict=True):
            assert (episode.env_index, episode.length) == (index, length)
            assert episode.reward == reward
            assert episode.history is not None
            for field in ("account_value", "cash", "cost", "trades", "rewards"):
                assert_equal_bits(getattr(episode.history, field), getattr(history, field))
            assert np.abs(history.trades).sum() > 0, "an account that stands still shows nothing"
        same = "random_start" not in options
        assert (len({episode.checksum for episode in episodes}) == 1) == same


@needs_mkl
@pytest.mark.usefixtures("compiled_only")
@pytest.mark.parametrize("options", [{}, {"time_limit": "dummy_step"}], ids=str)
def test_finrls_single_env_is_run_whole_too(options: dict[str, Any]) -> None:
    model = trained(*CASES["ppo, orders"])
    env = StockTradingEnv(market(), initial_amount=2e4, **options)
    ((_, reward, length, history),) = stepped(model, env_of(options), 1)
    account, actions = DRLAgent.DRL_prediction(model, env)
    assert_equal_bits(account["account_value"].to_numpy(), history.account_value)
    assert_equal_bits(actions.to_numpy().astype(float), history.trades)
    episode = evaluate_episodes(model, DummyVecEnv([lambda: env]))[0]
    assert (episode.reward, episode.length) == (reward, length)


@needs_mkl
def test_more_days_than_are_kept_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained(*CASES["ppo, orders"])
    whole = evaluate_episodes(model, env_of({}), 2)
    monkeypatch.setattr("finrl_ray.agents.compiled_episodes._MOST_NUMBERS", 70)
    in_parts = evaluate_episodes(model, env_of({}), 2)
    for one, other in zip(whole, in_parts, strict=True):
        assert (one.reward, one.length, one.checksum) == (
            other.reward,
            other.length,
            other.checksum,
        )
        assert_equal_bits(one.history.account_value, other.history.account_value)  # type: ignore[union-attr]


@pytest.mark.parametrize("why", ["other bits", "no MKL", "a monitor", "argsort"])
def test_where_single_steps_are_needed_they_are_taken(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"parity": True} if why == "argsort" else {}
    model = trained("ppo", "MlpPolicy", 1, False, options)
    expected = stepped(model, env_of(options), 1)[0]
    steps: list[int] = []
    single = rollout._Steps._step
    monkeypatch.setattr(
        rollout._Steps, "_step", lambda *given: (steps.append(1), single(*given))[1]
    )
    monkeypatch.setattr(forward, "_agreed", {})
    monkeypatch.setattr(forward, "_forwards", {})
    env: VecEnv = env_of(options)
    if why == "other bits":
        monkeypatch.setattr(
            forward, "best_by_torch", lambda *given: np.zeros((1, 3), dtype=np.float32)
        )
    elif why == "no MKL":
        monkeypatch.setattr(forward, "torch_functions", lambda: None)
    elif why == "a monitor":
        env = VecMonitor(env)
    episode = evaluate_episodes(model, env)[0]
    assert len(steps) == episode.length == expected[2]
    assert_equal_bits(episode.history.account_value, expected[3].account_value)  # type: ignore[union-attr]


def test_nan_is_sb3s_error() -> None:
    model = trained(*CASES["ppo, orders"])
    with th.no_grad():
        model.policy.action_net.bias[0] = float("nan")
    with pytest.raises(ValueError, match="Expected parameter loc"):
        evaluate_episodes(model, env_of({}))


@needs_mkl
def test_a_policy_that_comes_to_other_bits_later_is_left_to_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = trained(*CASES["ppo, orders"])
    monkeypatch.setattr(forward, "_agreed", {})
    env = env_of({})
    expected = evaluate_episodes(model, env_of({}))[0]
    wrong = np.zeros((1, 3), dtype=np.float32)
    monkeypatch.setattr("finrl_ray.agents.compiled_episodes.best_by_torch", lambda *_: wrong)
    episode = evaluate_episodes(model, env)[0]
    assert_equal_bits(episode.history.account_value, expected.history.account_value)  # type: ignore[union-attr]
    assert set(forward._agreed.values()) == {0}
