"""Stationary observations: weights, returns and features, standardised, with earlier rows."""

import dataclasses
import math

import numpy as np
import pytest
from env_markets import finrl_frame, hand_market, random_market

from finrl_ray.config.env import EnvConfig
from finrl_ray.config.env_options.trading import TradingOptions
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.make import create_env, make_env, make_vec_env, with_fitted_scaling
from finrl_ray.env.observed_columns import check_table_size, entry_names, observation_size
from finrl_ray.env.scaling import (
    ObservationScaling,
    fit_observation_scaling,
    fitted_scaling,
)
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError, DataError

UP, HALF, DOWN = math.log(1.1), math.log(0.5), math.log(100 / 121)
CLOSE = [[100.0, 50.0], [110.0, 50.0], [121.0, 25.0], [100.0, 25.0], [100.0, 50.0]]
FEATURES = [[[1.0], [6.0]], [[2.0], [7.0]], [[3.0], [8.0]], [[4.0], [9.0]], [[5.0], [10.0]]]
SMALL = {"observation": "stationary", "return_horizons": (1, 2)}
# of each day: the return over one period of A and B, over two, the feature
ROWS = [
    [0.0, 0.0, 0.0, 0.0, 1.0, 6.0],
    [UP, 0.0, UP, 0.0, 2.0, 7.0],
    [UP, HALF, 2 * UP, HALF, 3.0, 8.0],
    [DOWN, 0.0, math.log(100 / 110), HALF, 4.0, 9.0],
    [0.0, -HALF, DOWN, -HALF, 5.0, 10.0],
]


def small_market(seams: tuple[int, ...] = ()) -> MarketData:
    market = hand_market(CLOSE, features=FEATURES, feature_names=("f",))
    return dataclasses.replace(market, seams=seams)


def table_of(market: MarketData, **options: object) -> list[list[float]]:
    rows: list[list[float]] = StockTradingEnv(
        market, **options
    ).accounts.table.market.table.tolist()
    return rows


def test_returns_and_features_by_hand() -> None:
    for row, expected in zip(table_of(small_market(), **SMALL), ROWS, strict=True):
        assert row == pytest.approx(expected, abs=1e-6)


def test_earlier_rows_come_after_todays() -> None:
    table = table_of(small_market(), **SMALL, lookback=3)
    # the first row stands in for those before it
    for day, earlier in enumerate([(0, 0), (0, 0), (1, 0), (2, 1), (3, 2)]):
        expected = [*ROWS[day], *ROWS[earlier[0]], *ROWS[earlier[1]]]
        assert table[day] == pytest.approx(expected, abs=1e-6)


def test_nothing_before_a_seam_is_looked_at() -> None:
    table = table_of(small_market(seams=(3,)), **SMALL, lookback=2)
    third, fourth = [0.0] * 4 + [4.0, 9.0], [0.0, -HALF, 0.0, -HALF, 5.0, 10.0]
    assert table[3] == pytest.approx([*third, *third], abs=1e-6)
    assert table[4] == pytest.approx([*fourth, *third], abs=1e-6)
    assert table[2] == pytest.approx([*ROWS[2], *ROWS[1]], abs=1e-6)


def test_observations_by_hand() -> None:
    """Cash and positions as shares of the account, where FinRL has cash and shares."""
    env = StockTradingEnv(
        small_market(),
        hmax=10,
        initial_amount=1_000.0,
        num_stock_shares=[2, 4],
        buy_cost_pct=0.01,
        sell_cost_pct=0.0,
        **SMALL,
        lookback=2,
    )
    assert (env.observation_space.shape, env.state_space) == ((15,), 15)
    observation, _ = env.reset()
    held = [200 / 1400, 200 / 1400]
    assert observation == pytest.approx([1000 / 1400, 0, 0, *held, *ROWS[0][2:], *ROWS[0]])
    assert env.state == [1000.0, 100.0, 50.0, 2.0, 4.0, 1.0, 6.0]
    # five shares of A are bought at 100 with costs of 5, all of B is sold: cash is 695
    observation = env.step(np.array([0.5, -1.0]))[0]
    value = 695 + 7 * 110
    expected = [695 / value, UP, 0, 770 / value, 0, *ROWS[1][2:], *ROWS[0]]
    assert observation == pytest.approx(expected)
    # held for a day: the weights drift with the prices
    observation = env.step(np.array([0.0, 0.0]))[0]
    value = 695 + 7 * 121
    assert observation[[0, 3, 4]] == pytest.approx([695 / value, 847 / value, 0])
    assert env.render() == env.state == [695.0, 121.0, 25.0, 7.0, 0.0, 3.0, 8.0]


