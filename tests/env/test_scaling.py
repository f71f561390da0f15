import json

import numpy as np
import pytest
from env_markets import hand_market, random_market

from finrl_ray.env.scaling import ObservationScaling, fit_observation_scaling
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.errors import ConfigError


def test_scaling_by_hand():
    market = hand_market(
        [[10.0, 4.0], [14.0, 4.0]],
        features=[[[1.0], [5.0]], [[3.0], [5.0]]],
        feature_names=("f",),
    )
    scaling = fit_observation_scaling(market, 100.0)
    assert scaling.offset.tolist() == [12.0, 4.0, 2.0, 5.0]
    # a constant column is shifted and not divided
    assert scaling.scale.tolist() == [2.0, 1.0, 1.0, 1.0]
    assert scaling.cash_factor == 0.01
    assert scaling.shares_factor.tolist() == [0.12, 0.04]
    env = StockTradingEnv(
        market, initial_amount=50.0, num_stock_shares=[5, 10], observation_scaling=scaling
    )
    observation, _ = env.reset()
    expected = np.array([0.5, -1.0, 0.0, 0.6, 0.4, -1.0, 0.0], dtype=np.float32)
    assert observation == pytest.approx(expected, rel=1e-6)
    assert env.state[:3] == [50.0, 10.0, 4.0]


def test_scaling_leaves_rewards_alone():
    market = random_market(20)
    scaling = fit_observation_scaling(market.rows(0, 10), 1e6)
    envs = [StockTradingEnv(market, observation_scaling=value) for value in (None, scaling)]
    for env in envs:
        env.reset()
    for action in np.random.default_rng(0).uniform(-1, 1, (19, 3)):
        first, second = (env.step(action) for env in envs)
        assert first[1:4] == second[1:4]
        assert not np.array_equal(first[0], second[0])


def test_rows_of_other_windows_do_not_matter():
    first, second = random_market(30, seed=1), random_market(30, seed=1)
    changed = second.close.copy()
    changed[20:] *= 3
    second = hand_market(changed, features=second.features, feature_names=second.feature_names)
    scalings = [fit_observation_scaling(m.rows(0, 20), 1e6) for m in (first, second)]
    assert scalings[0].key() == scalings[1].key()


def test_round_trip_through_plain_values():
    scaling = fit_observation_scaling(random_market(10), 1e6)
    values = scaling.to_dict()
    again = ObservationScaling.from_dict(values)
    assert again.key() == scaling.key()
    text = json.dumps({name: np.asarray(value).tolist() for name, value in values.items()})
    assert ObservationScaling.from_dict(json.loads(text)).key() == scaling.key()


def test_wrong_scalings_are_refused():
    market = random_market(10)
    scaling = fit_observation_scaling(market, 1e6)
    with pytest.raises(ConfigError, match="has 9 columns, but this market has 6"):
        StockTradingEnv(random_market(10, n_features=1), observation_scaling=scaling)
    with pytest.raises(ConfigError, match="scales and factors must be positive"):
        ObservationScaling.from_dict({**scaling.to_dict(), "cash_factor": 0.0})
    with pytest.raises(ConfigError, match="every value must be finite"):
        ObservationScaling.from_dict({**scaling.to_dict(), "offset": np.full(9, np.nan)})
    with pytest.raises(ConfigError, match="must have shape"):
        ObservationScaling.from_dict({**scaling.to_dict(), "offset": np.zeros(4)})
    with pytest.raises(ConfigError, match="initial_amount must be > 0"):
        fit_observation_scaling(market, 0.0)
