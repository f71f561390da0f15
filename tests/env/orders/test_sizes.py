"""`hmax` in money and as a share of the account, one per ticker: numbers worked out by hand."""

import dataclasses
import pickle

import numpy as np
import pytest
from env_markets import column, hand_market, random_market

from finrl_ray.config.data import SplitConfig
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.data.windows.split import make_split
from finrl_ray.env.make import make_env, make_vec_env
from finrl_ray.env.orders.sizes import largest_orders
from finrl_ray.env.slow_investment import slow_investment
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError
from finrl_ray.search.sampling.domains import build_space


def env_on(close, **options):
    market_options = {k: options.pop(k) for k in ("open_", "tradable") if k in options}
    free = {"initial_amount": 10_000.0, "buy_cost_pct": 0.0, "sell_cost_pct": 0.0}
    env = StockTradingEnv(hand_market(close, **market_options), **{**free, **options})
    env.reset()
    return env


def trades(env, actions, dtype=np.float32):
    for action in actions:
        env.step(np.array(action, dtype=dtype))
    return env.account_history.trades.tolist()


# -- units -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_money_is_divided_by_the_close(dtype):
    # 1000 at 30 are 33.3; half of it at 40 is 12.5, and a fifth at 7 is 28.6
    env = env_on(column(30.0, 40.0, 7.0, 7.0), hmax=1_000, hmax_unit="money")
    assert trades(env, [[1.0], [-0.5], [0.2]], dtype) == [[33.0], [-12.0], [28.0]]
    part = env_on(column(32.0, 32.0), hmax=1_000, hmax_unit="money", fractional_shares=True)
    assert trades(part, [[1.0]], dtype) == [[31.25]]


def test_a_share_of_the_account_follows_the_account():
    # 0.1 of 10,000 at 10: 100; the account is then 11,000, and 0.05 of it at 20 are 27.5
    env = env_on(column(10.0, 20.0, 20.0), hmax=0.1, hmax_unit="account_share")
    assert trades(env, [[1.0], [0.5]]) == [[100.0], [27.0]]
    part = env_on(
        column(10.0, 20.0, 20.0), hmax=0.1, hmax_unit="account_share", fractional_shares=True
    )
    assert trades(part, [[1.0], [0.5]]) == [[100.0], [27.5]]


def test_whole_shares_that_a_rounded_action_misses_are_whole():
    # 0.29 as float32 is 0.28999999; of 10,000 that is 28.999999 at 100
    for unit, hmax in (("money", 10_000.0), ("account_share", 1.0)):
        for dtype in (np.float32, np.float64):
            env = env_on(column(100.0, 100.0), hmax=hmax, hmax_unit=unit)
            assert trades(env, [[0.29]], dtype) == [[29.0]]
    assert trades(env_on(column(100.0, 100.0), hmax=2_899.9, hmax_unit="money"), [[1.0]]) == [[28]]


def test_the_close_that_was_seen_sizes_the_order_and_the_open_fills_it():
    env = env_on(
        column(10.0, 50.0, 50.0),
        open_=column(10.0, 20.0, 50.0),
        fill="next_open",
        hmax=1_000,
        hmax_unit="money",
    )
    assert trades(env, [[1.0]]) == [[100.0]]
    assert env.account_history.cash[1] == 8_000.0


def test_lots_and_a_close_far_from_a_share():
    env = env_on(column(30.0, 30.0), hmax=1_000, hmax_unit="money", lot_size=10)
    assert trades(env, [[1.0]]) == [[30.0]]
    assert trades(env_on(column(3e4, 3e4), hmax=100, hmax_unit="money"), [[1.0]]) == [[0.0]]


