"""All baselines of a window: same days, same costs, the train window's weights alone."""

import dataclasses

import numpy as np
import pytest

from finrl_ray.baselines import weights
from finrl_ray.baselines.curves import (
    baseline_curves,
    curve_measures,
    measures_table,
)
from finrl_ray.baselines.random_policy import random_policy_curves
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import parse_config
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.metrics.returns import active_returns


@pytest.fixture(scope="module")
def data() -> MarketData:
    df = read_bundled()
    df["sp"] = df.groupby("date")["close"].transform("mean")
    return MarketData.from_finrl(df, features=["volume"], market_columns=("sp",)).rows(0, 400)


def config(**sections: dict[str, object]) -> ExperimentConfig:
    return parse_config(sections)


def test_every_baseline_begins_with_the_same_amount_on_the_same_days(data) -> None:
    pytest.importorskip("skfolio")
    settings = config(
        evaluation={"index_column": "sp"},
        data={"market_columns": ["sp"]},
    )
    window, train = data.rows(250, 400), data.rows(0, 250)
    found = baseline_curves(window, train, settings, periods_per_year=252.0)
    assert list(found.curves) == [
        "buy_and_hold",
        "equal_weight",
        "minimum_variance",
        "hrp",
        "random_policy",
        "cash",
        "index",
    ]
    for curve in found.curves.values():
        assert curve.shape == (150,)
        assert curve[0] == pytest.approx(1e6)
        assert np.isfinite(curve).all()
    series = window.market_series("sp")
    np.testing.assert_allclose(found.curves["index"], 1e6 * series / series[0])
    low, middle, high = found.random_sharpe
    assert low < middle < high
    assert found.notes == ()
    measures = curve_measures(found.curves, periods_per_year=252.0, risk_free_rate=0.0)
    assert measures["buy_and_hold"]["active_sharpe_ratio"] == 0.0
    own = active_returns(found.curves["cash"], found.curves["buy_and_hold"])
    assert measures["cash"]["active_sharpe_ratio"] == pytest.approx(
        own.mean() / own.std(ddof=1) * np.sqrt(252)
    )
    table = measures_table(measures, found).set_index("strategy")
    assert table.loc["random_policy", "sharpe_5_pct"] == low


def test_weights_come_from_the_train_rows_alone(data) -> None:
    window, train = data.rows(250, 400), data.rows(0, 250)
    before = baseline_curves(window, train, config(), periods_per_year=252.0).curves[
        "minimum_variance"
    ]
    altered = dataclasses.replace(train, close=train.close[::-1].copy())
    after = baseline_curves(window, altered, config(), periods_per_year=252.0).curves[
        "minimum_variance"
    ]
    assert not np.allclose(before, after)


def test_a_missing_library_leaves_a_note(data, monkeypatch) -> None:
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)
    found = baseline_curves(
        data.rows(250, 400), data.rows(0, 250), config(), periods_per_year=252.0
    )
    assert "hrp" not in found.curves
    assert found.notes[0].startswith("risk parity (HRP) is missing: skfolio is not installed")


@pytest.mark.parametrize(
    "env",
    [
        EnvConfig(),
        EnvConfig(fill="next_open"),
        EnvConfig(observation_scaling="train"),
        EnvConfig(observation="stationary", lookback=2),
        EnvConfig(action="target_weights"),
    ],
)
def test_a_random_policy_pays_the_envs_costs(data, env) -> None:
    window = data.rows(250, 400)
    curves = random_policy_curves(window, env, seed=3, n_accounts=8)
    assert curves.shape == (8, 150)
    np.testing.assert_array_equal(curves, random_policy_curves(window, env, seed=3, n_accounts=8))
    assert len({tuple(curve) for curve in curves}) == 8
    free = dataclasses.replace(env, buy_cost_pct=0.0, sell_cost_pct=0.0)
    without = random_policy_curves(window, free, seed=3, n_accounts=8)
    assert (without[:, -1] > curves[:, -1]).all()


def test_curves_of_different_days_are_refused() -> None:
    with pytest.raises(DataError, match=r"one length, got \(3,\) and \(4,\)"):
        active_returns(np.ones(3), np.ones(4))
    with pytest.raises(ConfigError, match=r"evaluation\.index_column must be one of"):
        parse_config({"evaluation": {"index_column": "sp500"}})
