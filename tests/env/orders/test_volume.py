"""Slippage as a share of the traded volume: numbers worked out by hand, and any market."""

import dataclasses
import pickle
from functools import partial

import numpy as np
import pytest
from env_markets import another_future, column, finrl_frame, hand_market, play, random_market

from finrl_ray.baselines.buy_and_hold import buy_and_hold, buy_and_hold_of
from finrl_ray.baselines.portfolios import held_curve, rebalanced_curve
from finrl_ray.config.env import EnvConfig
from finrl_ray.env.make import create_env, make_env
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError, DataError

NAN = float("nan")


def market_with(close, volume, **options):
    volume = np.broadcast_to(np.array(volume, dtype=np.float64), np.shape(close))
    return dataclasses.replace(hand_market(close, **options), volume=np.array(volume))


def env_on(close, volume, **options):
    market_options = {k: options.pop(k) for k in ("open_", "tradable", "risk") if k in options}
    free = {"hmax": 1_000, "initial_amount": 1_000.0, "buy_cost_pct": 0.0, "sell_cost_pct": 0.0}
    market = market_with(close, volume, **market_options)
    env = StockTradingEnv(market, **{"volume_slippage": 1.0, **free, **options})
    env.reset()
    return env


# -- orders ------------------------------------------------------------------------------------


def test_a_trade_costs_its_share_of_the_volume_beside_the_proportional_cost():
    env = env_on(
        [[10.0, 20.0]] * 3,
        [1_000.0, 500.0],
        volume_slippage=0.1,
        hmax=100,
        initial_amount=10_000.0,
        buy_cost_pct=0.001,
        sell_cost_pct=0.001,
    )
    history = play(env, [[1.0, 0.0], [-0.5, 1.0]])
    # 1000 for 100 shares, a tenth of the volume: 1 and a hundredth of it; then 500 for a twentieth
    # (0.5 and 0.005 of it) and 2000 for a fifth (2 and 0.02 of it)
    assert history.cost.tolist() == [1.0 + 10.0, 0.5 + 2.5 + 2.0 + 40.0]
    assert history.cash.tolist() == [10_000.0, 8_989.0, 8_989.0 + 497.0 - 2_042.0]
    assert history.traded_amount.tolist() == [1_000.0, 2_500.0]
    assert history.trades.tolist() == [[100.0, 0.0], [-50.0, 100.0]]
    assert env.cost == 56.0


def test_the_affordable_number_includes_the_slippage():
    # 10 q + 10 q^2 / 100 <= 1000: q <= 61.8; 61 cost 610 + 372.1
    whole = play(env_on(column(10.0, 10.0), 100.0), [[1.0]])
    assert whole.trades.ravel().tolist() == [61.0]
    assert whole.cash[1] == pytest.approx(17.9, rel=1e-12)
    part = play(env_on(column(10.0, 10.0), 100.0, fractional_shares=True), [[1.0]])
    assert part.trades[0, 0] == pytest.approx((np.sqrt(500.0) - 10.0) / 0.2, rel=1e-14)
    assert 0.0 <= part.cash[1] <= 1e-10
    # in lots of 25: 50 cost 500 + 250
    lots = play(env_on(column(10.0, 10.0), 100.0, lot_size=25), [[1.0]])
    assert (lots.trades[0, 0], lots.cash[1]) == (50.0, 250.0)
    # exactly what there is: 50 shares for 750
    exact = play(env_on(column(10.0, 10.0), 100.0, initial_amount=750.0), [[1.0]])
    assert (exact.trades[0, 0], exact.cash[1]) == (50.0, 0.0)


