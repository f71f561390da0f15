"""Hourly bars of coins, from a file to a trained agent."""

import numpy as np
import pandas as pd
import pytest

from finrl_ray.config.env import EnvConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import parse_config
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.periods_per_year import config_periods_per_year
from finrl_ray.data.windows.split import make_split
from finrl_ray.env.make import make_env
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.search.run.prepare import prepare_search

HOURS = 24 * 40


def coins(zone: str | None = None) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    stamps = pd.date_range("2022-01-01", periods=HOURS, freq="h", tz=zone)
    frames = []
    for tic, price in (("BTC", 40_000.0), ("DOGE", 0.15)):
        close = price * np.exp(rng.normal(0, 0.005, HOURS).cumsum())
        frame = pd.DataFrame({"date": stamps.astype(str), "tic": tic, "close": close})
        for name in ("open", "high", "low"):
            frame[name] = close
        frames.append(frame.assign(volume=1.0))
    return pd.concat(frames).sort_values(["date", "tic"])


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_times_of_day_are_kept(zone):
    market = MarketData.from_finrl(coins(zone))
    assert market.n_periods == HOURS
    assert market.dates[25] == np.datetime64("2022-01-02T01:00:00", "ns")


def test_fractions_of_coins_are_traded():
    env = StockTradingEnv(
        coins(), tech_indicator_list=[], initial_amount=1_000.0, fractional_shares=True,
        hmax=[0.05, 5_000], lot_size=[1e-5, 1.0],
    )  # fmt: skip
    env.reset()
    for action in ([0.4, 0.3], [-0.2, 0.0]):
        env.step(np.array(action))
    trades = env.account_history.trades
    assert 0 < trades[0, 0] <= 0.02
    assert trades[0, 1] == 1_500.0
    assert trades[0, 0] / 1e-5 == pytest.approx(round(trades[0, 0] / 1e-5))
    assert str(env.date_memory[1]) == "2022-01-01 01:00:00"


def test_the_preset_orders_shares_of_the_account_in_coins():
    # a tenth of 1,000 buys 0.0025 of the first at 40,000; a whole coin would be beyond the account
    market = MarketData.from_finrl(coins())
    config = EnvConfig(type="crypto", initial_amount=1_000.0, buy_cost_pct=0.0)
    env = make_env(market, config, training=False)
    env.reset()
    env.step(np.array([1.0, 0.5]))
    price = market.close[0]
    wanted = [100.0 / price[0], 50.0 / price[1]]
    np.testing.assert_allclose(env.account_history.trades[0], wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("freq", "n_bars", "kind", "periods"),
    [
        # of a Monday and a Tuesday: that weekends have bars is known of coins alone
        ("h", 48, "crypto", 8_760.0),
        ("15min", 96, "crypto", 35_040.0),
        ("D", 4, "crypto", 365.0),
        ("D", 4, "stock_trading", 252.0),
        ("B", 30, "crypto", 252.0),
        ("MS", 30, "crypto", 12.0),
    ],
)
def test_a_year_of_coins_has_365_days(freq, n_bars, kind, periods):
    dates = pd.date_range("2022-01-03", periods=n_bars, freq=freq).to_numpy()
    config = ExperimentConfig(env=EnvConfig(type=kind))
    assert config_periods_per_year(config, dates) == periods


@pytest.mark.slow
def test_a_search_over_hourly_bars_annualises_by_the_hour(tmp_path):
    coins().to_csv(tmp_path / "coins.csv", index=False)
    config = parse_config(
        {
            "data": {"source": "coins.csv", "features": ["rsi_30"]},
            "env": {"type": "crypto", "initial_amount": 1_000.0, "lot_size": 0.0001},
            "agent": {"total_timesteps": 100, "model_kwargs": {"n_steps": 32, "batch_size": 32}},
            "search": {"num_samples": 1},
        }
    )
    prepared = prepare_search(config, base_dir=tmp_path)
    assert prepared.config.evaluation.periods_per_year == 8_760.0
    split = make_split(prepared.market_data, prepared.config.split)
    assert split.validation.start.astype(str).startswith("2022-01-2")
