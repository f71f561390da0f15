"""FinRL's numbers: worked by hand, from stored trajectories, and from FinRL's own env."""

import contextlib
import io

import numpy as np
import pandas as pd
import pytest
from env_markets import finrl_frame, hand_market, random_market
from repository import SHARED

from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.errors import DataError

INDICATORS = [
    "macd", "boll_ub", "boll_lb", "rsi_30", "cci_30", "dx_30", "close_30_sma", "close_60_sma",
]  # fmt: skip


def finrl_arguments(frame, indicators, **changed):
    n = frame["tic"].nunique()
    return {
        "df": frame,
        "stock_dim": n,
        "hmax": 100,
        "initial_amount": 1_000_000,
        "num_stock_shares": [0] * n,
        "buy_cost_pct": [0.001] * n,
        "sell_cost_pct": [0.001] * n,
        "reward_scaling": 1e-4,
        "state_space": 1 + 2 * n + len(indicators) * n,
        "action_space": n,
        "tech_indicator_list": indicators,
        **changed,
    }


def test_a_finrl_episode_by_hand():
    market = hand_market(
        [[10.0, 20.0], [11.0, 19.0], [12.0, 18.0], [13.0, 17.0]],
        features=[[[0.0], [5.0]], [[1.0], [6.0]], [[0.0], [7.0]], [[0.0], [8.0]]],
        feature_names=("flag",),
        risk=[99.0, 0.0, 50.0, 0.0],
    )
    arguments = finrl_arguments(
        finrl_frame(market),
        ["flag"],
        hmax=10,
        initial_amount=250,
        buy_cost_pct=[0.1, 0.0],
        sell_cost_pct=[0.0, 0.5],
        turbulence_threshold=50.0,
        num_stock_shares=[0, 1],
    )
    # in FinRL's order, as its users may pass them
    env = StockTradingEnv(*arguments.values(), day=2, parity=True)
    observation, info = env.reset()
    assert observation.tolist() == [250, 10, 20, 0, 1, 0, 5]
    assert (info, env.day, env.turbulence) == ({}, 0, 0.0)
    # day 0: turbulence does not count; 10 of B at 20 first, then 50 // 11 = 4 of A
    actions = np.array([[0.99, 1.0], [1.0, -0.3], [1.0, 1.0], [1.0, 1.0]], dtype=np.float32)
    results = [env.step(action) for action in actions]
    # day 1: A is halted by its flag, 3 of B are sold at 19 less half; day 2: all is sold
    day_1 = 6.0 + 4 * 11 + 11 * 19
    cash_1 = 6.0 + 3 * 19 * 0.5
    day_2 = cash_1 + 4 * 12 + 8 * 18
    cash_2 = cash_1 + 4 * 12 + 8 * 18 * 0.5
    assert env.asset_memory == pytest.approx([270.0, day_1, day_2, cash_2])
    rewards = np.diff([270.0, day_1, day_2, cash_2]) * 1e-4
    assert [result[1] for result in results] == pytest.approx([*rewards, rewards[-1]])
    assert [result[2:4] for result in results] == [(False, False)] * 3 + [(True, False)]
    assert np.array(env.actions_memory).tolist() == [[4, 10], [0, -3], [-4, -8]]
    assert env.cost == pytest.approx(4 * 10 * 0.1 + 3 * 19 * 0.5 + 8 * 18 * 0.5)
    assert env.trades == 5
    assert env.date_memory == ["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04"]
    assert env.turbulence == 0.0


def test_buys_without_cash_are_counted():
    frame = finrl_frame(random_market(5))
    env = StockTradingEnv(**finrl_arguments(frame, ["feature_0"], initial_amount=1), parity=True)
    env.reset()
    for _ in range(4):
        env.step(np.ones(3))
    assert env.trades == 12
    assert env.cost == 0.0


def test_chaining_by_previous_state():
    frame = finrl_frame(random_market(6))
    arguments = finrl_arguments(frame, ["feature_0", "feature_1"])
    first = StockTradingEnv(**arguments, parity=True)
    first.reset()
    for _ in range(5):
        first.step(np.array([1.0, 0.5, 0.2]))
    last_state = first.render()
    second = StockTradingEnv(**arguments, initial=False, previous_state=last_state, parity=True)
    second.reset()
    assert second.state[0] == last_state[0]
    assert second.state[4:7] == last_state[4:7]
    prices = second.state[1:4]
    held = last_state[4:7]
    value = last_state[0] + sum(p * h for p, h in zip(prices, held, strict=True))
    assert second.asset_memory == [value]


def test_rows_keep_the_order_of_the_frame():
    frame = finrl_frame(random_market(5)).sort_values(["date", "tic"], ascending=[True, False])
    env = StockTradingEnv(**finrl_arguments(frame, ["feature_0"]), parity=True)
    assert env.state[1:4] == frame["close"].head(3).tolist()
    env.reset()
    env.step(np.ones(3))
    assert list(env.save_action_memory().columns) == ["T02", "T01", "T00"]


def test_risk_is_the_first_row_of_the_day():
    frame = finrl_frame(random_market(5))
    frame["turbulence"] = np.arange(15.0)
    env = StockTradingEnv(
        **finrl_arguments(frame, ["feature_0"]), turbulence_threshold=1e9, parity=True
    )
    env.reset()
    env.step(np.zeros(3))
    assert env.turbulence == 3.0


