"""An agent's raw rows give the features that its search had, bit for bit, or are refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_search import made_config, prices

from finrl_ray.config.load import parse_config
from finrl_ray.data.load import market_data_of
from finrl_ray.data.windows.split import make_split
from finrl_ray.errors import SearchError
from finrl_ray.search.folder.folder import SearchFolder, create_folder
from finrl_ray.search.sampling.searched_data import data_of_search
from finrl_ray.workflows.deployment.bars import MEMORY, agents_data, bars_of
from finrl_ray.workflows.deployment.rows import trained_rows


def with_columns(n_days: int = 400) -> pd.DataFrame:
    """Return prices with every column, days without a quote, and one series per date."""
    df = prices(("AAA", "BBB", "CCC"), n_days)
    rng = np.random.default_rng(1)
    df["open"] = df["close"] * np.exp(rng.normal(0, 0.002, len(df)))
    df["high"] = df[["open", "close"]].max(axis=1) * 1.003
    df["low"] = df[["open", "close"]].min(axis=1) * 0.997
    df["volume"] = rng.integers(1_000, 9_000, len(df)).astype(float)
    df["mood"] = rng.normal(size=len(df))
    df["vix"] = df["date"].map(dict(zip(df["date"].unique(), rng.random(n_days), strict=True)))
    gone = (df["tic"] == "BBB") & (df.index % 7 == 3)
    return df[~gone].reset_index(drop=True)


def searched(storage: Path, df: pd.DataFrame, source: str = MEMORY, **data: object) -> SearchFolder:
    space = data.pop("space", {})
    config = made_config(storage, 1, data={"source": source, **data}, search={"space": space})
    market, _ = market_data_of(df, data_of_search(config))
    return create_folder(config, market, make_split(market, config.split), {"lines": []}, storage)


FEATURES = {"features": ["macd", "mood", "close_10_sma"], "market_columns": ["vix"]}


@pytest.mark.parametrize("turbulence", [False, True])
def test_features_come_out_as_the_search_had_them(tmp_path, turbulence) -> None:
    split = {
        "train": [None, "2021-03-01"],
        "validation": ["2021-03-01", "2021-04-01"],
        "test": ["2021-04-01", None],
    }
    raw = {"data": {"source": MEMORY, **FEATURES, "turbulence": turbulence}, "split": split}
    config = parse_config(raw)
    market, _ = market_data_of(with_columns(), config.data)
    assert not market.tradable.all()
    made = create_folder(config, market, make_split(market, config.split), {}, tmp_path)
    bars = bars_of(made, trained_rows(made), [{}])
    assert pd.to_datetime(bars["date"]).max() < pd.Timestamp("2021-04-01")
    again, _ = market_data_of(bars, agents_data(made.config.data, made.market_data))
    stop = again.n_periods
    assert again.content_hash == market.rows(0, stop).content_hash


def test_each_trial_has_its_own_features(tmp_path) -> None:
    space = {"data.features": {"choice": [["macd"], ["close_10_sma", "mood"]]}}
    folder = searched(tmp_path, with_columns(), space=space, features=["macd"])
    assert len(folder.market_data.feature_names) == 3
    samples = [{"data.features": ["macd"]}, {"data.features": ["close_10_sma", "mood"]}]
    bars = bars_of(folder, trained_rows(folder), samples)
    assert {"mood", "tradable"} <= set(bars.columns)


def test_later_rows_do_not_matter(tmp_path) -> None:
    df = with_columns()
    changed = df.copy()
    late = changed["date"] >= "2021-02-01"
    changed.loc[late, ["open", "high", "low", "close"]] *= 3.0
    both = [searched(tmp_path / name, one, **FEATURES) for name, one in (("a", df), ("b", changed))]
    first, second = (bars_of(one, trained_rows(one), [{}]) for one in both)
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_a_column_named_like_an_indicator_is_asked_of_the_source(tmp_path) -> None:
    df = with_columns().assign(macd=lambda one: np.sin(np.arange(len(one))))
    df.to_csv(tmp_path / "prices.csv", index=False)
    read = pd.read_csv(tmp_path / "prices.csv")
    folder = searched(tmp_path, read, source=str(tmp_path / "prices.csv"), features=["macd"])
    bars = bars_of(folder, trained_rows(folder), [{}])
    again, _ = market_data_of(bars, agents_data(folder.config.data, folder.market_data))
    rows = trained_rows(folder)
    assert rows.cut(again).content_hash == rows.cut(folder.market_data).content_hash
    (tmp_path / "prices.csv").unlink()
    with pytest.raises(
        SearchError, match=r"cannot be computed again.*\n.*to warm up.*\n.*there is no file"
    ):
        bars_of(folder, rows, [{}])


def test_features_of_another_version_are_refused(tmp_path) -> None:
    folder = searched(tmp_path, with_columns(), features=["macd"])
    other = folder.market_data.features + 1e-9
    changed = dataclasses.replace(
        folder, market_data=dataclasses.replace(folder.market_data, features=other)
    )
    with pytest.raises(SearchError, match=r"other values of the features \['macd'\]"):
        bars_of(changed, trained_rows(changed), [{}])


def test_the_agents_data_has_no_end_and_its_own_tickers(tmp_path) -> None:
    folder = searched(tmp_path, with_columns(), features=[], end="2021-07-01")
    data = agents_data(folder.config.data, folder.market_data)
    assert (data.source, data.tickers, data.end) == (MEMORY, ("AAA", "BBB", "CCC"), None)
