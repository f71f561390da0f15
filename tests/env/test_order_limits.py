"""Cash penalty, stop loss, lots and cool-down: numbers worked out by hand."""

import pickle

import numpy as np
import pytest
from env_markets import column, hand_market, random_market
from hypothesis import given, settings
from hypothesis import strategies as st

from finrl_ray.config.env import EnvConfig
from finrl_ray.env.kernel.order_rules import whole_lots
from finrl_ray.env.kernel.step import step_accounts
from finrl_ray.env.make import make_env
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError

ALL = {
    "stop_loss": 0.99,
    "profit_loss_ratio": 3.0,
    "lot_size": 5,
    "cooldown": 2,
    "cash_penalty_proportion": 0.3,
}


def env_on(close, **options):
    market_options = {k: options.pop(k) for k in ("open_", "tradable", "risk") if k in options}
    free = {"hmax": 10, "initial_amount": 1_000.0, "buy_cost_pct": 0.0, "sell_cost_pct": 0.0}
    env = StockTradingEnv(
        hand_market(close, **market_options), **{**free, "reward_scaling": 1.0, **options}
    )
    env.reset()
    return env


def play(env, actions):
    return [env.step(np.array(action, dtype=np.float64))[1] for action in actions]


# -- cash penalty ------------------------------------------------------------------------------


def test_the_cash_penalty_changes_the_reward_and_nothing_else():
    closes = column(10.0, 11.0, 12.0)
    plain, penalised = env_on(closes), env_on(closes, cash_penalty_proportion=0.95)
    actions = [[1.0], [-0.5]]
    assert play(plain, actions) == [10.0, 5.0]
    # after day 1: value 1010, cash 900, missing 0.95 * 1010 - 900; after day 2: cash 955 of 1015
    assert play(penalised, actions) == [
        pytest.approx(10.0 - 59.5),
        pytest.approx(5.0 - (0.95 * 1015.0 - 955.0)),
    ]
    assert penalised.asset_memory == plain.asset_memory == [1000.0, 1010.0, 1015.0]
    assert penalised.account_history.rewards.tolist() == [10.0, 5.0]
    assert penalised.rewards_memory == [10.0, 5.0]


def test_enough_cash_costs_nothing():
    env = env_on(column(10.0, 11.0), cash_penalty_proportion=0.5)
    assert play(env, [[1.0]]) == [10.0]


# -- stop loss ---------------------------------------------------------------------------------


def test_the_stop_sells_the_whole_position_whatever_the_cash_is():
    # all cash is spent: FinRL's own rule would not fire
    env = env_on(column(10.0, 9.5, 8.9, 8.0), hmax=100, stop_loss=0.9)
    play(env, [[1.0], [0.0], [0.0]])
    assert env.account_history.trades.ravel().tolist() == [100.0, 0.0, -100.0]
    # 9.5 is above 9; 8.9 is not, and it is the price that is paid
    assert env.asset_memory == [1000.0, 950.0, 890.0, 890.0]
    assert env.trades == 2


def test_a_close_at_the_stop_is_not_below_it():
    env = env_on(column(10.0, 8.0, 8.0), stop_loss=0.8)
    play(env, [[1.0], [0.0]])
    assert env.account_history.trades.ravel().tolist() == [10.0, 0.0]


def test_the_average_buy_price_is_weighted_and_unchanged_by_sells():
    # 10 at 10 and 5 at 16: 12 on average; 10.9 is above 0.9 * 12, 10.7 is below
    closes = column(10.0, 16.0, 16.0, 10.9, 10.7, 10.0)
    env = env_on(closes, stop_loss=0.9)
    play(env, [[1.0], [0.5], [-0.3], [0.0], [0.0]])
    assert env.account_history.trades.ravel().tolist() == [10.0, 5.0, -3.0, 0.0, -12.0]


def test_a_position_opened_again_starts_with_its_own_price():
    closes = column(10.0, 20.0, 20.0, 17.0, 16.0)
    env = env_on(closes, stop_loss=0.9)
    play(env, [[1.0], [-1.0], [1.0], [0.0]])
    assert env.account_history.trades.ravel().tolist() == [10.0, -10.0, 10.0, -10.0]


def test_the_order_of_a_stopped_ticker_is_dropped_and_its_cash_is_there_for_others():
    closes = [[10.0, 10.0], [8.0, 10.0], [8.0, 10.0]]
    env = env_on(closes, hmax=100, stop_loss=0.9)
    play(env, [[1.0, 0.0], [1.0, 1.0]])
    assert env.account_history.trades.tolist() == [[100.0, 0.0], [-100.0, 80.0]]


