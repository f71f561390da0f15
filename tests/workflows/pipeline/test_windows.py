"""The tables of a run are checked against each other before anything is trained."""

import numpy as np
import pytest
from small_windows import small_windows

from finrl_ray.config.env_options.trading import TradingOptions
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.scaling import fit_observation_scaling
from finrl_ray.errors import ConfigError, FinRLRayError
from finrl_ray.workflows.pipeline.windows import Windows

TRAIN, VALIDATION, TEST = small_windows()


def test_windows_that_share_a_day_are_refused_with_the_dates() -> None:
    shared = TRAIN[TRAIN["date"] >= "2005-03-01"]
    with pytest.raises(ConfigError, match=r"train data end on 2005-03-31 and the validation data"):
        Windows(TRAIN, shared, None, {})
    with pytest.raises(ConfigError, match=r"validation data end on .* and the test data begin"):
        Windows(TRAIN, VALIDATION, VALIDATION, {})


def test_other_tickers_or_indicators_are_refused() -> None:
    fewer = VALIDATION[VALIDATION["tic"] != "IBM"]
    with pytest.raises(ConfigError, match="the tickers of every window"):
        Windows(TRAIN, fewer, None, {})
    with pytest.raises(ConfigError, match=r"indicators of every window .* \['change', 'rsi_30'\]"):
        Windows(TRAIN, VALIDATION.drop(columns="rsi_30"), None, {})


def test_a_frame_in_another_order_of_rows_is_sorted_like_the_train_data() -> None:
    shuffled = [frame.sample(frac=1.0, random_state=1) for frame in (TRAIN, VALIDATION, TEST)]
    windows = Windows(*shuffled, {})
    names = [windows.markets[name].tickers for name in ("train", "validation", "test")]
    assert names[0] == names[1] == names[2]
    expected = Windows(TRAIN, VALIDATION, TEST, {})
    columns = [expected.markets["test"].tickers.index(ticker) for ticker in names[0]]
    np.testing.assert_array_equal(
        windows.markets["test"].features, expected.markets["test"].features[:, columns]
    )


def test_only_the_train_window_starts_at_random_days() -> None:
    windows = Windows(TRAIN, VALIDATION, TEST, {"random_start": True})
    starts = {
        name: {windows.env(name).reset(seed=seed)[0].tobytes() for seed in range(5)}
        for name in ("train", "validation", "test")
    }
    assert [len(starts[name]) == 1 for name in starts] == [False, True, True]


def test_a_fault_names_its_window() -> None:
    broken = VALIDATION.copy()
    broken["close"] = float("nan")
    with pytest.raises(FinRLRayError, match="the validation data: "):
        Windows(TRAIN, broken, None, {})


def test_equal_data_describe_themselves_equally_and_changed_data_do_not() -> None:
    one, other = (Windows(TRAIN, VALIDATION, TEST, {}).describe() for _ in range(2))
    assert one == other
    altered = TEST.copy()
    altered.loc[altered.index[5], "close"] += 0.01
    changed = Windows(TRAIN, VALIDATION, altered, {}).describe()
    assert changed["train"] == one["train"]
    assert changed["test"] != one["test"]


def test_stationary_observations_are_standardised_by_the_train_window() -> None:
    kind = {"observation": "stationary", "return_horizons": [1, 5], "lookback": 2}
    windows = Windows(TRAIN, VALIDATION, TEST, kind)
    options = TradingOptions(observation="stationary", return_horizons=(1, 5))
    train = MarketData.from_finrl(TRAIN, features=["change", "rsi_30"])
    expected = fit_observation_scaling(train, 1e6, options)
    columns = windows.env("train").accounts.table.market.table[:, : expected.offset.size]
    np.testing.assert_allclose(columns.mean(axis=0), 0, atol=1e-3)
    for name in ("train", "validation", "test"):
        scaling = windows.env(name).accounts.table.scaling
        assert scaling is windows.markets[name].scaling
        np.testing.assert_allclose(np.sort(scaling.offset), np.sort(expected.offset))
    own = Windows(TRAIN, VALIDATION, None, {**kind, "observation_scaling": expected})
    assert own.markets["validation"].scaling is expected


def test_every_window_gets_the_same_arguments() -> None:
    windows = Windows(TRAIN, VALIDATION, TEST, {"hmax": 7, "initial_amount": 5000})
    assert {windows.env(name).hmax for name in ("train", "validation", "test")} == {7}
    assert windows.buy_and_hold("test")[0] == 5000
    train_env, eval_env = windows.training_envs(3, True, 0.9)
    assert (train_env.num_envs, eval_env.num_envs) == (3, 1)
    assert (eval_env.training, eval_env.norm_reward) == (False, False)