def test_a_price_does_not_fall_below_0():
    # 200 shares are twice the volume: they bring nothing, and cost what they were worth
    env = env_on(column(10.0, 10.0), 100.0, num_stock_shares=[200])
    history = play(env, [[-1.0]])
    assert (history.cash[1], history.cost[0]) == (1_000.0, 2_000.0)
    # with 10 % of proportional cost 95 shares of 100 bring nothing either, and 50 bring 400 - 250
    env = env_on(column(10.0, 10.0), 100.0, num_stock_shares=[50], sell_cost_pct=0.1)
    assert play(env, [[-1.0]]).cash[1] == 1_000.0 + 200.0


def test_the_volume_is_that_of_the_row_of_the_fill():
    options = {"open_": column(10.0, 20.0, 20.0), "fill": "next_open", "hmax": 10}
    history = play(env_on(column(10.0, 10.0, 10.0), column(1.0, 100.0, 1e9), **options), [[1.0]])
    # at 20: 200 for a tenth of the volume
    assert history.cost[0] == pytest.approx(20.0, rel=1e-14)
    at_close = play(env_on(column(10.0, 10.0, 10.0), column(50.0, 1.0, 1.0), hmax=10), [[1.0]])
    assert at_close.cost[0] == pytest.approx(100.0 * 10 / 50, rel=1e-14)


def test_stops_and_liquidation_pay_it_too():
    stopped = env_on(column(10.0, 8.0, 8.0), 100.0, num_stock_shares=[20], stop_loss=0.9)
    assert play(stopped, [[0.0], [0.0]]).cash.tolist() == [1_000.0, 1_000.0, 1_160.0 - 32.0]
    risky = env_on(
        column(10.0, 10.0), 100.0, num_stock_shares=[20], risk=[9.0, 0.0], turbulence_threshold=5.0
    )
    assert play(risky, [[0.0]]).cash.tolist() == [1_000.0, 1_200.0 - 40.0]


@pytest.mark.parametrize("volume", [0.0, NAN, -3.0])
@pytest.mark.parametrize("action", ["orders", "target_weights"])
def test_nothing_is_traded_in_a_row_without_volume(volume, action):
    env = env_on(column(10.0, 10.0, 10.0), column(volume, 1e6, 1e6), action=action)
    assert (play(env, [[0.5], [0.5]]).trades.ravel() > 0).tolist() == [False, True]
    assert play(env_on(column(10.0, 10.0), column(5.0, volume), action=action), [[1.0]]).trades[0]
    late = env_on(
        column(10.0, 10.0, 10.0),
        column(5.0, volume, 5.0),
        open_=column(10.0, 10.0, 10.0),
        fill="next_open",
        action=action,
    )
    assert play(late, [[1.0]]).trades.tolist() == [[0.0]]


# -- target weights ----------------------------------------------------------------------------


def test_weights_are_those_after_costs_and_slippage():
    env = env_on(column(10.0, 10.0), 100.0, action="target_weights", fractional_shares=True)
    history = play(env, [[0.5]])
    # a = 1000 - (a / 2)^2 / (10 * 100), so a^2 + 4000 a = 4e6
    after = 2_000.0 * (np.sqrt(2.0) - 1.0)
    assert history.account_value[1] == pytest.approx(after, rel=1e-14)
    assert env.state[2] * 10.0 == pytest.approx(0.5 * after, rel=1e-13)
    assert history.cost[0] == pytest.approx(1_000.0 - after, rel=1e-12)


def test_all_in_spends_all_cash():
    env = env_on(
        [[10.0, 10.0]] * 3,
        [100.0, 50.0],
        action="target_weights",
        fractional_shares=True,
        no_trade_band=0.0,
        buy_cost_pct=0.01,
        sell_cost_pct=0.02,
    )
    history = play(env, [[0.5, 0.5], [0.1, 0.9]])
    assert ((history.cash[1:] >= 0.0) & (history.cash[1:] <= 1e-9)).all()
    met = np.array(env.state[3:]) * 10.0 / history.account_value[-1]
    np.testing.assert_allclose(met, [0.1, 0.9], atol=1e-12)


