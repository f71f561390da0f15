"""Each rule that mends FinRL, in both settings."""

import numpy as np
import pytest
from env_markets import finrl_frame, hand_market, random_market

from finrl_ray.config.env import EnvConfig
from finrl_ray.env.rules import FINRL_RULES, TradingRules
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.errors import ConfigError


def play(env, actions):
    env.reset()
    return [env.step(np.array(action, dtype=np.float64)) for action in actions]


FLAT = [[10.0, 10.0]] * 3


def test_defaults_come_from_the_config():
    config, rules = EnvConfig(), TradingRules()
    names = ("fill", "fractional_shares", "random_start")
    assert all(getattr(config, name) == getattr(rules, name) for name in names)


def test_parity_is_a_preset_that_single_rules_override():
    assert TradingRules.from_options({}, parity=True) == FINRL_RULES
    rules = TradingRules.from_options({"time_limit": "truncate"}, parity=True)
    assert (rules.time_limit, rules.halt) == ("truncate", "first_indicator")


def test_unknown_options_are_errors():
    with pytest.raises(TypeError, match="Did you mean 'fill'"):
        StockTradingEnv(random_market(), fil="close")
    with pytest.raises(ConfigError, match="fill must be one of 'close', 'next_open', got 'open'"):
        StockTradingEnv(random_market(), fill="open")


@pytest.mark.parametrize(
    "option", [{"fill": "next_open"}, {"fractional_shares": True}, {"random_start": True}]
)
def test_parity_has_no_such_options(option):
    with pytest.raises(ConfigError, match="parity=True reproduces FinRL"):
        StockTradingEnv(random_market(), parity=True, **option)


def test_time_limit_truncates():
    results = play(StockTradingEnv(hand_market([[10.0], [11.0], [12.0]])), [[1.0], [1.0]])
    assert [result[2:4] for result in results] == [(False, False), (False, True)]


def test_stepping_past_the_end_is_an_error():
    env = StockTradingEnv(hand_market([[10.0], [11.0]]))
    play(env, [[1.0]])
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(np.zeros(1))


def test_dummy_step_repeats_the_reward_and_terminates():
    env = StockTradingEnv(
        hand_market([[10.0], [11.0], [13.0]]),
        hmax=1,
        reward_scaling=1.0,
        buy_cost_pct=0.0,
        time_limit="dummy_step",
    )
    results = play(env, [[1.0], [0.0], [1.0]])
    assert [result[1:4] for result in results] == [
        (1.0, False, False),
        (2.0, False, False),
        (2.0, True, False),
    ]
    assert np.array_equal(results[2][0], results[1][0])
    assert len(env.asset_memory) == 3
    assert len(results[2][4]["account_history"].rewards) == 2


def halted_env(halt):
    flags = np.zeros((3, 2, 1))
    flags[0, 0, 0] = 1.0
    tradable = [[1, 0], [1, 1], [1, 1]]
    market = hand_market(FLAT, features=flags, feature_names=("flag",), tradable=tradable)
    return StockTradingEnv(market, hmax=2, halt=halt)


@pytest.mark.parametrize(
    ("halt", "first"), [("tradable_mask", [2, 0]), ("first_indicator", [0, 2])]
)
def test_halts(halt, first):
    env = halted_env(halt)
    play(env, [[1.0, 1.0], [1.0, 1.0]])
    assert env.account_history.trades.tolist() == [first, [2, 2]]


def test_finrl_liquidation_ignores_its_halt_flag():
    flags = np.ones((3, 2, 1))
    market = hand_market(FLAT, features=flags, feature_names=("flag",), risk=[0.0, 9.0, 0.0])
    env = StockTradingEnv(
        market, num_stock_shares=[3, 0], turbulence_threshold=5.0, halt="first_indicator"
    )
    play(env, [[-1.0, 1.0], [0.0, 0.0]])
    assert env.account_history.trades.tolist() == [[0, 0], [-3, 0]]


def test_start_at_day():
    market = hand_market([[10.0], [11.0], [12.0], [13.0]])
    env = StockTradingEnv(market, day=2)
    assert env.day == 2
    env.reset()
    assert env.day == 2
    env = StockTradingEnv(market, day=2, start_at_day=False)
    assert env.day == 2
    env.reset()
    assert env.day == 0


def test_empty_trades():
    market = hand_market(FLAT)
    for count, expected in ((False, 1), (True, 2)):
        env = StockTradingEnv(market, hmax=5, initial_amount=55.0, count_empty_trades=count)
        play(env, [[1.0, 0.8]])
        assert env.trades == expected


def test_initial_shares_of_a_single_ticker():
    market = hand_market([[10.0], [11.0]])
    env = StockTradingEnv(market, initial_amount=100.0, num_stock_shares=[3])
    play(env, [[0.0]])
    assert env.asset_memory == [130.0, 133.0]
    env = StockTradingEnv(
        market, initial_amount=100.0, num_stock_shares=[3], single_ticker_shares=False,
        clean_data=False,
    )  # fmt: skip
    play(env, [[0.0]])
    assert env.asset_memory == [130.0, 100.0]


def test_ties_go_to_the_ticker_listed_first():
    market = hand_market([[10.0] * 4] * 2)
    env = StockTradingEnv(market, hmax=5, initial_amount=75.0, buy_cost_pct=0.0)
    play(env, [[1.0] * 4])
    assert env.account_history.trades.tolist() == [[5, 2, 0, 0]]
    env = StockTradingEnv(market, hmax=5, initial_amount=75.0, buy_cost_pct=0.0, ties="argsort")
    play(env, [[1.0] * 4])
    order = np.argsort(np.full(4, 5))[::-1]
    assert env.account_history.trades[0, order].tolist() == [5, 2, 0, 0]


def test_zero_prices_of_a_frame():
    frame = finrl_frame(hand_market([[10.0, 20.0], [10.0, 20.0], [12.0, 20.0]]))
    frame.loc[(frame.index == 1) & (frame["tic"] == "A"), "close"] = 0.0
    options = {"tech_indicator_list": [], "hmax": 5, "buy_cost_pct": 0.0, "initial_amount": 1000.0}
    actions = [[1.0, 0.2], [1.0, 0.0]]
    env = StockTradingEnv(frame, **options)
    play(env, actions)
    assert env.account_history.trades.tolist() == [[5, 1], [0, 0]]
    assert env.asset_memory == [1000.0, 1000.0, 1010.0]
    env = StockTradingEnv(frame, **options, parity=True)
    play(env, actions)
    # five shares for nothing
    assert env.account_history.trades.tolist() == [[5, 1], [5, 0]]
    assert env.asset_memory == [1000.0, 950.0, 1070.0]


def test_random_starts_are_seeded_and_in_the_first_half():
    env = StockTradingEnv(random_market(20), random_start=True)
    env.reset(seed=3)
    first = [env.day]
    for _ in range(60):
        env.reset()
        first.append(env.day)
    env.reset(seed=3)
    second = [env.day]
    for _ in range(60):
        env.reset()
        second.append(env.day)
    assert first == second
    assert set(first) == set(range(10))


def test_start_row_option():
    env = StockTradingEnv(random_market(20), random_start=True)
    observation, _ = env.reset(options={"start_row": 17})
    assert env.day == 17
    assert np.array_equal(observation, np.array(env.state, dtype=np.float32))
    with pytest.raises(ConfigError, match=r"start_row must be within 0..18, got 19"):
        env.reset(options={"start_row": 19})
    with pytest.raises(ConfigError, match="reset options are"):
        env.reset(options={"row": 3})
