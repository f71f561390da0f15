"""The table of searchers: what the config, the template and the searches take from it."""

import inspect
from importlib import import_module
from typing import Any, get_args, get_type_hints

import pytest

from finrl_ray.config.dump import config_to_dict
from finrl_ray.config.load import parse_config
from finrl_ray.config.search import SEARCHERS, SearchConfig
from finrl_ray.config.template import template_text
from finrl_ray.errors import ConfigError
from finrl_ray.support.extras import EXTRAS


def test_the_config_offers_the_searchers_of_the_table() -> None:
    assert get_args(get_type_hints(SearchConfig)["searcher"]) == ("auto", *SEARCHERS)
    assert SearchConfig().searcher in SEARCHERS


@pytest.mark.parametrize(
    ("search", "searcher"),
    [
        ({}, "optuna"),
        ({"searcher": "auto"}, "optuna"),
        ({"searcher": "random"}, "random"),
        ({"scheduler": {"type": "fifo"}}, "optuna"),
        ({"scheduler": {"type": "median"}}, "optuna"),
        ({"scheduler": {"type": "pbt"}}, "random"),
        ({"scheduler": {"type": "pb2"}}, "random"),
        ({"scheduler": {"type": "hyperband"}}, "random"),
        ({"space": {"n_epochs": {"grid": [1, 2]}}}, "random"),
        ({"objectives": ["sharpe_ratio", "max_drawdown"]}, "optuna"),
    ],
)
def test_the_searcher_that_is_not_named(search: dict[str, Any], searcher: str) -> None:
    config = parse_config({"search": search})
    assert config.search.searcher == searcher
    # the search's own config names it, whatever the default becomes
    assert config_to_dict(config)["search"]["searcher"] == searcher
    assert parse_config(config_to_dict(config)) == config


def test_another_searcher_is_refused_in_python_too() -> None:
    wrong: Any = "optunaa"
    message = r"searcher must be one of random, grid, optuna, hyperopt, bohb, got 'optunaa'"
    with pytest.raises(ConfigError, match=message):
        SearchConfig(searcher=wrong)


def test_the_template_names_them_and_the_extras() -> None:
    line = (
        "searcher: auto               # auto | random | grid | optuna | hyperopt | bohb (extras: "
    )
    assert f"{line}hyperopt and bohb)\n" in template_text()


@pytest.mark.parametrize("name", SEARCHERS)
def test_an_entry_names_a_function_and_an_extra_that_exist(name: str) -> None:
    entry = SEARCHERS[name]
    assert entry.learns is (entry.maker is not None)
    if entry.maker is not None:
        module, function = entry.maker.split(":")
        made = getattr(import_module(module), function)
        assert list(inspect.signature(made).parameters) == ["config", "points", "space", "metric"]
    assert entry.extra is None or entry.extra in EXTRAS