def test_what_is_left_alone_shrinks_the_buys():
    # A cannot be traded and is 500 of 1000; all in B: 500 = x + x^2 / (10 * 100)
    env = env_on(
        [[10.0, 10.0]] * 2,
        100.0,
        tradable=[[False, True]] * 2,
        action="target_weights",
        fractional_shares=True,
        initial_amount=500.0,
        num_stock_shares=[50, 0],
    )
    history = play(env, [[0.0, 1.0]])
    bought = 500.0 * (np.sqrt(3.0) - 1.0)
    assert history.trades[0].tolist() == [0.0, pytest.approx(bought / 10.0, rel=1e-12)]
    assert history.cash[1] == pytest.approx(0.0, abs=1e-9)


def test_weights_are_planned_with_the_volume_seen_and_charged_with_that_of_the_fill():
    env = env_on(
        column(10.0, 10.0, 10.0),
        column(100.0, 50.0, 1.0),
        open_=column(10.0, 10.0, 10.0),
        fill="next_open",
        action="target_weights",
        fractional_shares=True,
    )
    history = play(env, [[0.5]])
    shares = 100.0 * (np.sqrt(2.0) - 1.0)
    assert history.trades[0, 0] == pytest.approx(shares, rel=1e-12)
    assert history.cost[0] == pytest.approx(10.0 * shares * shares / 50.0, rel=1e-12)


def test_a_planned_sell_ends_where_a_share_more_brings_less():
    # half of the volume brings the most: 50 for 500 - 250, then the other 50; as asked, 100 would
    # have brought nothing
    for action in ([0.0], [0.5]):
        env = env_on(
            column(10.0, 10.0, 10.0),
            100.0,
            action="target_weights",
            num_stock_shares=[100],
            initial_amount=1e-9,
        )
        history = play(env, [action, [0.0]])
        assert history.trades.ravel().tolist() == [-50.0, -50.0]
        assert history.cash.tolist() == pytest.approx([1e-9, 250.0, 500.0])
    # with 20 % of proportional cost 40, in lots of 15 two of them, at no volume to speak of none
    options = {"action": "target_weights", "num_stock_shares": [100], "sell_cost_pct": 0.2}
    env = env_on(column(10.0, 10.0), 100.0, **options)
    assert play(env, [[0.0]]).trades.ravel().tolist() == [-40.0]
    env = env_on(column(10.0, 10.0), 100.0, lot_size=15, hmax=15, **options)
    assert play(env, [[0.0]]).trades.ravel().tolist() == [-30.0]
    assert play(env_on(column(10.0, 10.0), 1.0, **options), [[0.0]]).trades.tolist() == [[0.0]]


def test_what_is_not_sold_shrinks_the_buys():
    # of 1000 in A, 500 are sold for 250, which buy B: x + x^2 / 1000 = 250
    env = env_on(
        [[10.0, 10.0]] * 2,
        100.0,
        action="target_weights",
        num_stock_shares=[100, 0],
        initial_amount=1e-9,
        fractional_shares=True,
    )
    history = play(env, [[0.0, 1.0]])
    bought = 500.0 * (np.sqrt(2.0) - 1.0)
    assert history.trades[0].tolist() == pytest.approx([-50.0, bought / 10.0], rel=1e-9)
    assert history.cash[1] == pytest.approx(0.0, abs=1e-9)


