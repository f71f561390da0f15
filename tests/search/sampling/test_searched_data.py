"""The data of a search: loaded once, with every feature that a trial may choose."""

import pytest

from finrl_ray.config.data import DataConfig
from finrl_ray.config.load import parse_config
from finrl_ray.errors import ConfigError
from finrl_ray.search.sampling.searched_data import data_of_search


def test_without_an_entry_it_is_the_configs() -> None:
    config = parse_config({"data": {"features": ["macd"]}})
    assert data_of_search(config) is config.data


def test_it_has_the_features_of_all_options_and_points_once() -> None:
    space = {"data.features": {"choice": [["rsi_30", "macd"], ["macd", "volume"], "finrl"]}}
    points = [{"data.features": ["close_60_sma"]}]
    config = parse_config(
        {
            "data": {"tickers": ["IBM"], "features": ["boll_ub"]},
            "search": {"space": space, "initial_points": points},
        }
    )
    expected = ("rsi_30", "macd", "volume", "finrl", "close_60_sma")
    assert data_of_search(config) == DataConfig(tickers=("IBM",), features=expected)


def test_an_entry_that_is_no_list_of_lists_is_refused() -> None:
    config = parse_config({"search": {"space": {"data.features": {"choice": [1]}}}})
    with pytest.raises(ConfigError, match=r"search\.space\.data\.features: "):
        data_of_search(config)