def test_an_account_that_is_worth_nothing_shows_zeros() -> None:
    nothing = [0.0] * 5
    options = {**SMALL, "initial": False, "previous_state": nothing}
    single, several = (make(small_market(), **options) for make in (StockTradingEnv, _two))
    single.reset()
    seen = [single.reset()[0], single.step(np.ones(2))[0]]
    several.reset()
    together = [several.reset(), several.step(np.ones((2, 2)))[0]]
    for one, many in zip(seen, together, strict=True):
        assert one[[0, 3, 4]].tolist() == [0.0, 0.0, 0.0]
        assert np.isfinite(one).all()
        assert (many == one).all()


def _two(market: MarketData, **options: object) -> StockTradingVecEnv:
    return StockTradingVecEnv(market, 2, **options)


def test_scaling_by_the_train_window_alone() -> None:
    """Three train days with the returns 0, ln 2, -ln 2: a mean of 0, a deviation of ln 2 * .816."""
    market = hand_market(
        [[1.0], [2.0], [1.0], [1e9], [1.0], [2.0]],
        features=[[[0.0]], [[2.0]], [[4.0]], [[2.0]], [[6.0]], [[-1e9]]],
        feature_names=("f",),
    )
    options = TradingOptions(observation="stationary", return_horizons=(1,))
    scaling = fit_observation_scaling(market.rows(0, 3), 1e6, options)
    spread = math.sqrt(2 / 3)
    assert scaling.offset == pytest.approx([0.0, 2.0])
    assert scaling.scale == pytest.approx([math.log(2) * spread, 2 * spread])
    rules = {"observation": "stationary", "return_horizons": (1,), "lookback": 2}
    table = table_of(market, **rules, observation_scaling=scaling)
    one = 1 / spread
    standard = [(0, -one), (one, 0), (-one, one), (10, 0), (-10, 2 * one), (one, -10)]
    for day, row in enumerate(table):
        expected = [*standard[day], *standard[max(0, day - 1)]]
        assert row == pytest.approx(expected, abs=1e-6)


def test_without_a_scaling_nothing_is_cut_off() -> None:
    market = hand_market([[1.0], [1e9]], features=[[[0.0]], [[1e9]]], feature_names=("f",))
    table = table_of(market, observation="stationary", return_horizons=(1,))
    assert table[1] == pytest.approx([math.log(1e9), 1e9])


def test_a_constant_column_is_only_shifted() -> None:
    market = hand_market(
        [[5.0], [5.0], [5.0]], features=[[[3.0]], [[3.0]], [[3.0]]], feature_names=("f",)
    )
    scaling = fit_observation_scaling(market, 1.0, TradingOptions(observation="stationary"))
    assert scaling.scale.tolist() == [1.0] * 5
    table = table_of(market, observation="stationary", observation_scaling=scaling)
    assert table == [[0.0] * 5] * 3


def test_nothing_reads_a_later_row() -> None:
    config = EnvConfig(observation="stationary", lookback=4, fill="next_open")
    market, other = random_market(40, seed=3), random_market(40, seed=4)
    cut = 25
    arrays = {
        name: np.concatenate([getattr(market, name)[:cut], getattr(other, name)[cut:]])
        for name in ("open", "close", "features", "tradable", "market_features")
    }
    changed = dataclasses.replace(market, **arrays)
    scaling = fitted_scaling(config, market.rows(0, 20))
    again = fitted_scaling(config, changed.rows(0, 20))
    assert scaling is not None
    assert again is not None
    assert scaling.key() == again.key()
    seen = []
    for data in (market, changed, market.rows(0, cut)):
        env = make_vec_env(data, config, n_envs=2, scaling=scaling, training=False)
        rng = np.random.default_rng(0)
        rows = [env.reset()]
        for _ in range(cut - 2):
            rows.append(env.step(rng.uniform(-1, 1, (2, 3)).astype(np.float32))[0])
        seen.append(np.stack(rows))
    assert np.array_equal(seen[0], seen[1])
    assert np.array_equal(seen[0], seen[2])