# -- one per ticker ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hmax", "unit", "expected"),
    [
        ({"B": 5, "A": 20}, "shares", [20.0, 5.0]),
        ([20, 5], "shares", [20.0, 5.0]),
        ({"A": 300.0, "B": 500.0}, "money", [30.0, 25.0]),
        ([0.01, 0.02], "account_share", [10.0, 10.0]),
    ],
)
def test_each_ticker_has_its_own(hmax, unit, expected):
    flat = [[10.0, 20.0]] * 3
    assert trades(env_on(flat, hmax=hmax, hmax_unit=unit), [[1.0, 1.0]]) == [expected]
    config = EnvConfig(hmax=hmax, hmax_unit=unit, initial_amount=10_000.0)
    env = make_env(hand_market(flat), config)
    env.reset()
    env.step(np.ones(2, dtype=np.float32))
    assert env.accounts.last_executed.tolist() == [expected]
    several = make_vec_env(hand_market(flat), config, n_envs=3, training=False)
    several.reset()
    several.step(np.ones((3, 2), dtype=np.float32))
    assert several.accounts.last_executed.tolist() == [expected] * 3


def test_an_attribute_takes_a_mapping_too():
    env = env_on([[10.0, 20.0]] * 3)
    env.hmax = {"B": 1, "A": 2}
    assert env.hmax == [2, 1]
    with pytest.raises(ConfigError, match=r"\['B'\] missing, \['C'\] unknown"):
        env.hmax = {"A": 1, "C": 2}