def test_weights_are_met_whatever_the_volume():
    met_all, bounded = 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 8))
        close = rng.uniform(5.0, 50.0, (1, n)).repeat(9, axis=0)
        volume = 10.0 ** rng.uniform(0.0, 7.0, (9, n))
        slippage, sell = float(rng.choice([0.01, 1.0, 30.0])), float(rng.choice([0.0, 0.01, 0.2]))
        env = StockTradingEnv(
            market_with(close, volume),
            action="target_weights",
            no_trade_band=0.0,
            fractional_shares=True,
            initial_amount=float(10.0 ** rng.uniform(2.0, 6.0)),
            volume_slippage=slippage,
            buy_cost_pct=float(rng.choice([0.0, 0.01, 0.2])),
            sell_cost_pct=sell,
        )
        env.reset()
        held = np.zeros(n)
        for row in range(8):
            action = rng.uniform(-0.5, 1.0, n)
            wanted = np.clip(action, 0.0, 1.0)
            wanted /= max(1.0, wanted.sum())
            env.step(action)
            (before, after), cash = env.asset_memory[-2:], env.state[0]
            met, near = np.array(env.state[1 + n :]) * close[0], 1e-12 * before
            most = (1.0 - sell) / (2.0 * slippage) * volume[row] * close[0]
            sold, held = np.maximum(held - met, 0.0), met
            assert (sold <= most + near).all()
            assert after > 0.0
            kept = np.isclose(sold, most, rtol=1e-12, atol=near)
            if not kept.any():
                np.testing.assert_allclose(met, wanted * after, rtol=0, atol=near)
                met_all += 1
                continue
            # what is kept beyond its weight is missing where others are bought
            missing = wanted * after - met
            assert (missing[kept] <= near).all()
            np.testing.assert_allclose(missing[~kept & (sold > 0.0)], 0.0, atol=near)
            assert (missing >= -near)[~kept].all()
            assert (missing <= near).all() or cash <= near
            bounded += 1
    assert min(met_all, bounded) > 200


# -- baselines ---------------------------------------------------------------------------------


def test_baselines_pay_it_by_the_same_rules():
    close = [[10.0, 20.0], [20.0, 20.0], [20.0, 20.0]]
    data = market_with(close, [100.0, 0.0])
    config = EnvConfig(
        initial_amount=1_000.0,
        buy_cost_pct=0.0,
        sell_cost_pct=0.0,
        volume_slippage=1.0,
        hmax=1_000,
    )
    # B has no volume; all cash buys 61 of A for 982.1, as the env does
    np.testing.assert_allclose(buy_and_hold(data, config), [1_000.0, 1_237.9, 1_237.9])
    env = make_env(data, config)
    np.testing.assert_allclose(buy_and_hold_of(env.accounts), [1_000.0, 1_237.9, 1_237.9])
    env.reset()
    own = play(env, [[1.0, 0.0], [0.0, 0.0]]).account_value
    np.testing.assert_allclose(own, [1_000.0, 1_237.9, 1_237.9])
    # half in A: 50 for 500 + 250; then to half of 250 + 1000: 31.25 - 50 = -18.75, whole 18, which
    # bring 360 less 20 * 18^2 / 100
    curve = rebalanced_curve(data, np.array([0.5, 0.0]), config)
    np.testing.assert_allclose(curve, [1_000.0, 1_250.0, 250.0 + 360.0 - 64.8 + 32 * 20.0])
    held = held_curve(data, np.array([1.0, 0.0]), config)
    # 100 wanted for 1000 + 1000: the share s of which 1000 s + 1000 s^2 is 1000, 61.8 of them
    np.testing.assert_allclose(held, [1_000.0, 1_237.9, 1_237.9])


@pytest.mark.parametrize("fill", ["close", "next_open"])
def test_who_buys_and_holds_is_paid_0_by_the_active_reward(fill):
    close = [[10.0, 20.0], [10.0, 20.0], [12.0, 19.0], [15.0, 25.0]]
    env = env_on(
        close, [100.0, 200.0], open_=close, fill=fill, reward="active", fractional_shares=True,
        initial_amount=1_000.0, buy_cost_pct=0.01,
    )  # fmt: skip
    shares = env.accounts.limits.benchmark_shares[0]
    # 500 each: 10.1 q + q^2 / 10 and 20.2 q + q^2 / 10
    np.testing.assert_allclose(10.1 * shares[0] + 0.1 * shares[0] ** 2, 500.0, rtol=1e-13)
    np.testing.assert_allclose(20.2 * shares[1] + 0.1 * shares[1] ** 2, 500.0, rtol=1e-13)
    actions = np.array([shares / 1_000.0, [0.0, 0.0], [0.0, 0.0]])
    rewards = [env.step(action)[1] for action in actions]
    np.testing.assert_allclose(rewards, 0.0, atol=1e-10)
    np.testing.assert_allclose(buy_and_hold_of(env.accounts), env.asset_memory, rtol=1e-12)


