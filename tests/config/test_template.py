"""The config of `finrl-ray new`: the formulation that learns, laid over the defaults."""

import re
from pathlib import Path

import pytest
import yaml
from repository import REPOSITORY

from finrl_ray.config.dump import config_to_dict
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import load_config, parse_config
from finrl_ray.config.template import LEARNING, new_experiment, template_text
from finrl_ray.errors import ConfigError
from finrl_ray.search.run.prepare import prepare_search


def flat(mapping: dict, prefix: str = "") -> dict:
    """Return dotted keys with their values; a space, an empty mapping or a list is one value."""
    found = {}
    for name, value in mapping.items():
        key = f"{prefix}{name}"
        nested = isinstance(value, dict) and value and key != "search.space"
        found |= flat(value, f"{key}.") if nested else {key: value}
    return found


def changed_keys(style: str) -> set[str]:
    """Return the keys whose values in a style are not the defaults."""
    written = flat(config_to_dict(parse_config(yaml.safe_load(template_text(style)))))
    defaults = flat(config_to_dict(ExperimentConfig()))
    return {key for key in {*written, *defaults} if written.get(key) != defaults.get(key)}


def test_the_styles_differ_from_the_defaults_where_their_text_says_so() -> None:
    always = {"name", "split.train", "split.validation", "split.test"}
    assert changed_keys("finrl") == always
    assert changed_keys("learning") == always | set(LEARNING)
    header = template_text().partition("\n\n")[0].replace("\n# ", " ")
    (listed,) = re.findall(r"Not the defaults, .* are: (.*?)\. With them", header)
    assert listed.split(", ") == list(LEARNING)
    assert "Not the defaults" not in template_text("finrl").partition("\n\n")[0]


def test_what_the_style_that_learns_has() -> None:
    config = parse_config(yaml.safe_load(template_text("learning")))
    env, agent, space = config.env, config.agent, config.search.space
    assert (env.action, env.reward, env.observation) == ("target_weights", "active", "stationary")
    assert (env.random_start, env.reward_scaling) == (True, None)
    assert (agent.total_timesteps, agent.n_envs, agent.normalize) == (65_536, 16, False)
    assert config.evaluation.eval_freq == 8_192
    assert space["learning_rate"] == {"loguniform": [3e-4, 3e-3]}  # numbers, not texts
    assert space["one_minus_gamma"] == {"loguniform": [0.05, 0.5]}
    assert (env.zero_action, config.search.ensemble) == ("equal_weights", 3)
    assert space["env.trade_rate"] == {"choice": [1.0, 0.3]}
    assert env.nearest_spread
    assert (agent.policy, space["net_arch"]) == ("PerTickerPolicy", "tiny")
    assert "data.features" not in space  # or a change of data.features would change nothing


def test_the_comments_of_both_styles_are_the_same() -> None:
    def comments(text: str) -> list[str]:
        return [line.partition("# ")[2] for line in text.splitlines() if "# " in line]

    finrl, learning = comments(template_text("finrl")), comments(template_text("learning"))
    space = next(i for i, words in enumerate(finrl) if words == "laid over it, for example:")
    below = [words for words in finrl if words not in finrl[space : space + 4]]
    assert [words for words in below if words not in learning] == []


def test_the_style_that_learns_is_a_search_without_a_warning() -> None:
    text = template_text().replace("NAME", "mine")
    prepared = prepare_search(parse_config(yaml.safe_load(text)))
    assert "warning" not in prepared.describe()
    assert "16 trials of ppo, 65,536 timesteps" in prepared.describe()
    tried = text.replace("# data.features: {choice", "data.features: {choice")
    entry = parse_config(yaml.safe_load(tried)).search.space["data.features"]
    assert entry == {"choice": ["finrl", []]}
    prepare_search(parse_config(yaml.safe_load(tried)))


@pytest.mark.parametrize("name", ["quickstart", "planted"])
def test_the_experiments_have_the_formulation_that_learns(name: str) -> None:
    config = load_config(REPOSITORY / "experiments" / name / "config.yaml")
    learning = parse_config(yaml.safe_load(template_text()))
    for key in ("action", "reward", "observation", "random_start"):
        assert getattr(config.env, key) == getattr(learning.env, key)
    assert config.search.space == learning.search.space
    assert config.agent.policy == learning.agent.policy


def test_a_style_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"one of \['learning', 'finrl'\], got 'finlr'"):
        new_experiment("mine", tmp_path, style="finlr")  # type: ignore[arg-type]  # the point
    assert list(tmp_path.iterdir()) == []
