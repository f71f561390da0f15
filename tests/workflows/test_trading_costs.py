"""An account at other costs: worked by hand, and beside a second run in an env with these costs."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch as th
from own_envs import small_market, wandering_market

from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.account_history import AccountHistory
from finrl_ray.env.make import make_vec_env
from finrl_ray.errors import DataError
from finrl_ray.metrics.registry import performance_summary
from finrl_ray.workflows.costs_table import TradingCosts
from finrl_ray.workflows.trading_costs import SLIPPAGE, trading_costs

CLOSE = [[100.0], [110.0], [121.0], [110.0], [120.0]]


def config_of(env: EnvConfig) -> ExperimentConfig:
    return ExperimentConfig(env=env)


def scripted(market: MarketData, env: EnvConfig, actions: list[list[float]]) -> AccountHistory:
    """The account of an agent that does the same whatever it sees."""
    accounts = make_vec_env(market, env, training=False)
    accounts.reset()
    for action in [*actions, actions[-1]]:  # with parity one more, which changes nothing
        *_, ended, infos = accounts.step(np.array([action], dtype=np.float32))
        if ended[0]:
            break
    history: AccountHistory = infos[0]["account_history"]
    return history


def asked(market: MarketData, env: EnvConfig, actions: list[list[float]]) -> TradingCosts:
    def act(changes: Mapping[str, float]) -> AccountHistory:
        return scripted(market, dataclasses.replace(env, **changes), actions)

    history = act({})
    return trading_costs(config_of(env), market, history, act, periods_per_year=252.0)


def test_each_row_by_hand() -> None:
    env = EnvConfig(initial_amount=10_000.0, hmax=10, buy_cost_pct=0.01, sell_cost_pct=0.02)
    market = small_market(CLOSE)
    # 10 shares at 100, sold at 121
    found = asked(market, env, [[1.0], [0.0], [-1.0], [0.0]])
    assert [found.label(row) for row in found.rows] == [
        "1 x costs", "2 x costs", "3 x costs", "slippage 0.1"
    ]  # fmt: skip
    assert [row.buy_cost_pct for row in found.rows] == pytest.approx([0.01, 0.02, 0.03, 0.01])
    assert [row.sell_cost_pct for row in found.rows] == pytest.approx([0.02, 0.04, 0.06, 0.02])
    assert [row.volume_slippage for row in found.rows] == [0.0, 0.0, 0.0, SLIPPAGE]
    # 10 of a million shares at a slippage of 0.1 move the price by a millionth
    paid = [10.0 + 24.2, 20.0 + 48.4, 30.0 + 72.6, 10.0 + 24.2 + (1000 + 1210) * 1e-6]
    earned = [(210.0 - cost) / 10_000.0 for cost in paid]
    assert [row.agent["total_return"] for row in found.rows] == pytest.approx(earned, rel=1e-9)
    assert [row.cost_paid for row in found.rows] == pytest.approx(
        [cost / 10_000.0 for cost in paid], rel=1e-9
    )
    # buy & hold: whole shares at 101, 102, 103 and 101 and a little more
    shares = [99, 98, 97, 99]
    rates = [0.01, 0.02, 0.03, 0.01]
    slip = [0.0, 0.0, 0.0, 100.0 * 99**2 * 0.1 / 1e6]
    held = [
        (20.0 * n - 100.0 * n * rate - extra) / 10_000.0
        for n, rate, extra in zip(shares, rates, slip, strict=True)
    ]
    assert [row.held["total_return"] for row in found.rows] == pytest.approx(held, rel=1e-9)
    for row in found.rows:
        assert row.earnings.benchmark_return == pytest.approx(row.held["total_return"])
        assert row.earnings.total_return == pytest.approx(row.agent["total_return"])
    assert found.notes == ()


def test_turnover_holding_periods_and_capacity_by_hand() -> None:
    env = EnvConfig(initial_amount=10_000.0, hmax=10, buy_cost_pct=0.0, sell_cost_pct=0.0)
    market = small_market(CLOSE)
    volume = np.array([[200.0], [1.0], [100.0], [1.0], [1.0]])
    market = dataclasses.replace(market, volume=volume)
    found = asked(market, env, [[1.0], [0.0], [-1.0], [0.0]])
    assert found.holding is not None
    assert (found.holding.n_positions, found.holding.mean_days) == (1, 2.0)
    assert found.capacity is not None
    assert found.capacity.median_share == pytest.approx((0.05 + 0.1) / 2)
    assert found.capacity.worst_share == pytest.approx(0.1)
    assert found.capacity.worst_date == "2020-01-03"
    assert found.capacity.account_size(0.01, worst=True) == pytest.approx(1_000.0)
    values = [10_000.0, 10_100.0, 10_210.0, 10_210.0]
    moved = np.mean([1_000 / values[0], 0.0, 1_210 / values[2], 0.0]) * 252
    assert found.turnover == pytest.approx(moved)
    # nothing to multiply
    assert [found.label(row) for row in found.rows] == ["1 x costs", "slippage 0.1"]
    assert "sell_cost_pct are 0" in found.notes[0]


def test_orders_that_fill_at_the_next_open_count_beside_that_days_volume() -> None:
    env = EnvConfig(initial_amount=10_000.0, hmax=10, fill="next_open")
    volume = np.array([[1e6], [40.0], [1e6], [20.0], [1e6]])
    market = dataclasses.replace(small_market(CLOSE), volume=volume)
    found = asked(market, env, [[1.0], [0.0], [-1.0], [0.0]])
    assert found.capacity is not None
    assert found.capacity.worst_share == pytest.approx(0.5)
    assert found.capacity.median_share == pytest.approx((0.25 + 0.5) / 2)
    assert found.capacity.worst_date == "2020-01-04"


KINDS: dict[str, dict[str, Any]] = {
    "orders": {"hmax": 500},
    "next open": {"hmax": 500, "fill": "next_open"},
    "weights": {"action": "target_weights"},
    "short orders": {"short": True, "hmax": 500},
    "short weights": {"short": True, "action": "target_weights", "borrow_rate": 0.05},
    "choices": {"discrete_actions": "per_ticker", "hmax": 500},
    "with slippage": {"hmax": 500, "volume_slippage": 0.3},
    "portfolio": {"type": "portfolio", "covariance_lookback": 5},
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_each_row_is_a_second_run_in_an_env_with_these_costs(kind: str) -> None:
    env, market = EnvConfig(**KINDS[kind]), wandering_market()
    model = DRLAgent(make_vec_env(market, env)).get_model("ppo", seed=5)
    with th.no_grad():
        model.policy.action_net.weight *= 100.0  # an untrained policy hardly acts

    def act(changes: Mapping[str, float]) -> AccountHistory:
        changed = dataclasses.replace(env, **changes)
        (history,) = evaluate_account(model, make_vec_env(market, changed, training=False))
        return history

    own = act({})
    found = trading_costs(config_of(env), market, own, act, periods_per_year=252.0)
    slippage = [] if kind == "portfolio" else [0.0 if env.volume_slippage else SLIPPAGE]
    assert [row.multiple for row in found.rows] == [1.0, 2.0, 3.0, *(1.0 for _ in slippage)]
    assert [row.volume_slippage for row in found.rows[3:]] == slippage
    for row in found.rows:
        rates = {"buy_cost_pct": 0.001 * row.multiple, "sell_cost_pct": 0.001 * row.multiple}
        changed = dataclasses.replace(env, **rates, volume_slippage=row.volume_slippage)
        (history,) = evaluate_account(model, make_vec_env(market, changed, training=False))
        held = buy_and_hold(market, changed)
        agent = performance_summary(history.account_value, benchmark_value=held)
        assert {name: row.agent[name] for name in agent} == agent
        assert row.held["total_return"] == pytest.approx(held[-1] / held[0] - 1.0)
    returns = [row.agent["total_return"] for row in found.rows]
    assert len(set(returns)) == len(returns)
    assert [row.cost_paid for row in found.rows[:3]] == sorted(
        row.cost_paid for row in found.rows[:3]
    )
    assert found.holding is not None
    assert found.capacity is not None
    assert found.capacity.worst_share > 0.0
    np.testing.assert_equal(TradingCosts.from_dict(found.to_dict()).to_dict(), found.to_dict())


def test_data_without_volumes_says_so() -> None:
    market = small_market(CLOSE)
    market = dataclasses.replace(market, volume=np.full(market.close.shape, np.nan))
    found = asked(market, EnvConfig(hmax=10), [[1.0], [0.0], [-1.0], [0.0]])
    assert [row.multiple for row in found.rows] == [1.0, 2.0, 3.0]
    assert found.notes == (
        "the costs with slippage cannot be told: the data has no volume of any ticker",
        "capacity cannot be told: the data has no volume in this window",
    )
    assert found.holding is not None


def test_a_ticker_without_a_volume_is_named() -> None:
    market = wandering_market(8)
    volume = market.volume.copy()
    volume[:, 1] = np.nan
    market = dataclasses.replace(market, volume=volume)
    found = asked(market, EnvConfig(hmax=10), [[1.0, 1.0]] * 7)
    assert found.notes == ("the costs with slippage cannot be told: the data has no volume of BBB",)
    assert found.capacity is not None
    assert found.capacity.n_unknown == 7


def test_what_has_no_slippage_says_so() -> None:
    market = small_market(CLOSE)
    found = asked(market, EnvConfig(parity=True, hmax=10), [[1.0], [0.0], [-1.0], [0.0]])
    assert [row.multiple for row in found.rows] == [1.0, 2.0, 3.0]
    assert "env.parity reproduces FinRL, which has no slippage" in found.notes[0]


def test_costs_of_all_that_is_traded_are_left_out() -> None:
    market = small_market(CLOSE)
    env = EnvConfig(buy_cost_pct=0.4, sell_cost_pct=0.1, hmax=10)
    found = asked(market, env, [[1.0], [0.0], [-1.0], [0.0]])
    assert [row.multiple for row in found.rows] == [1.0, 2.0, 1.0]
    assert found.notes[0].startswith("3 times the costs cannot be told")


def told(account: dict[str, Any], env: EnvConfig, charged: bool = True) -> TradingCosts:
    """Ask about the account that an env of the user's says, in place of the env itself."""
    market = small_market(CLOSE)

    def act(changes: Mapping[str, float]) -> AccountHistory:
        if changes and account.get("fails"):
            raise DataError("no such costs")
        lost = 100.0 * changes.get("buy_cost_pct", 0.001) if charged else 0.0
        known = {name: account.get(name) for name in ("trades", "traded_amount", "cost", "cash")}
        return AccountHistory(
            dates=market.dates,
            tickers=market.tickers,
            account_value=np.array([1000.0, 1010.0, 1030.0, 1000.0, 1040.0]) - lost,
            rewards=np.zeros(4),
            n_trades=None,
            initial_amount=1000.0,
            **known,
        )

    return trading_costs(config_of(env), market, act({}), act, periods_per_year=252.0)


