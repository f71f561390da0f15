"""Accounts that may owe shares: their options, their states, and what holds in any market."""

import dataclasses
import math
import pickle
from functools import partial

import numpy as np
import pytest
from env_markets import another_future, hand_market, random_market

from finrl_ray.config.env import EnvConfig
from finrl_ray.env.make import create_env, make_env, make_vec_env
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError

FLAT = [[10.0, 20.0]] * 5
FREE = {"initial_amount": 1_000.0, "buy_cost_pct": 0.0, "sell_cost_pct": 0.0}


def env_on(close, *, short=True):
    env = StockTradingEnv(hand_market(close), short=short, **FREE)
    env.reset()
    return env


def test_the_yaml_options_and_create_env_arrive():
    options = {"short": True, "borrow_rate": 0.365, "maintenance_margin": 0.4}
    config, market = EnvConfig(**options), random_market()
    for env in (
        make_env(market, config),
        make_vec_env(market, config).envs[0],
        create_env(market, **options),
    ):
        maintenance, fees = env.accounts._margin
        assert maintenance == 0.4
        np.testing.assert_allclose(fees[:3], [0.0, 0.001, 0.001], rtol=1e-12)
    assert make_env(market, EnvConfig()).accounts._margin is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"borrow_rate": -0.01}, r"borrow_rate is a fraction per year .* got -0.01"),
        ({"borrow_rate": 11.0}, "borrow_rate"),
        ({"borrow_rate": np.nan}, "borrow_rate"),
        ({"maintenance_margin": 1.01}, r"maintenance_margin .* within \[0, 1\], got 1.01"),
        ({"maintenance_margin": -0.1}, "maintenance_margin"),
        (
            {"short": False, "borrow_rate": 0.02},
            "borrow_rate must be left at the default, or short be true, got borrow_rate 0.02",
        ),
        ({"short": False, "maintenance_margin": 0.5}, "maintenance_margin must be left at the"),
        ({"short": "yes"}, "short must be one of False, True, got 'yes'"),
        ({"borrow_rate": "low"}, "must be numbers or None, got {'borrow_rate': 'low'}"),
        ({"parity": True}, r"leave \['short'\] out"),
        ({"time_limit": "dummy_step"}, "short needs the mended time_limit, .*'dummy_step'"),
        ({"count_empty_trades": True}, "short needs the mended"),
        ({"clean_data": False}, "short needs the mended"),
        ({"num_stock_shares": [-1, 0, 0]}, "num_stock_shares must be >= 0"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        StockTradingEnv(random_market(), **{"short": True, **options})


def test_another_env_goes_on_from_a_state_with_shares_owed():
    env = env_on(FLAT)
    env.step(np.array([-0.5, 0.1]))
    later = StockTradingEnv(
        hand_market(FLAT), short=True, initial=False, previous_state=env.render(), **FREE
    )
    later.reset()
    assert later.asset_memory == [env.asset_memory[-1]]
    later.step(np.array([0.5, 0.0]))
    assert later.state[3:] == [0.0, 10.0]
    with pytest.raises(ConfigError, match=r"previous_state must hold .* shares >= 0"):
        StockTradingEnv(hand_market(FLAT), initial=False, previous_state=env.render())


def test_a_state_with_shares_owed_needs_an_env_that_may_owe_them():
    env = env_on(FLAT)
    env.step(np.array([-0.5, 0.0]))
    with pytest.raises(ConfigError, match="saved with short=True and owes shares"):
        env_on(FLAT, short=False).set_state(env.get_state())


# -- what holds in any market ------------------------------------------------------------------

MARKETS = 500


def wild_market(n_periods, n_assets, seed, halts):
    """A random market in which prices may double within a day, so that margins break."""
    market = random_market(n_periods, n_assets, 1, seed=seed, halts=halts)
    rng = np.random.default_rng(seed)
    if rng.random() < 0.5:
        jumps = np.exp(rng.normal(0, 0.45, market.close.shape).cumsum(axis=0))
        gaps = np.exp(rng.normal(0, 0.2, market.close.shape))
        market = dataclasses.replace(
            market, close=market.close * jumps, open=market.open * jumps * gaps
        )
    return market


def drawn_env(seed, change=lambda market: market, **given):
    rng = np.random.default_rng(seed)
    n, halts = int(rng.integers(1, 7)), float(rng.choice([0.0, 0.15]))
    market = wild_market(14, n, seed, halts)
    volume = np.floor(10.0 ** np.random.default_rng(seed).uniform(0.0, 6.0, market.close.shape))
    volume[np.random.default_rng(seed + 1).random(volume.shape) < 0.05] = 0.0
    market = change(dataclasses.replace(market, volume=volume))
    costs = rng.choice([0.0, 0.001, 0.05], 2)
    options = {
        "action": ["orders", "target_weights"][rng.integers(2)],
        "hmax": 100,
        "initial_amount": float(rng.choice([300.0, 20_000.0, 1e7])),
        "buy_cost_pct": float(costs[0]),
        "sell_cost_pct": float(costs[1]),
        "fractional_shares": bool(rng.integers(2)),
        "fill": str(rng.choice(["close", "next_open"])),
        "num_stock_shares": [int(k) for k in rng.integers(0, 4, n)],
        "borrow_rate": float(rng.choice([0.0, 0.01, 2.0])),
        "maintenance_margin": float(rng.choice([0.0, 0.25, 0.9])),
        "reward": str(rng.choice(["account_change", "log_return", "active"])),
        "reward_scaling": 1.0,
    }
    if options["action"] == "target_weights":
        options |= {
            "max_weight": float(rng.choice([1.0, 0.4])),
            "no_trade_band": [None, 0.0, 0.1][rng.integers(3)],
            "trade_rate": float(rng.choice([1.0, 1.0, 0.3])),
        }
    if rng.random() < 0.3:
        options |= {"lot_size": 2, "cooldown": 1, "stop_loss": 0.97, "profit_loss_ratio": 2.0}
    if rng.random() < 0.3:
        options["turbulence_threshold"] = 80.0
    options |= given
    env = StockTradingVecEnv(market, 1, short=True, **options)
    env.reset()
    actions = rng.uniform(-1.0, 1.0, (13, 1, n))
    actions[rng.random(actions.shape) < 0.2] = 0.0
    actions[3], actions[8] = 1.0, -1.0
    return env, actions.astype(np.float32), options


def check_step(env, options, step, before, after):
    """Compare one step of an account that goes on with what must hold; return the gross."""
    n, market = env.accounts.table.n_assets, env.accounts.table.market
    cash, shares = after[0], after[1 + n : 1 + 2 * n]
    held = before[1 + n : 1 + 2 * n]
    value = env.get_attr("asset_memory")[0][-1]
    close, scale = market.close[step + 1], 1e-9 * (1.0 + abs(shares) @ market.close[step + 1])
    assert value > 0.0
    assert value == pytest.approx(cash + close @ shares, rel=1e-9, abs=scale)
    traded = shares - held
    row = step + (options["fill"] == "next_open")
    moved = options.get("volume_slippage", 0.0) * abs(traded)
    if moved.any():
        volume = env.accounts.table.volume[row]
        assert moved[volume == 0.0].sum() == 0.0
        moved = moved / np.where(volume > 0.0, volume, 1.0)
    price = np.where(market.tradable[row], market.price[row], market.close[step])
    days = np.diff(env.accounts.table.dates)[step] / np.timedelta64(1, "D")
    fee = options["borrow_rate"] * days / 365.0 * (close @ np.maximum(-shares, 0.0))
    bought = (price * np.maximum(traded, 0.0)) @ (options["buy_cost_pct"] + moved)
    sold = price * np.maximum(-traded, 0.0)
    cost = bought + sold @ np.minimum(options["sell_cost_pct"] + moved, 1.0)
    ledger = env.accounts.books.ledger[0, step + 1]
    assert ledger[3] == pytest.approx(cost + fee, rel=1e-9, abs=scale)
    assert before[0] - cash - price @ traded == pytest.approx(cost + fee, rel=1e-9, abs=10 * scale)
    gross, at_fill = abs(shares) @ price, cash + fee + shares @ price
    grown = abs(shares) > abs(held) + 1e-12
    turned = shares * held < 0.0
    if (grown | turned).any():
        assert gross <= at_fill + 10 * scale
    if cash + fee < -scale:
        # beside the price of borrowing only what the broker did unasked can have taken it there
        called = not (grown | turned).any()
        assert called
    return (grown | turned).any(), (shares < 0.0).any()


def slippage_of(seed):
    return {"volume_slippage": float(np.random.default_rng(seed).choice([0.01, 0.3, 5.0]))}


@pytest.mark.parametrize("slips", [False, True])
@pytest.mark.parametrize("first", range(0, MARKETS, 100))
def test_invariants_in_random_markets(first, slips):
    opened = owed = lost = 0
    for seed in range(first, first + 100):
        env, actions, options = drawn_env(seed, **(slippage_of(seed) if slips else {}))
        after, value = np.array(env.get_attr("state")[0]), env.get_attr("asset_memory")[0][0]
        paid = []
        for step, action in enumerate(actions):
            before = after
            _, rewards, dones, infos = env.step(action)
            paid.append(float(rewards[0]))
            if dones[0]:
                break
            after = np.array(env.get_attr("state")[0])
            found = check_step(env, options, step, before, after)
            opened, owed = opened + found[0], owed + found[1]
        history = infos[0]["account_history"]
        lost += not infos[0]["TimeLimit.truncated"]
        all_lost = history.account_value.min() < 1e-9 * value
        assert infos[0]["TimeLimit.truncated"] == (not all_lost)
        assert len(paid) == 13 or all_lost
        assert len(history.account_value) == 14
        assert (history.account_value > 0.0).all()
        grown = history.account_value[-1] / value
        if options["reward"] == "account_change":
            gained = history.account_value[-1] - value
            assert sum(paid) == pytest.approx(gained, rel=1e-4, abs=1e-6 * value)
        if options["reward"] == "log_return":
            assert sum(paid) == pytest.approx(math.log(grown), rel=1e-4, abs=1e-5)
        assert np.isfinite(paid).all()
    assert opened > 300
    assert owed > 300
    assert lost > 0


@pytest.mark.parametrize("slips", [False, True])
@pytest.mark.parametrize("first", range(0, MARKETS, 100))
def test_no_order_depends_on_a_later_row(first, slips):
    for seed in range(first, first + 100):
        row = 3 + seed % 8

        options = {"fill": "close"} if seed % 2 else {}
        options |= slippage_of(seed) if slips else {}
        drawn = [
            drawn_env(seed, **options),
            drawn_env(seed, partial(another_future, row=row), **options),
        ]
        for env, actions, _ in drawn:
            done = [env.step(actions[step])[2][0] for step in range(row)]
        if any(done):
            continue
        actions, chosen = drawn[0][1:]
        found = []
        for env, _, _ in drawn:
            env.accounts._write_orders(actions[row])
            found.append(env.accounts._orders.copy())
        assert np.array_equal(found[0], found[1])
        if chosen["fill"] == "close":
            # what is filled at this close knows nothing of the next, margin calls included
            for env, _, _ in drawn:
                env.accounts.step(actions[row])
            traded = [env.accounts.books.trades[0, row] for env, _, _ in drawn]
            ended = [env.accounts.is_lost(0) for env, _, _ in drawn]
            assert any(ended) or np.array_equal(*traded)


@pytest.mark.parametrize("slippage", [0.0, 0.05])
@pytest.mark.parametrize("action", ["orders", "target_weights"])
def test_an_agent_that_owes_nothing_gets_the_same(action, slippage):
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 8))
        market = random_market(20, n, 1, seed=seed, halts=0.1)
        volume = rng.uniform(10.0, 1e4, market.close.shape)
        market = dataclasses.replace(market, volume=volume)
        options = {
            "action": action,
            "volume_slippage": slippage,
            "hmax": 40,
            "initial_amount": float(rng.choice([3_000.0, 100_000.0])),
            "fractional_shares": bool(rng.integers(2)),
            "fill": str(rng.choice(["close", "next_open"])),
        }
        if rng.random() < 0.5:
            options |= {"lot_size": 2, "cooldown": 1, "stop_loss": 0.97}
        if rng.random() < 0.3:
            options["turbulence_threshold"] = 80.0
        plain, short = (
            StockTradingVecEnv(market, 1, short=flag, **options) for flag in (False, True)
        )
        plain.reset(), short.reset()
        for _ in range(18):
            actions = rng.uniform(-1.0, 1.0, (1, n))
            held = np.array(plain.get_attr("state")[0])[1 + n : 1 + 2 * n]
            # orders sell at most what is held, weights are 0 or above
            least = 0.0 if action == "target_weights" else -0.999 * held / 40
            actions = np.maximum(actions, least)
            steps = [env.step(actions) for env in (plain, short)]
            if slippage and action == "target_weights":  # equations solved in another order
                np.testing.assert_allclose(steps[0][0], steps[1][0], rtol=1e-6, atol=1e-6)
                continue
            assert np.array_equal(steps[0][0], steps[1][0]), (seed, options)
            assert steps[0][1] == steps[1][1]
        assert plain.get_attr("trades") == short.get_attr("trades")