def test_the_stop_is_filled_at_the_next_open_and_waits_for_a_quote():
    env = env_on(
        column(10.0, 8.0, 8.0, 7.0, 7.0),
        open_=column(10.0, 10.0, 7.5, 6.5, 7.0),
        tradable=column(True, True, False, True, True),
        fill="next_open",
        stop_loss=0.9,
        sell_cost_pct=0.1,
    )
    play(env, [[1.0], [0.0], [0.0], [0.0]])
    assert env.account_history.trades.ravel().tolist() == [10.0, 0.0, -10.0, 0.0]
    assert env.account_history.cash[-1] == pytest.approx(900.0 + 65.0 * 0.9)
    assert env.account_history.cost.tolist() == [0.0, 0.0, pytest.approx(6.5), 0.0]
    assert env.account_history.traded_amount[2] == 65.0


def test_initial_shares_count_as_bought_on_the_first_day():
    env = env_on(column(10.0, 8.9, 8.0), num_stock_shares=[7], stop_loss=0.9)
    play(env, [[0.0], [0.0]])
    assert env.account_history.trades.ravel().tolist() == [0.0, -7.0]


def test_a_gain_of_the_ratio_times_the_loss_sells_too():
    closes = column(10.0, 11.9, 12.1, 12.1)
    env = env_on(closes, stop_loss=0.9, profit_loss_ratio=2.0)
    play(env, [[1.0], [0.0], [0.0]])
    assert env.account_history.trades.ravel().tolist() == [10.0, 0.0, -10.0]


# -- lots --------------------------------------------------------------------------------------


def test_orders_are_rounded_toward_zero_to_lots():
    env = env_on([[10.0, 10.0]] * 4, hmax=50, lot_size=[20, 7])
    play(env, [[0.9, 0.5], [-0.5, -0.3], [0.38, 0.1]])
    assert env.account_history.trades.tolist() == [[40.0, 21.0], [-20.0, -14.0], [0.0, 0.0]]


def test_what_cannot_pay_for_a_lot_buys_nothing():
    env = env_on(column(10.0, 10.0, 10.0), hmax=50, lot_size=30, initial_amount=500.0)
    play(env, [[1.0], [1.0]])
    assert env.account_history.trades.ravel().tolist() == [30.0, 0.0]
    assert env.account_history.cash.tolist() == [500.0, 200.0, 200.0]


def test_an_odd_lot_can_be_sold_as_a_whole_only():
    env = env_on(column(*[10.0] * 4), hmax=60, lot_size=30, num_stock_shares=[45])
    # -40 is less than is held: one lot; then 15 are left: -10 is no lot, -15 is all
    play(env, [[-40 / 60], [-10 / 60], [-15 / 60]])
    assert env.account_history.trades.ravel().tolist() == [-30.0, 0.0, -15.0]


def test_fractional_lots():
    env = env_on(
        column(*[16_500.0] * 3), hmax=0.05, lot_size=0.001, fractional_shares=True,
        initial_amount=100.0,
    )  # fmt: skip
    play(env, [[1.0], [-0.05]])
    bought, sold = env.account_history.trades.ravel()
    assert bought == pytest.approx(0.006, abs=1e-15)
    assert sold == pytest.approx(-0.002, abs=1e-15)


@given(count=st.integers(0, 10**6), lot=st.floats(1e-8, 1e4))
@settings(max_examples=300, deadline=None)
def test_whole_lots_stay_whole_lots(count, lot):
    quantity = count * lot
    assert whole_lots(quantity, lot) == quantity
    if count:
        assert whole_lots(np.nextafter(quantity, 0), lot) < quantity


# -- cool-down ---------------------------------------------------------------------------------


def test_after_a_trade_orders_are_ignored_for_the_cooldown():
    env = env_on([[10.0, 10.0]] * 6, cooldown=2)
    play(env, [[1.0, 0.0], [-1.0, 0.5], [-1.0, -1.0], [-1.0, -1.0], [1.0, -1.0]])
    assert env.account_history.trades.tolist() == [
        [10.0, 0.0], [0.0, 5.0], [0.0, 0.0], [-10.0, 0.0], [0.0, -5.0]
    ]  # fmt: skip


def test_the_stop_and_liquidation_do_not_wait():
    env = env_on(column(10.0, 8.0, 8.0, 8.0, 8.0), cooldown=2, stop_loss=0.9)
    play(env, [[1.0], [0.0], [1.0], [1.0]])
    # the stop is a trade: the ticker cools down after it
    assert env.account_history.trades.ravel().tolist() == [10.0, -10.0, 0.0, 0.0]
    env = env_on(column(*[10.0] * 3), cooldown=5, risk=[0.0, 9.0, 0.0], turbulence_threshold=5.0)
    play(env, [[1.0], [0.0]])
    assert env.account_history.trades.ravel().tolist() == [10.0, -10.0]


