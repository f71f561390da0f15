"""The data of a search: loaded once, with every feature that a trial may choose."""

import pytest

from finrl_ray.config.data import DataConfig
from finrl_ray.config.load import parse_config
from finrl_ray.data.own_features.variants import EachOf
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


def test_keywords_of_own_features_have_all_their_values_once() -> None:
    config = parse_config(
        {
            "data": {
                "features": ["my_features:compute"],
                "feature_kwargs": {"window": 1, "scale": 2.0},
            },
            "search": {
                "space": {
                    "data.feature_kwargs.window": {"choice": [5, 10, 5]},
                    "data.feature_kwargs.kind": "mean",
                    "data.feature_kwargs.lag": {"randint": [1, 4]},
                },
                "initial_points": [{"data.feature_kwargs.window": 7}],
            },
        }
    )
    found = data_of_search(config)
    assert found.features == ("my_features:compute",)
    assert found.feature_kwargs == {
        "window": EachOf((5, 10, 7)),
        "scale": 2.0,
        "kind": EachOf(("mean",)),
        "lag": EachOf((1, 2, 3)),
    }


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"uniform": [0.0, 1.0]}, "which uniform does not list; list some with choice"),
        ({"loguniform": [0.1, 1.0]}, "computed before the search, .* loguniform does not list"),
        ({"quniform": [0.1, 1.0, 0.1]}, "which quniform does not list"),
        ({"randint": [0, 1000]}, "there are 1000; 64 are the most"),
        ({"chioce": [1]}, "Did you mean 'choice'"),
    ],
)
def test_keywords_without_a_finite_choice_are_refused(entry: object, message: str) -> None:
    space = {"data.feature_kwargs.window": entry}
    config = parse_config({"search": {"space": space}})
    with pytest.raises(
        ConfigError, match=rf"search\.space\.data\.feature_kwargs\.window: .*{message}"
    ):
        data_of_search(config)


def test_keywords_of_own_features_have_entries_of_their_own() -> None:
    space = {"data.feature_kwargs": {"choice": [{"window": 5}, {"window": 10}]}}
    config = parse_config({"search": {"space": space}})
    with pytest.raises(
        ConfigError, match=r"space\.data\.feature_kwargs: give each keyword an entry"
    ):
        data_of_search(config)