# -- what is refused ---------------------------------------------------------------------------


def test_data_without_volume_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"volume_slippage needs the traded volume .* column vol"):
        StockTradingEnv(random_market(), volume_slippage=0.1)
    with pytest.raises(ConfigError, match=r"volume_slippage needs the traded volume .* column vol"):
        create_env(finrl_frame(random_market()), volume_slippage=0.1)
    with pytest.raises(DataError, match=r"got none for \['B'\]"):
        env_on([[10.0, 20.0]] * 2, [1.0, NAN])
    # a frame with volumes is taken
    frame = finrl_frame(random_market())
    frame["volume"] = 100.0
    assert create_env(frame, volume_slippage=0.1).accounts.limits.impact[0, 0] == 0.001


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"volume_slippage": -0.1}, "volume_slippage .* must be a finite number >= 0, got -0.1"),
        ({"volume_slippage": np.inf}, "finite number >= 0, got inf"),
        ({"volume_slippage": np.nan}, "finite number >= 0, got nan"),
        ({"volume_slippage": 0.1, "parity": True}, r"leave \['volume_slippage'\] out"),
        ({"volume_slippage": 0.1, "ties": "argsort"}, "volume_slippage .* need the mended ties"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        StockTradingEnv(random_market(), **options)


# -- what holds in any market ------------------------------------------------------------------

MARKETS = 500


def drawn_env(seed, change=lambda market: market):
    rng = np.random.default_rng(seed)
    n, halts = int(rng.integers(1, 7)), float(rng.choice([0.0, 0.15]))
    market = random_market(14, n, 1, seed=seed, halts=halts)
    volume = np.floor(10.0 ** rng.uniform(0.0, 6.0, market.close.shape))
    volume[rng.random(volume.shape) < 0.05] = 0.0
    market = change(dataclasses.replace(market, volume=volume))
    options = {
        "action": str(rng.choice(["orders", "target_weights"])),
        "hmax": 1_000,
        "initial_amount": float(rng.choice([300.0, 20_000.0, 1e7])),
        "buy_cost_pct": float(rng.choice([0.0, 0.001, 0.05])),
        "sell_cost_pct": float(rng.choice([0.0, 0.001, 0.05])),
        "fractional_shares": bool(rng.integers(2)),
        "volume_slippage": float(rng.choice([0.01, 0.3, 5.0])),
        "fill": str(rng.choice(["close", "next_open"])),
        "num_stock_shares": [int(k) for k in rng.integers(0, 40, n)],
    }
    if rng.random() < 0.3:
        options |= {"lot_size": 2, "cooldown": 1, "stop_loss": 0.97}
    if rng.random() < 0.3:
        options["turbulence_threshold"] = 80.0
    env = StockTradingVecEnv(market, 1, **options)
    env.reset()
    actions = rng.uniform(-1.0, 1.0, (13, 1, n)) ** rng.integers(1, 4)
    actions[rng.random(actions.shape) < 0.2] = 0.0
    actions[3], actions[8] = 1.0, -1.0
    return env, actions.astype(np.float32), options


@pytest.mark.parametrize("first", range(0, MARKETS, 100))
def test_invariants_in_random_markets(first):
    for seed in range(first, first + 100):
        env, actions, options = drawn_env(seed)
        market, volume = env.accounts.table.market, env.accounts.table.volume
        state, n = np.array(env.get_attr("state")[0]), env.accounts.table.n_assets
        for step, action in enumerate(actions):
            before = state
            _, _, dones, _ = env.step(action)
            if dones[0]:
                break
            state = np.array(env.get_attr("state")[0])
            cash, shares = state[0], state[1 + n : 1 + 2 * n]
            assert cash >= 0.0
            assert (shares >= 0.0).all()
            value = env.get_attr("asset_memory")[0][-1]
            held = cash + market.close[step + 1] @ shares
            assert value == pytest.approx(held, rel=1e-9, abs=1e-9)
            traded = shares - before[1 + n : 1 + 2 * n]
            row = step + (options["fill"] == "next_open")
            price = market.price[row]
            assert (traded[volume[row] == 0.0] == 0.0).all()
            amount = np.abs(price * traded)
            share = np.abs(traded) / np.where(volume[row] > 0.0, volume[row], 1.0)
            rate = np.where(traded > 0, options["buy_cost_pct"], options["sell_cost_pct"])
            each = amount * (rate + options["volume_slippage"] * share)
            each = np.where(traded < 0, np.minimum(each, amount), each)
            cost = env.accounts.books.ledger[0, step + 1, 3]
            near = 1e-9 * max(1.0, env.get_attr("asset_memory")[0][-2])
            assert cost == pytest.approx(each.sum(), rel=1e-9, abs=near)
            # rounding makes no money: the account has paid for its shares and its costs
            paid = before[0] - cash - price @ traded
            assert paid == pytest.approx(cost, rel=1e-9, abs=near)
            if not options["fractional_shares"] and "lot_size" not in options:
                assert (traded == np.round(traded)).all()


@pytest.mark.parametrize("first", range(0, MARKETS, 100))
def test_no_order_depends_on_a_later_row(first):
    for seed in range(first, first + 100):
        row = 4 + seed % 8

        planned = []
        for change in (
            lambda market: market,
            partial(another_future, row=row),
            lambda market, row=row: market.rows(0, row + 2),
        ):
            env, actions, _ = drawn_env(seed, change)
            for step in range(row):
                env.step(actions[step])
            env.accounts._write_orders(actions[row])
            planned.append(env.accounts._orders.copy())
        assert np.array_equal(planned[0], planned[1])
        assert np.array_equal(planned[0], planned[2])


@pytest.mark.parametrize("action", ["orders", "target_weights"])
def test_states_pickles_and_single_accounts_go_on_bit_for_bit(action):
    market = random_market(30, 4)
    volume = np.random.default_rng(0).uniform(10.0, 1e4, market.close.shape)
    market = dataclasses.replace(market, volume=volume)
    options = {"action": action, "volume_slippage": 0.2, "stop_loss": 0.95, "reward": "active"}
    env, again = (StockTradingVecEnv(market, 3, random_start=True, **options) for _ in range(2))
    env.seed(4)
    env.reset()
    rng = np.random.default_rng(1)
    for _ in range(9):
        env.step(rng.uniform(-1, 1, (3, 4)).astype(np.float32))
    again.set_state(pickle.loads(pickle.dumps(env.get_state())))
    pickled = pickle.loads(pickle.dumps(env))
    for _ in range(40):
        actions = rng.uniform(-1, 1, (3, 4)).astype(np.float32)
        steps = [each.step(actions) for each in (env, again, pickled)]
        for other in steps[1:]:
            assert all(np.array_equal(steps[0][k], other[k]) for k in range(3))
    single, several = StockTradingEnv(market, **options), StockTradingVecEnv(market, 2, **options)
    single.reset()
    several.reset()
    for _ in range(20):
        action_ = rng.uniform(-1, 1, 4).astype(np.float32)
        one = single.step(action_)
        observation, rewards, *_ = several.step(np.array([action_, action_]))
        assert np.array_equal(one[0], observation[1])
        assert np.float32(one[1]) == rewards[1]