def test_an_episode_starts_without_memories():
    env = env_on(column(10.0, 9.5, 8.9), cooldown=9, stop_loss=0.9)
    play(env, [[1.0], [0.0]])
    env.reset()
    play(env, [[0.5], [0.0]])
    assert env.account_history.trades.ravel().tolist() == [5.0, 0.0]


# -- all of them -------------------------------------------------------------------------------


def test_options_that_cannot_bind_change_nothing():
    market = random_market(40, 3, halts=0.1)
    plain = StockTradingVecEnv(market, 2)
    loose = StockTradingVecEnv(market, 2, stop_loss=1e-9, lot_size=1)
    rng = np.random.default_rng(0)
    assert np.array_equal(plain.reset(), loose.reset())
    for _ in range(60):
        actions = rng.uniform(-1, 1, (2, 3)).astype(np.float32)
        first, second = plain.step(actions), loose.step(actions)
        assert all(np.array_equal(first[k], second[k]) for k in range(3))


def test_options_that_are_off_share_a_compilation_and_cost_nothing():
    env = StockTradingVecEnv(random_market(), 2)
    assert env.accounts._kernel_limits is None
    StockTradingVecEnv(random_market(), 2, **ALL).step(np.zeros((2, 3), dtype=np.float32))
    env.step(np.zeros((2, 3), dtype=np.float32))
    assert [str(signature[-1]) for signature in step_accounts.signatures].count("none") == 1


def test_a_resumed_account_remembers():
    market = random_market(60, 3)
    env, again = (StockTradingVecEnv(market, 3, **ALL, random_start=True) for _ in range(2))
    env.seed(4)
    env.reset()
    rng = np.random.default_rng(1)
    for _ in range(20):
        env.step(rng.uniform(-1, 1, (3, 3)))
    state = pickle.loads(pickle.dumps(env.get_state()))
    assert set(state["accounts"][0]["limits"]) == {"buy_price", "free_from", "penalty"}
    again.set_state(state)
    for _ in range(60):
        actions = rng.uniform(-1, 1, (3, 3))
        first, second = env.step(actions), again.step(actions)
        assert all(np.array_equal(first[k], second[k]) for k in range(3))
        for mine, other in zip(first[3], second[3], strict=True):
            assert mine.get("episode", {}).get("r") == other.get("episode", {}).get("r")


def test_states_from_before_the_options_load_where_they_are_off():
    env = env_on(column(10.0, 11.0, 12.0))
    play(env, [[1.0]])
    state = env.get_state()
    del state["limits"]
    other = env_on(column(10.0, 11.0, 12.0))
    other.set_state(state)
    assert other.asset_memory == [1000.0, 1010.0]
    with pytest.raises(ConfigError, match=r"needs \['buy_price'\]; build the env with the same"):
        env_on(column(10.0, 11.0, 12.0), stop_loss=0.9).set_state(state)


def test_the_yaml_options_arrive():
    config = EnvConfig(fractional_shares=True, **{**ALL, "lot_size": (0.5, 1.0, 2.0)})
    limits = make_env(random_market(), config).accounts.limits
    assert limits.lots.tolist() == [0.5, 1.0, 2.0]
    assert (limits.stop, limits.cooldown, limits.cash_share) == (0.99, 2, 0.3)
    assert limits.profit == pytest.approx(1.03)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stop_loss": 0.9, "parity": True}, r"leave \['stop_loss'\] out"),
        ({"cooldown": 1, "parity": True}, r"leave \['cooldown'\] out"),
        ({"lot_size": 10, "parity": True}, r"leave \['lot_size'\] out"),
        ({"cash_penalty_proportion": 0.1, "parity": True}, "which has no action"),
        ({"stop_loss": 1.1}, r"within \(0, 1\), got 1.1"),
        ({"stop_loss": "0.9"}, "must be numbers or None"),
        ({"profit_loss_ratio": 2.0}, "needs stop_loss"),
        ({"lot_size": 0.5}, "whole unless fractional_shares is true"),
        ({"lot_size": [1, 2]}, "lot_size must be one number, a list of 3"),
        ({"lot_size": 200}, "hmax must be at least lot_size, got 100 and 200"),
        ({"cooldown": 1.5}, "whole number"),
        ({"cooldown": 1, "ties": "argsort"}, r"need the mended ties, got \['argsort'\]"),
        ({"lot_size": 5, "clean_data": False}, "need the mended clean_data"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        StockTradingEnv(random_market(), **options)