def test_a_window_does_not_look_before_itself() -> None:
    """A window cut from a longer market is that window of a market which begins there."""
    market = random_market(60, seed=5)
    options = {"observation": "stationary", "lookback": 5}
    alone = hand_market(
        market.close[20:],
        features=market.features[20:],
        feature_names=market.feature_names,
        tickers=market.tickers,
    )
    assert table_of(market.rows(20, 60), **options) == table_of(alone, **options)


def test_segments_are_traded_with_their_own_rows() -> None:
    market = dataclasses.replace(random_market(30, seed=6), seams=(12,))
    options = {"observation": "stationary", "return_horizons": (1, 3), "lookback": 2}
    whole = np.array(table_of(market, **options))
    parts = [market.rows(0, 12), market.rows(12, 30)]
    assert np.array_equal(whole, np.concatenate([table_of(part, **options) for part in parts]))
    env = StockTradingVecEnv(market, 1, **options)
    starts = [env.reset()[0, 1:4]]
    for _ in range(40):
        observations, _, dones, _ = env.step(np.zeros((1, 3), dtype=np.float32))
        if dones[0]:
            starts.append(observations[0, 1:4])
    assert len(starts) >= 3
    assert all((start == 0).all() for start in starts)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, 1 + 2 * 3 + 2 * 3),
        ({"observation": "stationary"}, 1 + 3 + (4 + 2) * 3),
        ({"observation": "stationary", "lookback": 7}, 1 + 3 + 7 * (4 + 2) * 3),
        ({"observation": "stationary", "return_horizons": (9,), "lookback": 2}, 1 + 3 + 2 * 3 * 3),
    ],
)
def test_one_size_everywhere(options, size) -> None:
    market = random_market(20)
    chosen = TradingOptions(**options)
    assert observation_size(chosen, 3, 2) == size
    env = StockTradingEnv(market, state_space=size, **options)
    assert env.observation_space.shape == env.reset()[0].shape == (size,)
    names = entry_names(chosen, market.tickers, market.feature_names)
    assert len(names) == len(set(names)) == size
    with pytest.raises(ConfigError, match=rf"state_space must be {size} \(1 \+"):
        StockTradingEnv(market, state_space=size + 1, **options)


def test_entries_have_names() -> None:
    chosen = TradingOptions(observation="stationary", return_horizons=(5,), lookback=2)
    assert entry_names(chosen, ("A", "B"), ("macd",)) == [
        "share of the account in cash",
        "log return over 5 of A",
        "log return over 5 of B",
        "share of the account in A",
        "share of the account in B",
        "macd of A",
        "macd of B",
        "log return over 5 of A, 1 row before",
        "log return over 5 of B, 1 row before",
        "macd of A, 1 row before",
        "macd of B, 1 row before",
    ]
    assert entry_names(TradingOptions(), ("A",), ("macd",)) == [
        "cash", "close of A", "shares of A", "macd of A",
    ]  # fmt: skip