@pytest.mark.parametrize("action", ["orders", "target_weights"])
@pytest.mark.parametrize(
    "options", [{}, {"fractional_shares": True, "stop_loss": 0.95}, {"volume_slippage": 0.1}]
)
def test_a_resumed_episode_continues_bit_for_bit(action, options):
    market = wild_market(30, 4, 1, 0.1)
    volume = np.random.default_rng(2).uniform(10.0, 1e4, market.close.shape)
    market = dataclasses.replace(market, volume=volume)
    env, again = (
        StockTradingVecEnv(market, 3, action=action, short=True, random_start=True, **options)
        for _ in range(2)
    )
    env.seed(4)
    env.reset()
    rng = np.random.default_rng(1)
    for _ in range(9):
        env.step(rng.uniform(-1, 1, (3, 4)).astype(np.float32))
    assert (env.accounts.books.shares < 0).any()
    again.set_state(pickle.loads(pickle.dumps(env.get_state())))
    pickled = pickle.loads(pickle.dumps(env))
    for _ in range(40):
        actions = rng.uniform(-1, 1, (3, 4)).astype(np.float32)
        steps = [each.step(actions) for each in (env, again, pickled)]
        for other in steps[1:]:
            assert all(np.array_equal(steps[0][k], other[k]) for k in range(3))


@pytest.mark.parametrize("slippage", [0.0, 0.1])
@pytest.mark.parametrize("action", ["orders", "target_weights"])
def test_a_vec_env_equals_single_envs(action, slippage):
    market = wild_market(20, 70, 2, 0.1)
    volume = np.random.default_rng(2).uniform(10.0, 1e4, market.close.shape)
    market = dataclasses.replace(market, volume=volume)
    options = {
        "volume_slippage": slippage,
        "action": action,
        "short": True,
        "initial_amount": 50_000.0,
        "hmax": 30,
    }
    vec = StockTradingVecEnv(market, 2, **options)
    singles = [StockTradingEnv(market, **options) for _ in range(2)]
    vec.reset(), [env.reset() for env in singles]
    rng = np.random.default_rng(0)
    for _ in range(18):
        actions = rng.uniform(-1, 1, (2, 70)).astype(np.float32)
        observations, rewards, dones, _ = vec.step(actions)
        if dones.any():
            break
        for k, env in enumerate(singles):
            observation, reward, *_ = env.step(actions[k])
            assert np.array_equal(observation, observations[k])
            assert np.float32(reward) == rewards[k]
