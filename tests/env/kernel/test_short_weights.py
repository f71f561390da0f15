"""Target weights below 0: numbers worked out by hand, and a slow solution beside the compiled."""

import dataclasses

import numpy as np
import pytest
from env_markets import hand_market, play

from finrl_ray.config.env import EnvConfig
from finrl_ray.env.kernel.compile import digest_of
from finrl_ray.env.kernel.short_weights import PARTS, plan_short_orders
from finrl_ray.env.scaling import fit_observation_scaling
from finrl_ray.env.stock_trading import StockTradingEnv

FLAT = [[10.0, 20.0]] * 5
FREE = {"initial_amount": 1_000.0, "buy_cost_pct": 0.0, "sell_cost_pct": 0.0, "borrow_rate": 0.0}
WEIGHTS = {"short": True, "action": "target_weights", "no_trade_band": 0.0}


def weights_on(close, **options):
    market_options = {k: options.pop(k) for k in ("open_", "tradable", "risk") if k in options}
    env = StockTradingEnv(hand_market(close, **market_options), **{**WEIGHTS, **FREE, **options})
    env.reset()
    return env


def test_weights_below_zero_are_shares_of_the_account_that_are_owed():
    history = play(weights_on(FLAT), [[-0.5, 0.5], [0.25, -0.5], [0.0, 0.0]])
    assert history.trades.tolist() == [[-50.0, 25.0], [75.0, -50.0], [-25.0, 25.0], [0.0, 0.0]][:3]
    assert history.cash.tolist() == [1000.0, 1000.0, 1250.0, 1000.0]


def test_weights_that_are_more_than_one_together_are_divided_by_their_sum():
    # 1 and -1 are .5 and -.5, -7 counts as -1
    history = play(weights_on(FLAT), [[1.0, -1.0], [-7.0, 0.0], [1.0, -0.25]])
    assert history.trades.tolist() == [[50.0, -25.0], [-150.0, 25.0], [180.0, -10.0]]


def test_max_weight_bounds_both_sides():
    history = play(weights_on(FLAT, max_weight=0.3), [[-1.0, 0.0], [1.0, -1.0]])
    assert history.trades.tolist() == [[-30.0, 0.0], [60.0, -15.0]]


def test_weights_are_those_after_the_costs():
    env = weights_on(FLAT, fractional_shares=True, buy_cost_pct=0.01, sell_cost_pct=0.02)
    history = play(env, [[-0.5, 0.5]])
    # a = 1000 - .02 * .5 a - .01 * .5 a
    after = 1000.0 / 1.015
    assert history.account_value[1] == pytest.approx(after, rel=1e-14)
    np.testing.assert_allclose(env.state[3:], [-0.05 * after, 0.025 * after], rtol=1e-14)
    # .3 of A from -.5 buys, -.2 of B from .5 sells:
    # b = a - .01 * (.3 b + .5 a) - .02 * (.5 a + .2 b), so b (1 + .003 + .004) = a (1 - .015)
    history = play(env, [[0.3, -0.2]])
    second = after * 0.985 / 1.007
    assert history.account_value[2] == pytest.approx(second, rel=1e-14)
    np.testing.assert_allclose(env.state[3:], [0.03 * second, -0.01 * second], rtol=1e-13)


def test_the_band_and_weight_0():
    env = weights_on(FLAT, no_trade_band=0.1)
    history = play(env, [[-0.1, -0.4], [-0.2, -0.45], [0.05, -0.29], [0.0, 0.0]])
    assert history.trades.tolist() == [[0.0, -20.0], [-20.0, 0.0], [25.0, 5.0], [-5.0, 15.0]]


def test_a_part_of_the_way_leads_to_the_other_side_too():
    env = weights_on(FLAT, trade_rate=0.5, fractional_shares=True)
    history = play(env, [[-0.8, 0.0], [0.0, 0.4], [0.4, -0.4]])
    # weights -.4, 0; then -.2, .2; then .1, -.1
    np.testing.assert_allclose(history.trades, [[-40.0, 0.0], [20.0, 10.0], [30.0, -15.0]])


def test_what_is_left_alone_shrinks_all_that_opens():
    env = weights_on([[10.0] * 3] * 3, no_trade_band=0.15, fractional_shares=True)
    history = play(env, [[-0.5, 0.0, 0.5], [-0.4, 0.6, 0.0]])
    # A is left alone with .5 too much by .1: of .6 for B, .5 fit
    np.testing.assert_allclose(history.trades, [[-50.0, 0.0, 50.0], [0.0, 50.0, -50.0]], rtol=1e-12)


def test_next_open_shrinks_what_a_gap_has_made_too_much():
    env = weights_on(FLAT[:3], open_=[[9.0, 9.0], [16.0, 20.0], [10.0, 20.0]], fill="next_open")
    history = play(env, [[-0.6, 0.4]])
    # planned 60 and 20; at 16 and 20 the larger takes 960 of 1000, and 2 B the rest
    assert history.trades.tolist() == [[-60.0, 2.0]]
    env = weights_on(FLAT[:3], open_=[[9.0, 9.0], [30.0, 20.0], [10.0, 20.0]], fill="next_open")
    assert play(env, [[-0.6, 0.4]]).trades.tolist() == [[-33.0, 0.0]]


def test_a_position_that_a_gap_turned_into_a_breach_gets_nothing_new():
    opens = [[10.0, 10.0], [10.0, 10.0], [25.0, 10.0], [10.0, 10.0]]
    env = weights_on([[10.0, 10.0]] * 4, open_=opens, fill="next_open")
    history = play(env, [[-0.6, 0.0], [-0.6, 0.4]])
    # at 25 for what is owed the account is 100 and 1500 are owed: nothing is free for B
    assert history.trades.tolist() == [[-60.0, 0.0], [0.0, 0.0]]