def test_markets_observed_otherwise_are_told_apart() -> None:
    market = random_market(20)
    scaling = fit_observation_scaling(market, 1.0, TradingOptions(observation="stationary"))
    kinds = [
        {},
        {"observation": "stationary"},
        {"observation": "stationary", "observation_scaling": scaling},
        {"observation": "stationary", "lookback": 2},
        {"observation": "stationary", "return_horizons": (1, 5)},
    ]
    envs = [StockTradingEnv(market, **options) for options in kinds]
    again = [StockTradingEnv(market, **options) for options in kinds]
    tables = [env.accounts.table for env in envs]
    assert len({table.observation_hash for table in tables}) == len(kinds)
    assert len({table.fingerprint for table in tables}) == len(kinds) - 1  # all but the scaling
    for env, other in zip(envs, again, strict=True):
        assert env.accounts.table.market.table is other.accounts.table.market.table
        assert env.accounts.table.fingerprint == other.accounts.table.fingerprint
    with pytest.raises(ConfigError, match="this state belongs to another market"):
        envs[0].set_state(envs[1].get_state())


def test_state_goes_on_bit_for_bit() -> None:
    market = random_market(40, seed=8)
    options = {"observation": "stationary", "lookback": 3, "random_start": True}
    first, second = (StockTradingVecEnv(market, 3, **options) for _ in range(2))
    first.seed(1)
    first.reset()
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (60, 3, 3)).astype(np.float32)
    for action in actions[:30]:
        first.step(action)
    second.reset()
    second.set_state(first.get_state())
    for action in actions[30:]:
        one, other = first.step(action), second.step(action)
        assert all(np.array_equal(a, b) for a, b in zip(one[:3], other[:3], strict=True))


def test_a_config_asks_for_the_scaling() -> None:
    market = random_market(40)
    config = EnvConfig(observation="stationary", lookback=2)
    assert config.scales_observations
    with pytest.raises(
        ConfigError, match=r"env\.observation is 'stationary', so scaling must be fit_"
    ):
        make_env(market, config)
    scaling = fitted_scaling(config, market.rows(0, 30))
    # standardised either way: `train` says the same
    said = dataclasses.replace(config, observation_scaling="train")
    observations = [make_env(market, c, scaling=scaling).reset()[0] for c in (config, said)]
    assert np.array_equal(*observations)
    assert fitted_scaling(said, market.rows(0, 30)).key() == scaling.key()
    assert fitted_scaling(EnvConfig(), market) is None


def test_scalings_of_other_observations_are_refused() -> None:
    market = random_market(20)
    options = TradingOptions(observation="stationary", return_horizons=(1,))
    stationary = fit_observation_scaling(market, 1e6, options)
    finrl = fit_observation_scaling(market, 1e6)
    assert stationary.offset.size == finrl.offset.size  # the number of columns tells nothing
    with pytest.raises(ConfigError, match="of the kind 'finrl', but this env shows 'stationary"):
        StockTradingEnv(
            market, observation="stationary", return_horizons=(1,), observation_scaling=finrl
        )
    with pytest.raises(ConfigError, match="returns over 1', but this env shows 'finrl'"):
        StockTradingEnv(market, observation_scaling=stationary)
    with pytest.raises(ConfigError, match="returns over 2'; fit it"):
        StockTradingEnv(
            market, observation="stationary", return_horizons=(2,), observation_scaling=stationary
        )
    with pytest.raises(ConfigError, match=r"has 9 columns, .* has 6 \(tickers x \(1 returns"):
        StockTradingEnv(
            random_market(20, n_features=1),
            observation="stationary",
            return_horizons=(1,),
            observation_scaling=stationary,
        )
    again = ObservationScaling.from_dict(stationary.to_dict())
    assert (again.columns, again.key()) == (stationary.columns, stationary.key())


def test_accounts_can_be_shown_under_another_scaling() -> None:
    market = random_market(40)
    config = EnvConfig(observation="stationary", lookback=2)
    scaling = fitted_scaling(config, market.rows(0, 20))
    raw = StockTradingEnv(market, observation="stationary", lookback=2)
    raw.accounts.observe_with(scaling)
    scaled = make_env(market, config, scaling=scaling)
    assert np.array_equal(raw.reset()[0], scaled.reset()[0])
    action = np.ones(3, dtype=np.float32)
    assert np.array_equal(raw.step(action)[0], scaled.step(action)[0])
    assert raw.accounts.table.scaling is scaling


