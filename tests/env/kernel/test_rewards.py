"""What a step pays: every reward by hand, and what it sums to on random markets."""

import math
import pickle
from typing import Any, get_args

import numpy as np
import pytest
from env_markets import hand_market, random_market

from finrl_ray._typing import FloatArray
from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.env_options.reward import REWARD_SCALING, Reward
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.account_history import AccountHistory
from finrl_ray.env.kernel import rewards
from finrl_ray.env.make import make_vec_env
from finrl_ray.env.scaling import fit_observation_scaling
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError

KINDS = get_args(Reward)
FREE = {"hmax": 100, "initial_amount": 1000.0, "buy_cost_pct": 0.0, "sell_cost_pct": 0.0}


def play(env: Any, actions: Any) -> list[float]:
    env.reset()
    return [env.step(np.array(action, dtype=np.float64))[1] for action in actions]


def differential_sharpe_ratios(values: FloatArray, rate: float) -> list[float]:
    """The recursion of Moody and Saffell, as their paper has it."""
    first, second, paid = 0.0, 0.0, []
    for before, after in zip(values[:-1].tolist(), values[1:].tolist(), strict=True):
        change = after / before - 1.0
        below = second - first**2
        above = second * (change - first) - 0.5 * first * (change**2 - second)
        paid.append(above / below**1.5 if below > 1e-12 * second else 0.0)
        first += rate * (change - first)
        second += rate * (change**2 - second)
    return paid


# -- by hand -----------------------------------------------------------------------------------


def test_the_config_names_the_rewards_of_the_kernel() -> None:
    assert tuple(rewards.REWARDS) == KINDS == tuple(REWARD_SCALING)
    assert list(rewards.REWARDS.values()) == [0, 1, 2, 3]


def test_account_change_and_growth() -> None:
    assert rewards.account_change(100.0, 97.5) == -2.5
    assert rewards.growth(100.0, 97.5) == 0.975
    # all is lost, whatever is left; and what was worth nothing cannot grow
    assert rewards.growth(100.0, 0.0) == rewards.growth(100.0, -5.0) == 1e-12
    assert rewards.growth(0.0, 5.0) == rewards.growth(-1.0, 5.0) == 1.0


def test_the_first_steps_of_the_differential_sharpe_ratio() -> None:
    averages = np.zeros(2)
    # nothing is known of the spread of returns yet
    assert rewards.differential_sharpe(0.1, averages, 0.5) == 0.0
    assert averages == pytest.approx([0.05, 0.005], rel=1e-15)
    # dA = -.15, dB = .005: (.005 * -.15 - .05 * .005 / 2) / (.005 - .0025)^1.5
    assert rewards.differential_sharpe(-0.1, averages, 0.5) == pytest.approx(-7.0, rel=1e-12)
    assert averages == pytest.approx([-0.025, 0.0075], rel=1e-12)
    # dA = .025, dB = -.0075: (.0075 * .025 - .025 * .0075 / 2) / (.0075 - .000625)^1.5
    expected = 9.375e-5 / (0.006875 * math.sqrt(0.006875))
    assert rewards.differential_sharpe(0.0, averages, 0.5) == pytest.approx(expected, rel=1e-12)


def test_equal_returns_have_no_differential_sharpe_ratio() -> None:
    averages = np.zeros(2)
    for _ in range(5):
        assert rewards.differential_sharpe(0.0, averages, 0.1) == 0.0
    assert averages.tolist() == [0.0, 0.0]
    averages = np.zeros(2)
    paid = [rewards.differential_sharpe(0.01, averages, 0.5) for _ in range(200)]
    assert np.isfinite(paid).all()
    assert paid[-100:] == [0.0] * 100