def test_division_by_a_zero_price_is_a_data_error():
    frame = finrl_frame(hand_market([[10.0, 20.0], [11.0, 21.0]]))
    frame.iloc[0, frame.columns.get_loc("close")] = 0.0
    env = StockTradingEnv(**finrl_arguments(frame, []), parity=True)
    env.reset()
    with pytest.raises(DataError, match="A has a price of 0 on 2020-01-01"):
        env.step(np.array([1.0, 0.0]))


def test_default_rules_equal_finrl_where_no_quirk_bites():
    frame = finrl_frame(random_market(40, 5, 3, seed=4))
    names = ["feature_0", "feature_1", "feature_2"]
    arguments = finrl_arguments(frame, names, initial_amount=20_000)
    rng = np.random.default_rng(5)
    actions = (rng.permuted(np.tile(np.arange(-2, 3), (39, 1)), axis=1) / 4).astype(np.float32)
    envs = [StockTradingEnv(**arguments, parity=parity) for parity in (False, True)]
    for env in envs:
        env.reset()
    for action in actions:
        mended, finrl = (env.step(action) for env in envs)
        assert np.array_equal(mended[0], finrl[0])
        assert mended[1] == finrl[1]
    assert envs[0].asset_memory == envs[1].asset_memory
    assert mended[2:4] == (False, True)
    assert finrl[2:4] == (False, False)


@pytest.mark.parametrize("case", ["dow_default", "dow_turbulence", "dow_single"])
def test_stored_trajectories(case):
    path = SHARED / "parity" / f"{case}.npz"
    if not path.exists():
        pytest.skip("the recorded trajectories are not here")
    stored = np.load(path)
    frame = pd.read_parquet(SHARED / "data" / "dow30_2020_2021_indicators.parquet")
    if case == "dow_single":
        frame = frame[frame["tic"] == "AAPL"]
    frame = frame.sort_values(["date", "tic"])
    frame.index = frame["date"].factorize()[0]
    threshold = 60.0 if case == "dow_turbulence" else None
    env = StockTradingEnv(
        **finrl_arguments(frame, INDICATORS, turbulence_threshold=threshold), parity=True
    )
    env.reset()
    sums, results = [sum(env.state)], []
    for action in stored["actions"]:
        results.append(env.step(action))
        sums.append(sum(env.state))
    np.testing.assert_array_equal([result[1] for result in results], stored["rew"])
    np.testing.assert_array_equal([result[2] for result in results], stored["done"])
    np.testing.assert_array_equal(env.asset_memory, stored["assets"])
    np.testing.assert_array_equal(env.actions_memory, stored["taken"])
    np.testing.assert_allclose(sums, stored["obs_sum"], rtol=1e-12)
    np.testing.assert_array_equal(results[-1][0], stored["obs_last"].astype(np.float32))
    assert env.date_memory == stored["dates"].tolist()
    assert (env.cost, env.trades) == (stored["cost"], stored["trades"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_finrl_itself(seed):
    module = pytest.importorskip("finrl.meta.env_stock_trading.env_stocktrading")
    rng = np.random.default_rng(seed)
    n = int(rng.choice([1, 3, 29]))
    frame = finrl_frame(random_market(int(rng.integers(4, 25)), n, 2, seed=seed))
    if seed % 3 == 0:
        frame["feature_0"] = rng.integers(0, 2, len(frame)).astype(float)
    arguments = finrl_arguments(
        frame,
        ["feature_0", "feature_1"],
        hmax=int(rng.choice([1, 10, 100, 1000])),
        initial_amount=int(rng.choice([1_000, 100_000])),
        num_stock_shares=rng.integers(0, 9, n).tolist(),
        buy_cost_pct=rng.choice([0.0, 0.001, 0.02], n).tolist(),
        sell_cost_pct=rng.choice([0.0, 0.001, 0.02], n).tolist(),
        turbulence_threshold=None if seed % 2 else 60.0,
    )
    theirs, ours = module.StockTradingEnv(**arguments), StockTradingEnv(**arguments, parity=True)
    compare_episode(theirs, ours, rng)
    chained = {**arguments, "initial": False}
    compare_episode(
        module.StockTradingEnv(**chained, previous_state=theirs.render()),
        StockTradingEnv(**chained, previous_state=ours.render(), parity=True),
        rng,
    )


def compare_episode(theirs, ours, rng):
    state, _ = theirs.reset()
    observation, _ = ours.reset()
    np.testing.assert_array_equal(np.array(state, dtype=np.float32), observation)
    done = False
    while not done:
        # coarse actions tie often
        action = (rng.integers(-4, 5, len(ours.num_stock_shares)) / 4).astype(np.float32)
        with contextlib.redirect_stdout(io.StringIO()):
            state, reward, done, _, _ = theirs.step(action.copy())
        result = ours.step(action)
        np.testing.assert_array_equal(np.array(state, dtype=np.float64), ours.state)
        assert result[1:3] == (reward, done)
    assert ours.asset_memory == [float(value) for value in theirs.asset_memory]
    np.testing.assert_array_equal(ours.actions_memory, theirs.actions_memory)
    assert (ours.cost, ours.trades) == (theirs.cost, theirs.trades)
    pd.testing.assert_frame_equal(ours.save_asset_memory(), theirs.save_asset_memory())
    pd.testing.assert_frame_equal(ours.save_action_memory(), theirs.save_action_memory())