def test_both_observations_show_what_is_owed():
    market = hand_market(FLAT)
    env = StockTradingEnv(market, short=True, action="target_weights", **FREE)
    env.reset()
    assert env.step(np.array([-0.5, 0.2]))[0].tolist() == [1300.0, 10.0, 20.0, -50.0, 10.0]
    config = EnvConfig(observation="stationary", return_horizons=(1,), short=True)
    env = StockTradingEnv(
        market,
        short=True,
        action="target_weights",
        observation="stationary",
        return_horizons=(1,),
        observation_scaling=fit_observation_scaling(market, 1000.0, config),
        **FREE,
    )
    env.reset()
    shown = env.step(np.array([-0.5, 0.2]))[0]
    assert shown.tolist() == pytest.approx([1.3, 0.0, 0.0, -0.5, 0.2])


def slow_orders(action, cash, shares, price, free, options):
    """Orders in fractions of shares, by bisection for what the account is worth afterwards."""
    wanted = np.clip(action, -1.0, 1.0)
    wanted = wanted / max(1.0, abs(wanted).sum())
    wanted = np.clip(wanted, -options["max_weight"], options["max_weight"])
    value, held = cash + shares @ price, shares * price
    moves = free & ((wanted == 0.0) | (abs(wanted - held / value) > options["no_trade_band"]))
    buy, sell = options["buy_cost_pct"], options["sell_cost_pct"]
    curve = options["volume_slippage"] / (options["volume"] * price)

    def trade(after):
        target = np.where(moves, wanted * after, held)
        # sells, and covers, end where their last share costs its worth once more
        change = np.maximum(target - held, -(1.0 - sell) / (2.0 * curve + 1e-300))
        cover, most = np.minimum(change, -held), (1.0 - buy) / (2.0 * curve + 1e-300)
        change = np.where((held < 0.0) & (cover > most), most, change)
        target = held + change
        # what shrinks toward 0 comes first, what grows away from it is cut to what is free
        kept = np.where(target * held > 0.0, np.minimum(abs(target), abs(held)), 0.0)
        closing = np.sign(held) * kept - held
        opening = target - held - closing
        costs = [np.where(part > 0.0, buy, sell) * abs(part) for part in (closing, opening)]
        costs[0] += curve * closing**2
        room = value - costs[0].sum() - abs(held + closing).sum()

        def taken(share):
            # the two parts of an order that turns a position are one trade
            added = curve * ((closing + share * opening) ** 2 - closing**2)
            return (share * costs[1] + added).sum()

        low, high = 0.0, 1.0
        if abs(opening).sum() + taken(1.0) <= max(room, 0.0):
            low = 1.0
        for _ in range(100 if low == 0.0 else 0):
            middle = (low + high) / 2
            fits = middle * abs(opening).sum() + taken(middle) <= max(room, 0.0)
            low, high = (middle, high) if fits else (low, middle)
        return closing + low * opening, value - costs[0].sum() - taken(low)

    low, high = 0.0, value
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if trade(middle)[1] > middle else (low, middle)
    return trade(low)[0] / price


@pytest.mark.parametrize("slippage", [0.0, 0.02, 1.0])
def test_orders_are_those_of_a_slow_solution(slippage):
    rng = np.random.default_rng(5)
    shrunk = 0
    for _ in range(300):
        n = int(rng.integers(1, 8))
        price, free = rng.uniform(1.0, 40.0, n), rng.random(n) < 0.8
        options = {
            "max_weight": float(rng.choice([1.0, 0.5])),
            "no_trade_band": float(rng.choice([0.0, 0.05, 0.2])),
            "buy_cost_pct": rng.choice([0.0, 0.02, 0.2], n),
            "sell_cost_pct": rng.choice([0.0, 0.02, 0.2], n),
            "volume_slippage": slippage,
        }
        volume = 10.0 ** rng.uniform(0.5, 4.0, n)
        shares = rng.integers(-15, 15, n).astype(float)
        cash = float(rng.choice([1.0, 300.0, 2_000.0])) - 2.0 * price @ np.minimum(shares, 0.0)
        env = StockTradingEnv(
            dataclasses.replace(
                hand_market([price, price], tradable=[free, free]), volume=np.array([volume] * 2)
            ),
            short=True,
            action="target_weights",
            fractional_shares=True,
            borrow_rate=0.0,
            initial=False,
            previous_state=[cash, *price, *shares],
            **options,
        )
        env.reset()
        action = rng.uniform(-1.0, 1.0, n)
        action[rng.random(n) < 0.2] = 0.0
        env.step(action)
        options["volume"] = volume
        expected = slow_orders(action, cash, shares, price, free, options)
        value = cash + shares @ price
        np.testing.assert_allclose(
            env.account_history.trades[0] * price, expected * price, rtol=0, atol=1e-9 * value
        )
        gross = abs(np.array(env.state[1 + n :])) @ price
        left_alone = abs(shares[expected == 0.0]) @ price[expected == 0.0]
        shrunk += left_alone > 0.0 and gross > env.asset_memory[-1] * (1.0 - 1e-9)
    assert shrunk > 20


def test_compiled_code_is_renewed_when_a_file_behind_it_changes():
    names = [part.__name__.rsplit(".", 1)[1] for part in PARTS]
    assert names == [
        *("arrays", "forced_covers", "order_rules", "signed_trades", "slippage"),
        "target_weights",
    ]
    (cell,) = plan_short_orders.py_func.__closure__
    assert cell.cell_contents == digest_of(*(part.__file__ for part in PARTS))