def test_rounding_is_no_return_that_a_differential_sharpe_ratio_could_be_measured_by() -> None:
    flat = [0.1, 0.3, 0.7]
    env = StockTradingEnv(
        hand_market([*[flat] * 6, [0.11, 0.33, 0.77], [0.11, 0.33, 0.77]]),
        **{**FREE, "initial_amount": 1000.0 / 3.0},
        action="target_weights",
        fractional_shares=True,
        reward="differential_sharpe",
    )
    weights = [[0.3, 0.3, 0.3], [0.7, 0.1, 0.2], [0.1, 0.2, 0.7], [0.31, 0.41, 0.17]]
    paid = play(env, [*weights, *weights[:3]])
    values = env.account_history.account_value
    # trades that cost nothing at prices that stand still leave the account alone but for rounding
    assert 0.0 < abs(values[:6] / values[0] - 1.0).max() < 1e-14
    assert paid[:6] == [0.0] * 6
    # R = 0 after the first return r: A = r / 100 and B = r^2 / 100, so dA = -A and dB = -B
    assert paid[6] == pytest.approx(-0.5 * 1e-4 / (0.01 - 1e-4) ** 1.5, rel=1e-9)


def test_what_each_reward_pays_for_the_same_orders() -> None:
    # buy & hold has 50 A at 10 and 25 B at 20; the agent buys 100 A and holds them
    market = hand_market([[10.0, 20.0], [11.0, 20.0], [9.0, 24.0]])
    actions = [[1.0, 0.0], [0.0, 0.0]]
    paid = {}
    for kind in KINDS:
        env = StockTradingEnv(market, reward=kind, **FREE)
        paid[kind] = play(env, actions)
        assert env.asset_memory == [1000.0, 1100.0, 900.0]
        assert env.reward_scaling == REWARD_SCALING[kind]
        scaled = [reward * env.reward_scaling for reward in env.rewards_memory]
        assert scaled == paid[kind] == env.accounts.scaled_rewards(0)
        assert env.account_history.rewards.tolist() == env.rewards_memory
    assert paid["account_change"] == [0.01, -0.02]
    grown = [math.log(1.1), math.log(900 / 1100)]
    assert paid["log_return"] == pytest.approx([100 * g for g in grown], rel=1e-12)
    # buy & hold: 1000, 50 * 11 + 25 * 20 = 1050, 50 * 9 + 25 * 24 = 1050
    held = [math.log(1.05), 0.0]
    expected = [100 * (g - h) for g, h in zip(grown, held, strict=True)]
    assert paid["active"] == pytest.approx(expected, rel=1e-12)
    # A = .001, B = .0001 after the first return of 10 %; the second is 900/1100 - 1
    change = 900 / 1100 - 1
    above = 0.0001 * (change - 0.001) - 0.0005 * (change**2 - 0.0001)
    expected = [0.0, above / (0.0001 - 0.000001) ** 1.5]
    assert paid["differential_sharpe"] == pytest.approx(expected, rel=1e-10)


def test_the_rate_of_the_moving_averages_can_be_chosen() -> None:
    market = random_market(30, 2, 1)
    paid = {}
    for rate in (0.01, 0.3):
        env = StockTradingEnv(
            market, reward="differential_sharpe", differential_sharpe_rate=rate, **FREE
        )
        paid[rate] = play(env, np.ones((29, 2)))
        values = env.account_history.account_value
        assert paid[rate] == pytest.approx(differential_sharpe_ratios(values, rate), rel=1e-9)
    assert paid[0.01] != paid[0.3]


@pytest.mark.parametrize("kind", ["active", "log_return", "differential_sharpe"])
def test_missing_cash_is_taken_off_as_a_share_of_the_account(kind: str) -> None:
    market = hand_market([[10.0], [11.0], [12.0]])
    options: dict[str, Any] = {**FREE, "hmax": 10, "reward": kind, "reward_scaling": 2.0}
    plain = StockTradingEnv(market, **options)
    penalised = StockTradingEnv(market, cash_penalty_proportion=0.95, **options)
    actions = [[1.0], [-0.5]]
    # after day 1: value 1010, cash 900; after day 2: value 1015, cash 955 (see test_order_limits)
    missing = [(0.95 * 1010 - 900) / 1010, (0.95 * 1015 - 955) / 1015]
    without = play(plain, actions)
    expected = [pay - 2.0 * share for pay, share in zip(without, missing, strict=True)]
    assert play(penalised, actions) == pytest.approx(expected, rel=1e-12)
    assert penalised.rewards_memory == plain.rewards_memory
    assert penalised.accounts.scaled_rewards(0) == pytest.approx(expected, rel=1e-12)