def test_arguments_are_given_the_train_windows_scaling() -> None:
    market = random_market(40)
    train, later = market.rows(0, 25), market.rows(25, 40)
    options = with_fitted_scaling(train, {"observation": "stationary", "hmax": 7})
    expected = fit_observation_scaling(train, 1.0, TradingOptions(observation="stationary"))
    assert options["observation_scaling"].key() == expected.key()
    assert create_env(later, **options).accounts.table.scaling.key() == expected.key()
    assert with_fitted_scaling(later, options)["observation_scaling"].key() == expected.key()
    assert with_fitted_scaling(train, {"hmax": 7}) == {"hmax": 7}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"observation": "relative"}, "observation must be one of 'finrl', 'stationary'"),
        ({"lookback": 3}, "lookback must be left at the default, or observation be 'stationary'"),
        ({"return_horizons": [1]}, "return_horizons must be left at the default"),
        ({"observation": "stationary", "lookback": 0}, "lookback must be >= 1 rows, got 0"),
        ({"observation": "stationary", "lookback": 2.5}, "lookback must be a whole number"),
        ({"observation": "stationary", "return_horizons": []}, "one or more different numbers"),
        ({"observation": "stationary", "return_horizons": [0, 1]}, r"each >= 1, got \[0, 1\]"),
        ({"observation": "stationary", "return_horizons": [5, 5]}, "different numbers of periods"),
        ({"observation": "stationary", "return_horizons": [1.5]}, "must be a whole number"),
        ({"observation": "stationary", "return_horizons": 5}, "must be numbers or None"),
        ({"observation": "stationary", "clean_data": False}, "needs the mended clean_data"),
        ({"observation": "stationary", "parity": True}, r"leave \['observation'\] out"),
    ],
)
def test_bad_options_are_refused(options, words) -> None:
    with pytest.raises(ConfigError, match=words):
        StockTradingEnv(random_market(20), **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lookback": 20}, "lookback must be less than the 20 rows of the window, got 20"),
        (
            {"lookback": 10**9},
            "lookback must be less than the 20 rows of the window, got 1000000000",
        ),
        ({"return_horizons": [1, 20]}, "return_horizons must be less than the 20 rows .*got 20"),
        ({"return_horizons": [10**30]}, "return_horizons must be less than the 20 rows"),
    ],
)
def test_who_looks_back_over_a_whole_window_is_refused(options, words) -> None:
    market, chosen = random_market(20), TradingOptions(observation="stationary", **options)
    with pytest.raises(ConfigError, match=words):
        StockTradingEnv(market, observation="stationary", **options)
    with pytest.raises(ConfigError, match=words):
        create_env(finrl_frame(market), observation="stationary", **options)
    with pytest.raises(ConfigError, match=words):
        fit_observation_scaling(market, 1e6, chosen)
    # one row less; a short window of an env that was fitted on a longer one may be shorter
    fits = {"lookback": 19, "return_horizons": (1, 19)}
    fitted = fit_observation_scaling(market, 1e6, TradingOptions(observation="stationary", **fits))
    for window in (market, market.rows(0, 9)):
        StockTradingEnv(window, observation="stationary", observation_scaling=fitted, **fits)


def test_the_default_horizons_are_cut_short_in_a_short_window() -> None:
    StockTradingEnv(random_market(20), observation="stationary")


def test_a_look_back_beyond_the_memory_is_refused_with_the_figures() -> None:
    options = TradingOptions(observation="stationary", lookback=200_000)
    # 250,000 rows of 200,000 x 12 numbers of 4 bytes
    with pytest.raises(
        ConfigError, match=r"at most 715, got 200000: .* would take 2235.2 GiB, and"
    ):
        check_table_size(options, 250_000, 12)
    check_table_size(TradingOptions(observation="stationary", lookback=715), 250_000, 12)


def test_a_feature_too_large_is_named() -> None:
    market = hand_market(
        [[1.0], [1.0], [1.0]], features=[[[0.0]], [[0.0]], [[1e39]]], feature_names=("f",)
    )
    with pytest.raises(DataError, match="f of A on 2020-01-03"):
        StockTradingEnv(market, observation="stationary", lookback=2)
