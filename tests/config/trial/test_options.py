"""Which keys of the config a search may choose, and what their values must be."""

import pytest

from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.config.trial.options import (
    check_option,
    is_option,
    option_value,
    options_among,
    own_entry,
    searched_algorithms,
    searched_options,
)
from finrl_ray.errors import ConfigError


def test_a_name_with_a_dot_is_a_key_of_the_config() -> None:
    assert is_option("env.hmax")
    assert not is_option("learning_rate")
    assert options_among({"learning_rate": 1, "agent.normalize": 2}) == ["agent.normalize"]


def test_choices_of_the_designer_may_be_searched() -> None:
    wanted = {"env.hmax", "env.random_start", "env.stop_loss", "agent.normalize", "data.features"}
    assert wanted <= set(searched_options())
    for name in searched_options():
        check_option(name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("env.buy_cost_pct", "an agent is not better because its trades cost less"),
        ("env.initial_amount", "trials are compared on the same one"),
        ("env.fill", "fact of the market"),
        ("env.turbulence_threshold", "fact of the market"),
        ("agent.total_timesteps", "trials are compared at the same"),
        ("agent.model_kwargs", "by their own names"),
        ("data.tickers", "what all trials of a search are compared on"),
    ],
)
def test_facts_are_refused_with_the_reason(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} cannot be searched over: .*{words}"):
        check_option(name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("env.hmx", "Did you mean 'env.hmax'"),
        ("agent.normalise", "Did you mean 'agent.normalize'"),
        ("data.feature", "Did you mean 'data.features'"),
        ("agent.learning_rate", "stands without 'agent.': learning_rate"),
        ("agent.model_kwargs.gamma", "stands without 'agent.': gamma"),
        ("report.metric", "The options are env.hmax"),
    ],
)
def test_a_misspelt_option_gets_the_right_name(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=f"no option '{name}'.*{words}"):
        check_option(name)


def test_the_measure_that_trials_are_compared_by_is_not_searched() -> None:
    with pytest.raises(
        ConfigError, match=r"evaluation\.metric cannot be searched over: it is what"
    ):
        check_option("evaluation.metric")
    with pytest.raises(
        ConfigError,
        match=r"data\.source_kwargs\.days cannot be searched over: all trials of a search",
    ):
        check_option("data.source_kwargs.days")
    with pytest.raises(
        ConfigError, match=r"metric_kwargs\.power cannot be searched over: trials are compared by"
    ):
        check_option("evaluation.metric_kwargs.power")


def test_values_are_those_of_the_config() -> None:
    assert option_value("data.features", ["macd", "rsi_30"]) == ("macd", "rsi_30")
    assert option_value("data.features", "finrl") == "finrl"
    assert option_value("env.cooldown", 3.0) == 3
    assert type(option_value("env.cooldown", 3.0)) is int
    assert option_value("agent.normalize", False) is False
    assert option_value("env.stop_loss", None) is None


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("env.hmax", "many", "env.hmax must be .*, got 'many'"),
        ("env.cooldown", 2.5, "env.cooldown must be .*, got 2.5"),
        ("env.random_start", 1, "env.random_start must be .*, got 1"),
        ("agent.normalize", "obs", "'observations' or 'rewards', got 'obs'"),
        ("data.features", "macd", r"a list such as \[macd\]"),
        ("data.features", [1], "data.features"),
        ("env.hmax", float("nan"), "env.hmax"),
    ],
)
def test_a_value_of_another_type_is_refused(name: str, value: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        option_value(name, value)


def test_an_entry_of_one_algorithm_is_no_key_of_the_config() -> None:
    assert own_entry("ppo.n_steps") == ("ppo", "n_steps")
    assert own_entry("env.hmax") is None
    assert own_entry("ppo") is None
    assert not is_option("ppo.n_steps")


def test_the_algorithms_of_a_search_are_those_of_its_space() -> None:
    def of(entry: object) -> list[str]:
        search = SearchConfig(space={"agent.algorithm": entry})
        return searched_algorithms(ExperimentConfig(search=search))

    assert searched_algorithms(ExperimentConfig(agent=AgentConfig(algorithm="td3"))) == ["td3"]
    assert of({"choice": ["sac", "ppo", "sac"]}) == ["sac", "ppo"]
    assert of("a2c") == ["a2c"]
    with pytest.raises(ConfigError, match=r"search\.space\.agent\.algorithm: .*Did you mean 'sac'"):
        of({"choice": ["ppo", "sca"]})
    with pytest.raises(ConfigError, match="needs choice and a list"):
        of({"choice": 5})