@pytest.mark.parametrize(
    ("hmax", "words"),
    [
        ({"A": 1}, r"env.hmax must name every ticker of the data .*\['B'\] missing"),
        ({"A": 1, "B": 1, "Z": 3}, r"\[\] missing, \['Z'\] unknown"),
        ((1, 2, 3), r"one for each of the 2 tickers \['A', 'B'\], got 3 numbers"),
    ],
)
def test_a_config_that_does_not_fit_the_tickers_is_refused(hmax, words):
    # three numbers are not one for each of three accounts
    with pytest.raises(ConfigError, match=words):
        make_vec_env(hand_market([[10.0, 20.0]] * 3), EnvConfig(hmax=hmax), n_envs=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hmax_unit": "dollars"}, "hmax_unit must be one of 'shares', 'money', 'account_share'"),
        ({"hmax_unit": "account_share"}, r"hmax must be within \(0, 1\].*got 100"),
        ({"hmax_unit": "money", "parity": True}, r"leave \['hmax_unit'\] out"),
        ({"hmax_unit": "money", "ties": "argsort"}, "units of hmax .* need the mended ties"),
        ({"hmax_unit": "money", "action": "target_weights"}, "hmax_unit must be left at the"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        StockTradingEnv(random_market(), **options)


# -- searches and warnings ---------------------------------------------------------------------


def test_a_space_may_choose_numbers_and_units():
    space = {
        "env.hmax": {"choice": [0.1, 0.5]},
        "env.hmax_unit": {"choice": ["money", "account_share"]},
    }
    search = SearchConfig(space=space, default_space=False)
    assert set(build_space(ExperimentConfig(search=search))) == set(space)
    wrong = {**space, "env.hmax": {"choice": [0.1, 5.0]}}
    with pytest.raises(ConfigError, match=r"search.space.*hmax must be within \(0, 1\].*got 5"):
        build_space(ExperimentConfig(search=SearchConfig(space=wrong, default_space=False)))


def test_the_largest_order_in_currency():
    market = hand_market([[10.0, 20.0], [15.0, 20.0]])
    for hmax, unit, expected in (
        ({"A": 2, "B": 3}, "shares", [[20.0, 60.0], [30.0, 60.0]]),
        ([100.0, 50.0], "money", [[100.0, 50.0]] * 2),
        (0.1, "account_share", [[1_000.0, 1_000.0]] * 2),
    ):
        config = EnvConfig(hmax=hmax, hmax_unit=unit, initial_amount=10_000.0)
        assert largest_orders(config, market).tolist() == expected


def test_slow_investment_knows_the_units():
    market = hand_market([[10.0, 30.0]] * 100)
    split = make_split(market, SplitConfig())
    money = EnvConfig(hmax=2_000, hmax_unit="money", initial_amount=100_000, buy_cost_pct=0.0)
    found = slow_investment(market, split, money)
    assert "env.hmax = 2,000 of money of a ticker, on 2020-03-01 4,000 in all" in found.what
    # 100,000 in 5 rows of two tickers
    assert "set env.hmax to 10000 or more" in found.remedy
    enough = dataclasses.replace(money, hmax=10_000)
    assert slow_investment(market, split, enough) is None
    share = dataclasses.replace(money, hmax=0.01, hmax_unit="account_share")
    assert "set env.hmax to 0.1 or more" in slow_investment(market, split, share).remedy
    by_ticker = dataclasses.replace(money, hmax={"A": 10, "B": 20}, hmax_unit="shares")
    assert "raise the numbers of env.hmax to 29 times" in (
        slow_investment(market, split, by_ticker).remedy
    )


# -- what holds in any market ------------------------------------------------------------------


@pytest.mark.parametrize("first", range(0, 500, 100))
def test_invariants_in_random_markets(first):
    for seed in range(first, first + 100):
        rng = np.random.default_rng(seed)
        n, unit = int(rng.integers(1, 6)), str(rng.choice(["money", "account_share"]))
        market = random_market(14, n, 1, seed=seed, halts=0.1)
        fractional = bool(rng.integers(2))
        size = 10.0 ** rng.uniform(2.0, 5.0, n) if unit == "money" else rng.uniform(0.01, 1.0, n)
        options = {
            "hmax": dict(zip(market.tickers[::-1], size[::-1].tolist(), strict=True)),
            "hmax_unit": unit,
            "initial_amount": 20_000.0,
            "fractional_shares": fractional,
            "fill": str(rng.choice(["close", "next_open"])),
            "num_stock_shares": [int(k) for k in rng.integers(0, 9, n)],
        }
        actions = rng.uniform(-1.0, 1.0, (13, n))
        row = 3 + seed % 8
        later = np.arange(14)[:, None] > row
        other = dataclasses.replace(
            market,
            close=np.where(later, market.close * 3.0, market.close),
            open=np.where(later, market.open / 2.0, market.open),
        )
        env, changed, cut = (
            StockTradingEnv(each, **options) for each in (market, other, market.rows(0, row + 2))
        )
        for each in (env, changed, cut):
            each.reset()
        for step, action in enumerate(actions):
            close, value = market.close[step], env.asset_memory[-1]
            most = size if unit == "money" else size * value
            if step == row:
                for each in (env, changed, cut):
                    each.accounts._write_orders(action[None])
                orders = [each.accounts._orders.copy() for each in (env, changed, cut)]
                assert np.array_equal(orders[0], orders[1])
                assert np.array_equal(orders[0], orders[2])
            if step < row:
                changed.step(action)
                cut.step(action)
            held = np.array(env.state[1 + n : 1 + 2 * n])
            env.step(action)
            shares, cash = np.array(env.state[1 + n : 1 + 2 * n]), env.state[0]
            traded = np.abs(shares - held)
            assert (traded <= most / close * np.abs(action) * (1 + 1e-12)).all()
            assert fractional or (traded == np.floor(traded)).all()
            assert cash >= 0.0
            assert (shares >= 0.0).all()
            worth = cash + market.close[step + 1] @ shares
            assert env.asset_memory[-1] == pytest.approx(worth, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("unit", ["money", "account_share"])
def test_states_and_single_accounts_go_on_bit_for_bit(unit):
    market = random_market(30, 4)
    options = {"hmax": [0.1, 0.2, 0.3, 1.0], "hmax_unit": unit, "fractional_shares": True}
    env, again = (StockTradingVecEnv(market, 3, random_start=True, **options) for _ in range(2))
    env.seed(4)
    env.reset()
    rng = np.random.default_rng(1)
    for _ in range(9):
        env.step(rng.uniform(-1, 1, (3, 4)).astype(np.float32))
    again.set_state(pickle.loads(pickle.dumps(env.get_state())))
    for _ in range(40):
        actions = rng.uniform(-1, 1, (3, 4)).astype(np.float32)
        steps = [each.step(actions) for each in (env, again)]
        assert all(np.array_equal(steps[0][k], steps[1][k]) for k in range(3))
    single, several = StockTradingEnv(market, **options), StockTradingVecEnv(market, 2, **options)
    single.reset()
    several.reset()
    for _ in range(20):
        action = rng.uniform(-1, 1, 4).astype(np.float32)
        one = single.step(action)
        observation, rewards, *_ = several.step(np.array([action, action]))
        assert np.array_equal(one[0], observation[1])
        assert np.float32(one[1]) == rewards[1]
