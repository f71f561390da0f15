"""The table of searchers: what the config, the template and the searches take from it."""

import inspect
from importlib import import_module
from typing import Any, get_args, get_type_hints

import pytest

from finrl_ray.config.search import SEARCHERS, SearchConfig
from finrl_ray.config.template import template_text
from finrl_ray.errors import ConfigError
from finrl_ray.support.extras import EXTRAS


def test_the_config_offers_the_searchers_of_the_table() -> None:
    assert get_args(get_type_hints(SearchConfig)["searcher"]) == tuple(SEARCHERS)
    assert SearchConfig().searcher in SEARCHERS


def test_another_searcher_is_refused_in_python_too() -> None:
    wrong: Any = "optunaa"
    message = r"searcher must be one of random, grid, optuna, hyperopt, bohb, got 'optunaa'"
    with pytest.raises(ConfigError, match=message):
        SearchConfig(searcher=wrong)


def test_the_template_names_them_and_the_extras() -> None:
    line = "searcher: random             # random | grid | optuna | hyperopt | bohb (extras: "
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
