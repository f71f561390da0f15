"""`create_env` on frames as FinRL makes them, and on MarketData."""

import numpy as np
import pandas as pd
import pytest

from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.env.create import create_env, indicator_columns
from finrl_ray.errors import ConfigError, DataError


def _frame() -> pd.DataFrame:
    df = read_bundled().query("date < '2004-12-01'").copy()
    df["macd"], df["vix"], df["note"] = 0.5, 20.0, "text"
    return df


def test_indicators_are_the_numeric_columns_that_finrl_does_not_fix() -> None:
    df = _frame()
    df.insert(0, "Unnamed: 0", range(len(df)))
    assert indicator_columns(df) == ["macd"]


def test_a_frame_gives_the_env_that_its_columns_describe() -> None:
    df = _frame()
    env = create_env(df, hmax=7)
    n = df["tic"].nunique()
    assert env.observation_space.shape == (1 + 3 * n,)
    assert env.hmax == 7
    observation, _ = env.reset()
    np.testing.assert_array_equal(observation[1 + 2 * n :], np.float32(0.5))


def test_a_named_list_wins_and_the_risk_column_is_no_indicator() -> None:
    df = _frame()
    df["stress"] = 1.0
    assert create_env(df, tech_indicator_list=[]).tech_indicator_list == []
    assert create_env(df, risk_indicator_col="stress").tech_indicator_list == ["macd"]


def test_the_callers_arguments_are_not_changed() -> None:
    kwargs: dict[str, object] = {"tech_indicator_list": None}
    create_env(_frame(), **kwargs)
    assert kwargs == {"tech_indicator_list": None}


def test_errors_name_what_came() -> None:
    with pytest.raises(DataError, match="got a list"):
        create_env([1, 2])  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="stock_dim must be"):
        create_env(_frame(), stock_dim=99)
