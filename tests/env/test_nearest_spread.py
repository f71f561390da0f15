"""`nearest_spread`: how far a ticker's log price is from that of the ticker nearest to it."""

import math

import numpy as np
import pytest
from env_markets import hand_market, random_market

from finrl_ray.config.env import EnvConfig
from finrl_ray.config.env_options.trading import TradingOptions
from finrl_ray.env.make import make_env, make_vec_env, with_fitted_scaling
from finrl_ray.env.observed_columns import entry_names, nearest_tickers, observed_columns
from finrl_ray.env.scaling import ObservationScaling, fit_observation_scaling
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.errors import ConfigError

# log2 of A: 0 1 2 3, of B: 0 1 2 4, of C: 5 5 5 5
CLOSE = [[1.0, 1.0, 32.0], [2.0, 2.0, 32.0], [4.0, 4.0, 32.0], [8.0, 16.0, 32.0]]
OPTIONS = TradingOptions(observation="stationary", return_horizons=(1,), nearest_spread=True)
KEYWORDS = {"observation": "stationary", "return_horizons": (1,), "nearest_spread": True}


def test_the_nearest_ticker_by_hand() -> None:
    # variances of distances: A from B 3/16, A from C 20/16, B from C 35/16
    close = np.array(CLOSE)
    assert nearest_tickers(close).tolist() == [1, 0, 0]
    # levels mean nothing: tickers of other prices and the same moves are as near
    assert nearest_tickers(close * [1.0, 500.0, 1.0]).tolist() == [1, 0, 0]
    assert nearest_tickers(close[:, [2, 0, 1]]).tolist() == [1, 2, 1]
    assert nearest_tickers(close[:, :1]).tolist() == [0]
    # of equals the first
    assert nearest_tickers(np.ones((3, 3))).tolist() == [1, 0, 0]


def test_distances_by_hand() -> None:
    features = np.arange(12.0).reshape(4, 3, 1)
    columns = observed_columns(OPTIONS, np.array(CLOSE), features, (), np.array([1, 0, 0]))
    spread = columns[:, 3:6] / math.log(2)
    assert spread == pytest.approx(
        np.array([[0, 0, 5], [0, 0, 4], [0, 0, 3], [-1, 1, 2]], dtype=float)
    )
    assert np.array_equal(columns[:, 6:], features[:, :, 0])
    # without a fitted scaling every ticker is its own nearest
    assert not observed_columns(OPTIONS, np.array(CLOSE), features)[:, 3:6].any()


def test_the_train_window_alone_says_which_is_nearest() -> None:
    later = [[16.0, 1.0, 16.0], [32.0, 9.0, 32.0], [64.0, 2.0, 64.0]]  # now A moves as C does
    market = hand_market([*CLOSE, *later])
    scaling = fit_observation_scaling(market.rows(0, 4), 1e6, OPTIONS)
    assert scaling.nearest is not None
    assert scaling.nearest.tolist() == [1, 0, 0]
    table = StockTradingEnv(market, **KEYWORDS, observation_scaling=scaling)
    seen = np.array(table.accounts.table.market.table)
    # distances of A from B over the train window: 0 0 0 -1, in log2; mean -1/4, deviation sqrt(3)/4
    own = (np.array([0.0, 0, 0, -1, 4, math.log2(32 / 9), 5]) + 0.25) / (math.sqrt(3) / 4)
    assert seen[:, 3] == pytest.approx(own.clip(-10, 10), rel=1e-5)
    alone = StockTradingEnv(market.rows(0, 5), **KEYWORDS, observation_scaling=scaling)
    assert np.array_equal(alone.accounts.table.market.table, seen[:5])


def test_entries_sizes_and_names() -> None:
    names = entry_names(OPTIONS, ("A", "B"), ("macd",))
    assert names[5:7] == [
        "log price beyond the nearest ticker's of A",
        "log price beyond the nearest ticker's of B",
    ]
    market = random_market(20)
    size = 1 + 3 + 2 * (1 + 1 + 2) * 3
    env = StockTradingEnv(market, **KEYWORDS, lookback=2, state_space=size)
    assert env.reset()[0].shape == (size,)
    with pytest.raises(ConfigError, match=r"\(1 return_horizons \+ 1 nearest_spread \+ 2 indicat"):
        StockTradingEnv(market, **KEYWORDS, lookback=2, state_space=size - 1)


def test_single_and_vec_envs_and_a_pipeline_show_the_same() -> None:
    market = random_market(30, seed=3)
    config = EnvConfig(observation="stationary", nearest_spread=True)
    scaling = fit_observation_scaling(market.rows(0, 20), config.initial_amount, config)
    one = make_env(market, config, scaling=scaling).reset()[0]
    many = make_vec_env(market, config, n_envs=2, seed=0, scaling=scaling).reset()
    assert np.array_equal(one, np.asarray(many)[0])
    fitted = with_fitted_scaling(
        market.rows(0, 20), {**KEYWORDS, "return_horizons": (1, 5, 21, 63)}
    )
    assert fitted["observation_scaling"].key() == scaling.key()


def test_a_scaling_keeps_what_is_nearest() -> None:
    market = random_market(20)
    scaling = fit_observation_scaling(market, 1e6, OPTIONS)
    again = ObservationScaling.from_dict(scaling.to_dict())
    assert again.key() == scaling.key()
    other = ObservationScaling.from_dict({**scaling.to_dict(), "nearest": [0, 1, 2]})
    assert other.key() != scaling.key()
    without = {"observation": "stationary", "return_horizons": (1,)}
    with pytest.raises(ConfigError, match="distance from the nearest ticker', but this env shows"):
        StockTradingEnv(market, **without, observation_scaling=scaling)
    for wrong in ([0, 1], [0, 1, 3], [0.5, 1.0, 2.0], [-1, 0, 0]):
        with pytest.raises(ConfigError, match=r"nearest must be 3 indices .* within 0\.\.2, got"):
            ObservationScaling.from_dict({**scaling.to_dict(), "nearest": wrong})


def test_prices_have_no_distance_beside_them() -> None:
    with pytest.raises(ConfigError, match="nearest_spread must be left at the default, or obs"):
        EnvConfig(nearest_spread=True)