def test_losing_everything_pays_a_finite_reward() -> None:
    # FinRL's arithmetic alone can trade a price of 0
    for kind in ("active", "log_return", "differential_sharpe"):
        market = hand_market([[10.0], [1e-300], [1e-300]])
        env = StockTradingEnv(market, reward=kind, **FREE)
        paid = play(env, [[1.0], [0.0]])
        assert np.isfinite(paid).all()
        if kind == "log_return":
            assert paid == [100 * math.log(1e-12), 0.0]


def test_a_dummy_step_repeats_the_reward() -> None:
    market = hand_market([[10.0], [11.0], [13.0]])
    env = StockTradingEnv(market, reward="log_return", time_limit="dummy_step", **FREE)
    paid = play(env, [[1.0], [0.0], [1.0]])
    assert paid[1] == paid[2] == pytest.approx(100 * math.log(1300 / 1100), rel=1e-12)
    assert len(env.rewards_memory) == 2


# -- configuration -----------------------------------------------------------------------------


def test_a_number_that_is_given_is_the_factor_whatever_the_reward() -> None:
    market = random_market(10)
    for kind in KINDS:
        env = StockTradingEnv(market, reward=kind, reward_scaling=0.5)
        assert env.reward_scaling == 0.5
        assert (
            StockTradingVecEnv(market, 2, reward=kind).accounts.reward_scaling
            == (REWARD_SCALING[kind])
        )
        assert EnvConfig(reward=kind).reward_scaling is None
        (venv,) = [make_vec_env(market, EnvConfig(reward=kind))]
        assert venv.get_attr("reward_scaling") == [REWARD_SCALING[kind]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reward": "sharpe"}, "reward must be one of 'account_change', 'active'"),
        ({"differential_sharpe_rate": 0.0}, r"must be within \(0, 1\), got 0.0"),
        ({"differential_sharpe_rate": 1.0}, r"must be within \(0, 1\), got 1.0"),
        ({"differential_sharpe_rate": "a"}, "must be numbers or None"),
        ({"reward": "active", "parity": True}, r"leave \['reward'\] out or set parity=False"),
        ({"reward": "active", "reward_scaling": 0.0}, "reward_scaling must be > 0"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        StockTradingEnv(random_market(10), **options)


@pytest.mark.parametrize("option", ["action", "fill", "observation", "reward"])
@pytest.mark.parametrize("value", ["sharpe", None, 1, ["active"]])
def test_a_config_built_in_python_names_the_kinds_that_there_are(option: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{option} must be one of '.*', got "):
        EnvConfig(**{option: value})


def test_the_config_refuses_rewards_that_float32_cannot_hold() -> None:
    # log returns do not depend on the currency: only account_change multiplies by the amount
    EnvConfig(reward="log_return", initial_amount=1e30)
    EnvConfig(initial_amount=1e30)
    EnvConfig(reward="active", initial_amount=1e-30, reward_scaling=1.0)
    for kind in KINDS[1:]:
        with pytest.raises(ConfigError, match=r"^reward_scaling \(1e-40\) gives rewards"):
            EnvConfig(reward=kind, reward_scaling=1e-40)
    with pytest.raises(ConfigError, match="reward_scaling must be > 0, or null, got -1"):
        EnvConfig(reward_scaling=-1.0)


# -- random markets ----------------------------------------------------------------------------


def random_case(seed: int) -> tuple[MarketData, dict[str, Any]]:
    """A market, with seams in every third case, and options that fit it."""
    rng = np.random.default_rng(seed)
    n_assets = int(rng.integers(1, 6))
    market = random_market(int(rng.integers(9, 40)), n_assets, 1, seed, float(rng.choice([0, 0.2])))
    if seed % 3 == 0:
        third = market.n_periods // 3
        market = market.take([(0, third), (third + 1, market.n_periods)])
    return market, {
        "fill": str(rng.choice(["close", "next_open"])),
        "fractional_shares": bool(rng.integers(2)),
        "random_start": bool(rng.integers(2)),
        "hmax": int(rng.choice([5, 100, 10_000])),
        "initial_amount": float(rng.choice([300.0, 1e4, 1e6])),
        "buy_cost_pct": float(rng.choice([0.0, 0.001, 0.05])),
        "sell_cost_pct": float(rng.choice([0.0, 0.001])),
        "action": str(rng.choice(["orders", "target_weights"])),
        "observation": str(rng.choice(["finrl", "stationary"])),
    }


def episodes(
    market: MarketData, options: dict[str, Any], n_steps: int, seed: int
) -> list[AccountHistory]:
    config = EnvConfig(**options)
    # any scaling will do, as long as both of the markets that are compared have the same
    scaling = (
        fit_observation_scaling(market.rows(0, 2), config.initial_amount, config)
        if config.scales_observations
        else None
    )
    env = make_vec_env(market, config, n_envs=2, seed=seed, scaling=scaling)
    env.reset()
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_steps):
        actions = rng.uniform(-0.5, 1, (2, market.n_assets)).astype(np.float32)
        infos = env.step(actions)[3]
        found += [info for info in infos if "episode" in info]
    scale = env.accounts.reward_scaling
    for info in found:
        total = info["account_history"].rewards.sum() * scale
        assert info["episode"]["r"] == pytest.approx(total, rel=1e-9, abs=1e-6)
    return [info["account_history"] for info in found]


@pytest.mark.parametrize("kind", KINDS)
def test_rewards_sum_to_what_they_claim_on_random_markets(kind: str) -> None:
    n_episodes = 0
    for seed in range(500):
        market, options = random_case(seed)
        config = EnvConfig(**options)
        for history in episodes(market, {**options, "reward": kind}, market.n_periods + 2, seed):
            values, total = history.account_value, history.rewards.sum()
            n_episodes += 1
            if kind == "account_change":
                expected = values[-1] - values[0]
                assert total == pytest.approx(expected, rel=1e-9, abs=1e-9 * values[0])
            elif kind == "log_return":
                assert total == pytest.approx(math.log(values[-1] / values[0]), abs=1e-12)
            elif kind == "active":
                first, last = np.searchsorted(market.dates, history.dates[[0, -1]])
                held = buy_and_hold(market.rows(int(first), int(last) + 1), config)
                assert len(held) == len(values)
                expected = math.log((values[-1] / values[0]) / (held[-1] / held[0]))
                assert total == pytest.approx(expected, abs=1e-12)
                steps = np.diff(np.log(values)) - np.diff(np.log(held))
                np.testing.assert_allclose(history.rewards, steps, rtol=0, atol=1e-12)
            else:
                expected_steps = differential_sharpe_ratios(values, 0.01)
                np.testing.assert_allclose(history.rewards, expected_steps, rtol=1e-6, atol=1e-9)
    assert n_episodes >= 1000


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_later_changes_no_reward(kind: str) -> None:
    for seed in range(500):
        market, options = random_case(seed)
        if market.seams:
            continue
        options |= {"reward": kind, "random_start": False}
        stop = int(np.random.default_rng(seed).integers(3, market.n_periods))
        whole = episodes(market, options, market.n_periods - 1, seed)
        cut = episodes(market.rows(0, stop), options, stop - 1, seed)
        assert len(whole) == len(cut) == 2
        for known, early in zip(whole, cut, strict=True):
            assert np.array_equal(known.rewards[: stop - 1], early.rewards)


@pytest.mark.parametrize("fractional", [False, True])
def test_an_agent_that_buys_and_holds_equal_weights_earns_nothing(fractional: bool) -> None:
    # 250,000 each: the orders are those of buy & hold; then it holds
    market = random_market(60, 4, 1, seed=5)
    unit = market.close[0] * 1.001
    orders = 250_000.0 / unit if fractional else np.floor(250_000.0 / unit)
    env = StockTradingEnv(
        market, reward="active", hmax=10_000, fractional_shares=fractional, reward_scaling=1.0
    )
    # half a share more is cut off again, and makes up for the rounding of the product with hmax
    actions = (orders if fractional else orders + 0.5) / 10_000.0
    paid = play(env, [actions, *np.zeros((58, 4))])
    assert env.account_history.trades is not None
    np.testing.assert_allclose(env.account_history.trades[0], orders, rtol=1e-12)
    np.testing.assert_allclose(paid, 0.0, atol=1e-13)
    idle = StockTradingEnv(market, reward="active", reward_scaling=1.0)
    assert sum(play(idle, np.zeros((59, 4)))) != 0.0


# -- what an account remembers -----------------------------------------------------------------


def vec(kind: str) -> StockTradingVecEnv:
    env = StockTradingVecEnv(
        random_market(25, 3, 1, seed=2, halts=0.1), 3, reward=kind, random_start=True
    )
    env.seed(4)
    return env


def steps(env: StockTradingVecEnv, rng: np.random.Generator, count: int) -> list[bytes]:
    found = []
    for _ in range(count):
        actions = rng.uniform(-1, 1, (3, 3)).astype(np.float32)
        observations, paid, _, infos = env.step(actions)
        ended = [info["account_history"].rewards.tobytes() for info in infos if len(info) > 1]
        found += [observations.tobytes(), paid.tobytes(), *ended]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_goes_on_with_the_same_rewards(kind: str) -> None:
    env = vec(kind)
    env.reset()
    steps(env, np.random.default_rng(0), 10)
    state = pickle.loads(pickle.dumps(env.get_state()))
    other = vec(kind)
    other.reset()
    steps(other, np.random.default_rng(9), 3)
    other.set_state(state)
    copied = pickle.loads(pickle.dumps(env))
    expected = steps(env, np.random.default_rng(1), 60)
    assert steps(other, np.random.default_rng(1), 60) == expected
    assert steps(copied, np.random.default_rng(1), 60) == expected


def test_states_of_accounts_that_know_no_rewards_are_read() -> None:
    env = vec("account_change")
    env.reset()
    state = env.get_state()
    for account in state["accounts"]:
        assert account.pop("limits") == {}
    vec("account_change").set_state(state)


def test_a_state_of_another_reward_is_refused() -> None:
    env = vec("active")
    env.reset()
    state = env.get_state()
    for kind in ("account_change", "log_return", "differential_sharpe"):
        other = vec(kind)
        with pytest.raises(ConfigError, match="cash_penalty_proportion and reward"):
            other.set_state(state)


def test_accounts_that_start_with_shares_are_measured_by_what_they_are_worth() -> None:
    market = random_market(12, 2, 1, seed=8)
    shares = [30, 10]
    env = StockTradingEnv(market, reward="active", num_stock_shares=shares, initial_amount=5e3)
    play(env, np.zeros((11, 2)))
    values = env.account_history.account_value
    amount = 5e3 + float(market.close[0] @ shares)
    held = buy_and_hold(market, EnvConfig(initial_amount=amount))
    expected = math.log((values[-1] / values[0]) / (held[-1] / held[0]))
    assert sum(env.rewards_memory) == pytest.approx(expected, abs=1e-12)
    later = StockTradingEnv(
        market.rows(5, 12), reward="active", initial=False, previous_state=env.render()
    )
    play(later, np.zeros((6, 2)))
    values = later.account_history.account_value
    held = buy_and_hold(market.rows(5, 12), EnvConfig(initial_amount=float(values[0])))
    expected = math.log((values[-1] / values[0]) / (held[-1] / held[0]))
    assert sum(later.rewards_memory) == pytest.approx(expected, abs=1e-12)
