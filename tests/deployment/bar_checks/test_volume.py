"""Volumes that a source revises stop only the agents that depend on them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from finrl_ray.config.data import DataConfig
from finrl_ray.config.env import EnvConfig
from finrl_ray.deployment.bar_checks.volume import needs_volume
from finrl_ray.deployment.new_bars import BarRules, NewBars, read_new_bars
from finrl_ray.errors import DataError

TICKERS = ("AAA", "BBB")
DAYS = pd.bdate_range("2019-01-01", periods=60, unit="ns")
COLUMNS = ("date", "tic", "open", "high", "low", "close", "volume", "trend")


def bars() -> pd.DataFrame:
    random = np.random.default_rng(3)
    parts = []
    for ticker in TICKERS:
        close = 50.0 * np.exp(np.cumsum(random.normal(0, 0.01, len(DAYS))))
        prices = dict.fromkeys(("open", "high", "low", "close"), close)
        parts.append(pd.DataFrame({"date": DAYS, "tic": ticker, **prices}))
    frame = pd.concat(parts, ignore_index=True)
    frame["volume"] = random.integers(1e6, 2e6, len(frame)) * 1.0
    return frame.sort_values(["date", "tic"], ignore_index=True)


ALL = bars()
KNOWN = ALL[ALL["date"] < DAYS[58]].reset_index(drop=True)


def revised(ticker: str = "AAA") -> pd.DataFrame:
    """The last ten bars, of which two known ones have another volume, and one was taken back."""
    frame = ALL[ALL["date"].between(DAYS[49], DAYS[58])].reset_index(drop=True)
    own = (frame["tic"] == ticker).to_numpy()
    days = frame["date"].to_numpy()
    frame.loc[own & np.isin(days, DAYS[[51, 55]].to_numpy()), "volume"] *= 1.001
    frame.loc[own & (days == DAYS[53].to_datetime64()), "volume"] = np.nan
    return frame


def read(frame: pd.DataFrame, *, volume_matters: bool) -> NewBars:
    rules = BarRules(date=DAYS[58])
    config = DataConfig(features=())
    return read_new_bars(frame, KNOWN, config, TICKERS, rules, volume_matters=volume_matters)


def test_a_revised_volume_is_told_where_it_does_not_matter_and_refused_where_it_does() -> None:
    found = read(revised(), volume_matters=False)
    (said,) = [note for note in found.notes if "volume" in note]
    assert said.startswith("The source has revised 3 volumes of 18 in common (first that of AAA on")
    assert "the known ones are kept" in said
    assert set(found.rows["date"]) == {DAYS[58]}  # nothing known is taken anew
    with pytest.raises(DataError, match=r"changed history: volume of AAA on 2019-03-13"):
        read(revised(), volume_matters=True)
    same = ALL[ALL["date"].between(DAYS[49], DAYS[58])]
    for matters in (False, True):
        assert not any("revised" in note for note in read(same, volume_matters=matters).notes)


def test_prices_are_compared_all_the_same() -> None:
    frame = revised()
    frame.loc[4, "close"] *= 1.001
    with pytest.raises(DataError, match=r"changed history: close of AAA"):
        read(frame, volume_matters=False)


def test_a_ticker_that_is_said_not_to_trade_has_no_revised_volume() -> None:
    frame = revised()
    rules = BarRules(date=DAYS[58], not_traded=("BBB",))
    frame = frame[frame["tic"] == "AAA"]
    found = read_new_bars(
        frame, KNOWN, DataConfig(features=()), TICKERS, rules, volume_matters=False
    )
    assert any("revised 3 volumes of 9 in common" in note for note in found.notes)


@pytest.mark.parametrize(
    ("features", "env", "needed"),
    [
        ("finrl", {}, False),
        (("macd", "trend"), {}, False),
        (("macd", "volume"), {}, True),
        (("mfi",), {}, True),  # the money flow index is one of volume
        (("my_features:compute",), {}, True),
        ("finrl", {"volume_slippage": 0.1}, True),
        ("finrl", {"class_": "my_env:Env"}, True),
    ],
)
def test_who_needs_volume(features: tuple[str, ...], env: dict[str, object], needed: bool) -> None:
    config = DataConfig(features=features)  # type: ignore[arg-type]  # finrl too
    options = replace(EnvConfig(), **env)  # type: ignore[arg-type]  # by name
    assert needs_volume(COLUMNS, config, [options]) is needed
    assert needs_volume(COLUMNS, config, [EnvConfig(), options]) is needed


def test_volume_as_a_column_of_the_whole_market_is_needed() -> None:
    config = DataConfig(features=(), market_columns=("volume",))
    assert needs_volume(COLUMNS, config, [EnvConfig()])
