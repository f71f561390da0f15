"""Weights of classical portfolios: the conditions of the optimum, and skfolio's numbers."""

import numpy as np
import pytest

from finrl_ray.baselines import weights
from finrl_ray.baselines.weights import (
    hierarchical_risk_parity_weights,
    minimum_variance_weights,
    train_returns,
)
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.errors import ConfigError, DataError


def test_two_assets_by_hand() -> None:
    # uncorrelated with variances 1 and 4: weights 4/5 and 1/5
    returns = np.array([[1.0, 2.0], [-1.0, 2.0], [1.0, -2.0], [-1.0, -2.0]])
    np.testing.assert_allclose(minimum_variance_weights(returns), [0.8, 0.2], atol=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_no_other_long_only_portfolio_has_less_variance(seed) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 30))
    rows = int(rng.integers(5, 200))
    returns = rng.normal(size=(rows, n)) @ rng.normal(size=(n, n)) + rng.normal(size=(rows, 1))
    found = minimum_variance_weights(returns)
    assert found.sum() == pytest.approx(1.0)
    assert (found >= 0).all()
    covariance = np.cov(returns, rowvar=False)
    least = found @ covariance @ found
    # the slope towards every other portfolio is not downwards: that of each single ticker suffices
    slope = covariance @ found
    assert (slope >= least - 1e-6 * np.trace(covariance) / n).all()


def test_minimum_variance_is_skfolios() -> None:
    optimization = pytest.importorskip("skfolio.optimization")
    returns = train_returns(MarketData.from_finrl(read_bundled()).rows(0, 800))
    other = optimization.MeanRisk().fit(returns).weights_
    np.testing.assert_allclose(minimum_variance_weights(returns), other, atol=1e-3)


def test_odd_returns() -> None:
    assert minimum_variance_weights(np.random.default_rng(0).normal(size=(50, 1))) == [1.0]
    still = minimum_variance_weights(np.zeros((50, 3)))
    assert still.sum() == pytest.approx(1.0)
    more = np.random.default_rng(0).normal(size=(5, 40))
    assert minimum_variance_weights(more).sum() == pytest.approx(1.0)
    with pytest.raises(DataError, match="must be finite"):
        minimum_variance_weights(np.array([[np.nan, 1.0], [0.0, 1.0]]))


def test_returns_do_not_jump_over_seams() -> None:
    data = MarketData.from_finrl(read_bundled()).rows(0, 100)
    taken = data.take([(0, 10), (50, 60)])
    returns = train_returns(taken)
    assert returns.shape == (18, 4)
    np.testing.assert_array_equal(returns[:9], train_returns(data)[:9])
    np.testing.assert_array_equal(returns[9:], train_returns(data)[50:59])


def test_hierarchical_risk_parity() -> None:
    pytest.importorskip("skfolio")
    returns = train_returns(MarketData.from_finrl(read_bundled()).rows(0, 800))
    found = hierarchical_risk_parity_weights(returns)
    assert found.sum() == pytest.approx(1.0)
    assert (found > 0).all()


def test_without_skfolio_the_reason_is_said(monkeypatch) -> None:
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install \"finrl-ray\[sp500\]\""):
        hierarchical_risk_parity_weights(np.zeros((10, 2)))
