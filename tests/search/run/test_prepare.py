"""What is refused before a search leaves a trace, and what is said before it starts."""

import dataclasses

import numpy as np
import pytest
import torch as th
from small_search import small_config

from finrl_ray.config.data import DataConfig
from finrl_ray.data.load import load_market_data
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.search.run.prepare import prepare_search
from finrl_ray.search.sampling import domains
from finrl_ray.search.sampling.domains import build_space, corner_samples
from finrl_ray.search.sampling.initial_points import named_point


@pytest.fixture(scope="module")
def market_data() -> MarketData:
    return load_market_data(DataConfig())[0]


def test_windows_and_dropped_rows_are_described(tmp_path) -> None:
    text = prepare_search(small_config(tmp_path)).describe()
    assert "The first 60 rows are warm-up" in text
    assert "test: 128 rows, 2008-07-01 to 2009-01-01 (not included)" in text
    assert "4 trials of ppo, 2,048 timesteps each at most, random search, fifo" in text


def test_an_open_price_missing_in_the_test_window_is_found_before_the_search(
    market_data, tmp_path
) -> None:
    opens = market_data.open.copy()
    opens[int(np.searchsorted(market_data.dates, np.datetime64("2008-08-01"))), 2] = np.nan
    lacking = dataclasses.replace(market_data, open=opens)
    config = small_config(tmp_path, env={"fill": "next_open"})
    with pytest.raises(DataError, match="the test window: open of IBM on 2008-08-01"):
        prepare_search(config, market_data=lacking)


def test_a_corner_of_the_space_is_resolved_once_for_all_checks(tmp_path, monkeypatch) -> None:
    config = small_config(tmp_path, evaluation={"eval_freq": 512, "max_no_improvement_evals": 1})
    resolve, seen = domains.settings_of_sample, []

    def noting(config, sample):
        seen.append(sample)
        return resolve(config, sample)

    monkeypatch.setattr(domains, "settings_of_sample", noting)
    prepared = prepare_search(config)
    corners = corner_samples(build_space(prepared.config))
    assert len(corners) > 1
    for corner in corners:
        assert seen.count(corner) == 1
    assert prepared.space == build_space(config)


def test_patience_that_rollouts_leave_no_time_for_is_refused(tmp_path) -> None:
    config = small_config(
        tmp_path,
        evaluation={"eval_freq": 256, "max_no_improvement_evals": 3},
        agent={"model_kwargs": {"n_steps": 256}},
        search={"space": {"n_epochs": 1}},
    )
    with pytest.raises(ConfigError, match="no trial has more than 2"):
        prepare_search(config)


def test_a_search_that_asha_cannot_act_on_says_so(tmp_path) -> None:
    config = small_config(
        tmp_path, evaluation={"eval_freq": 2048}, search={"scheduler": {"type": "asha"}}
    )
    assert "asha can do nothing" in prepare_search(config).describe()


def test_a_look_back_beyond_the_train_window_is_refused_before_it_fills_memory(tmp_path) -> None:
    space = {"env.lookback": {"choice": [2, 10**7]}, "env.observation": "stationary"}
    config = small_config(tmp_path, search={"space": space})
    with pytest.raises(
        ConfigError, match=r"the train window: lookback .* the \d+ rows .*got 10000000"
    ):
        prepare_search(config)


def test_objects_that_yaml_cannot_keep_are_refused(tmp_path) -> None:
    config = small_config(tmp_path)
    space = {"activation_fn": {"choice": [th.nn.ReLU]}}
    search = dataclasses.replace(config.search, space=space)
    with pytest.raises(ConfigError, match="plain values"):
        prepare_search(dataclasses.replace(config, search=search))
    assert list(tmp_path.iterdir()) == []


def test_data_in_memory_are_named_so_in_the_config(market_data, tmp_path) -> None:
    prepared = prepare_search(small_config(tmp_path), market_data=market_data)
    assert prepared.config.data.source == "memory"


def test_the_data_has_every_feature_that_a_trial_may_choose(tmp_path) -> None:
    space = {"data.features": {"choice": [["macd"], ["volume", "rsi_6"]]}, "net_arch": "tiny"}
    search = {"space": space, "default_space": False}
    prepared = prepare_search(small_config(tmp_path, search=search))
    assert prepared.market_data.feature_names == ("macd", "volume", "rsi_6")
    # the config of the search stays as it was given, and the windows are the same for all trials
    assert prepared.config.data.features == "finrl"
    assert prepared.split.train.first_row == prepared.market_data.warmup
    # one training chooses nothing
    alone = prepare_search(small_config(tmp_path, search=search), on_ray=False)
    assert len(alone.market_data.feature_names) == 8


def test_features_that_given_prices_lack_are_refused(market_data, tmp_path) -> None:
    for search in (
        {"space": {"data.features": {"choice": [["macd"], ["none_such"]]}}},
        {
            "space": {"data.features": {"choice": [["macd"], ["rsi_30"]]}},
            "initial_points": [{"data.features": ["none_such"]}],
        },
    ):
        with pytest.raises(DataError, match=r"data\.features: the market has no \['none_such'\]"):
            prepare_search(small_config(tmp_path, search=search), market_data=market_data)


def test_envs_that_invest_too_slowly_are_named_by_what_was_chosen(market_data, tmp_path) -> None:
    search = {"space": {"env.hmax": {"choice": [1, 100_000]}, "n_steps": 64}}
    text = prepare_search(small_config(tmp_path, search=search), market_data=market_data)
    slow = [line for line in text.doubts if "hmax" in line]
    assert len(slow) == 1
    assert slow[0].startswith("with env.hmax 1: ")


def test_a_point_may_choose_options_and_finrls_env_is_that_of_the_defaults(
    market_data, tmp_path
) -> None:
    space = {
        "env.hmax": {"choice": [30, 300]},
        "agent.normalize": {"choice": [True, "rewards"]},
        "data.features": {"choice": [["macd"], ["rsi_30"]]},
        "n_steps": 64,
    }
    config = small_config(
        tmp_path,
        data={"features": ["rsi_30"]},
        search={"space": space, "default_space": False, "initial_points": ["finrl"]},
    )
    point = named_point(config, "finrl", build_space(config))
    assert point == {
        "env.hmax": 100, "agent.normalize": False, "data.features": ["rsi_30"], "n_steps": 64,
    }  # fmt: skip
    prepare_search(config, market_data=market_data)
    bad = small_config(tmp_path, search={"space": space, "initial_points": [{"env.hmax": -1}]})
    with pytest.raises(ConfigError, match=r"search\.initial_points\[0\]: hmax must be >= 1"):
        prepare_search(bad, market_data=market_data)