def test_an_env_of_the_users_without_costs_says_what_cannot_be_told() -> None:
    found = told({}, EnvConfig(class_="own_envs:ValueEnv"))
    assert [row.multiple for row in found.rows] == [1.0]
    assert math.isnan(found.rows[0].cost_paid)
    assert math.isnan(found.turnover)
    assert found.holding is found.capacity is None
    said = "; ".join(found.notes)
    assert "own_envs:ValueEnv has no parameters buy_cost_pct and sell_cost_pct" in said
    assert "the env's account has no trades" in said
    assert "turnover cannot be told" in said


TRADED = {
    "trades": np.array([[2.0], [0.0], [-2.0], [0.0]]),
    "traded_amount": np.array([200.0, 0.0, 242.0, 0.0]),
}


def test_an_env_of_the_users_with_costs_is_asked(tmp_path, monkeypatch) -> None:
    code = "def with_costs(prices, buy_cost_pct, sell_cost_pct): ..."
    (tmp_path / "costly_env.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    env = EnvConfig(class_="costly_env:with_costs")
    found = told(TRADED, env)
    assert [row.multiple for row in found.rows] == [1.0, 2.0, 3.0]
    (note,) = found.notes
    assert "costly_env:with_costs has no volume_slippage" in note
    assert found.holding is not None
    assert found.holding.mean_days == 2.0
    nothing = told(TRADED, env, charged=False)
    assert "trades and does not charge them" in nothing.notes[-1]
    failing = told({**TRADED, "fails": True}, env)
    assert [row.multiple for row in failing.rows] == [1.0]
    assert any("buy_cost_pct 0.003" in note and "no such costs" in note for note in failing.notes)
    unknown = told({**TRADED, "trades": np.full((4, 1), np.nan)}, env)
    assert unknown.holding is None
    assert "trades that are not finite" in "; ".join(unknown.notes)
