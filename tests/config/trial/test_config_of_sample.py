"""The config that one trial trains, is evaluated and is backtested under."""

import pytest

from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.data import DataConfig
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.config_of_sample import config_of_sample, options_of_trial
from finrl_ray.errors import ConfigError


def test_a_sample_without_options_leaves_the_config_as_it_is() -> None:
    config = ExperimentConfig()
    assert config_of_sample(config, {"learning_rate": 1e-3, "seed_draw": 7}) is config


def test_options_are_laid_over_their_sections_and_the_rest_stays() -> None:
    config = ExperimentConfig(env=EnvConfig(cooldown=2), agent=AgentConfig(n_envs=2))
    sample = {
        "learning_rate": 1e-3,
        "env.hmax": 300.0,
        "agent.normalize": "rewards",
        "data.features": ["macd"],
    }
    trial = config_of_sample(config, sample)
    assert trial == ExperimentConfig(
        env=EnvConfig(cooldown=2, hmax=300),
        agent=AgentConfig(n_envs=2, normalize="rewards"),
        data=DataConfig(features=("macd",)),
    )
    assert options_of_trial(trial, sample) == {
        "env.hmax": 300,
        "agent.normalize": "rewards",
        "data.features": ["macd"],
    }


def test_an_option_without_a_meaning_is_at_its_default() -> None:
    config = ExperimentConfig(env=EnvConfig(stop_loss=0.9, profit_loss_ratio=2.0))
    sample = {"env.stop_loss": None, "env.profit_loss_ratio": 3.0}
    trial = config_of_sample(config, sample)
    assert (trial.env.stop_loss, trial.env.profit_loss_ratio) == (None, None)
    # what the trial has is what its table shows, not what was drawn
    assert options_of_trial(trial, sample) == {"env.stop_loss": None, "env.profit_loss_ratio": None}
    # also where the config gives it and the sample does not
    assert config_of_sample(config, {"env.stop_loss": None}).env.profit_loss_ratio is None
    kept = config_of_sample(config, {"env.stop_loss": 0.8, "env.profit_loss_ratio": 3.0}).env
    assert (kept.stop_loss, kept.profit_loss_ratio) == (0.8, 3.0)


def test_a_value_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"stop_loss .* within \(0, 1\), got 1.5"):
        config_of_sample(ExperimentConfig(), {"env.stop_loss": 1.5})
    parity = ExperimentConfig(env=EnvConfig(parity=True))
    with pytest.raises(ConfigError, match="parity reproduces FinRL"):
        config_of_sample(parity, {"env.random_start": True})
