"""Generated markets: the same everywhere, nothing to find in one, a known edge in the other."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from finrl_ray.config.data import DataConfig
from finrl_ray.data.load import load_market_data
from finrl_ray.data.sources.generated import EDGE, N_DAYS, TICKERS, generated_market, read_generated


@pytest.mark.parametrize("kind", ["noise", "planted"])
def test_prices_are_consistent_and_the_same_every_time(kind) -> None:
    df = read_generated(kind)
    assert len(df) == N_DAYS * len(TICKERS)
    assert (df[["open", "close"]].max(axis=1) <= df["high"]).all()
    assert (df[["open", "close"]].min(axis=1) >= df["low"]).all()
    assert (df["low"] > 0).all()
    pd.testing.assert_frame_equal(df, read_generated(kind))
    other = generated_market(kind, seed=1, n_days=50, tickers=("A",))
    assert len(other) == 50
    data, report = load_market_data(DataConfig(source=kind))
    assert data.n_periods == N_DAYS
    assert "no real market" in report.lines()[0]


def test_prices_are_those_of_other_machines() -> None:
    df = read_generated("noise")
    cents = (df["close"].to_numpy() * 100).round().astype(np.int64)
    assert hashlib.sha256(cents.tobytes()).hexdigest()[:16] == "2c2404e559d98d03"


def wide(df: pd.DataFrame, column: str) -> np.ndarray:
    return df.pivot_table(index="date", columns="tic", values=column).to_numpy()


def test_nothing_predicts_noise() -> None:
    for seed in range(5):
        close = wide(generated_market("noise", seed=seed), "close")
        returns = close[1:] / close[:-1] - 1
        # means within four standard errors of 0, as are the correlations with the days before
        assert (np.abs(returns.mean(axis=0)) < 4 * returns.std(axis=0) / np.sqrt(N_DAYS)).all()
        for lag in (1, 2, 5):
            paired = [np.corrcoef(returns[lag:, k], returns[:-lag, k])[0, 1] for k in range(6)]
            assert np.abs(paired).max() < 4.5 / np.sqrt(N_DAYS)


def test_the_planted_signal_is_worth_what_is_said() -> None:
    df = read_generated("planted")
    close, signal, opened = wide(df, "close"), wide(df, "signal"), wide(df, "open")
    log_returns = np.log(close[1:] / close[:-1])
    slopes = [np.polyfit(signal[:-1, k], log_returns[:, k], 1)[0] for k in range(6)]
    np.testing.assert_allclose(slopes, EDGE, rtol=0.35)
    assert np.std(signal) == pytest.approx(1.0, abs=0.1)
    # it falls after the open, so that an order at the next open earns it
    after_open = np.log(close[1:] / opened[1:])
    in_the_day = [np.polyfit(signal[:-1, k], after_open[:, k], 1)[0] for k in range(6)]
    np.testing.assert_allclose(in_the_day, slopes, rtol=0.1)
    assert "signal" not in read_generated("noise")
