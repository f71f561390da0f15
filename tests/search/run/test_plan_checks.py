"""What is refused of points, mutations and extras before a search starts."""

import importlib.util
from typing import Any

import pytest
from scheduler_configs import scheduler_config

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.hyperparameters import resolve_sample
from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.schedulers import HyperbandConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.errors import ConfigError
from finrl_ray.search.run.plan_checks import check_plan
from finrl_ray.search.sampling.domains import build_space
from finrl_ray.search.sampling.initial_points import finrl_point
from finrl_ray.support import extras


def check(algorithm: Any = "ppo", **search: Any) -> None:
    agent = AgentConfig(algorithm=algorithm)
    config = ExperimentConfig(agent=agent, search=SearchConfig(**search))
    check_plan(config, build_space(config))


def population(kind: Any = "pbt", *mutations: str, **search: Any) -> dict[str, Any]:
    scheduler = scheduler_config(kind, mutations=mutations or None)
    return {"scheduler": scheduler, **search}


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ({"initial_points": ({"lr": 1},)}, r"initial_points\[0\]: 'lr' is not in the search space"),
        (
            {"initial_points": ("finrl", {"learning_rat": 1})},
            r"\[1\].*Did you mean 'learning_rate'",
        ),
        ({"initial_points": ({"gamma": 0.99},)}, "the space has one_minus_gamma instead of gamma"),
        ({"initial_points": ({"learning_rate": 3},)}, r"within \(0, 1\), got 3"),
        (population("pbt", "net_arch"), "net_arch cannot change during training: it shapes the"),
        (population("pbt", "clip_rnge"), "not in the search space.* Did you mean 'clip_range'"),
        (population("pb2", "n_epochs"), "pb2 needs a range, uniform or loguniform, of n_epochs"),
        (population("pbt", "vf_coef", space={"vf_coef": 0.5}), "vf_coef has one value alone"),
        (
            population("pb2", space={"n_epochs": {"choice": [1, 2]}}, default_space=False),
            "needs a uniform or loguniform range of learning_rate.* which has n_epochs",
        ),
        (population(num_samples=1), "num_samples must be >= 2 .* got 1"),
        (population(num_samples=10**9), "at most 100,000 trials .*'pbt'.* got 1,000,000,000"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(search: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check(**search)


def test_a_search_that_draws_as_it_goes_may_have_any_number_of_trials() -> None:
    check(num_samples=10**9)


@pytest.mark.parametrize("name", ["learning_starts", "buffer_size", "action_noise", "n_envs"])
def test_what_stays_with_a_trial_is_refused_with_the_reason(name: str) -> None:
    options = {"action_noise": ["normal", "ornstein_uhlenbeck"]}.get(name, [1, 2])
    space = {name: {"choice": options}}
    with pytest.raises(ConfigError, match=f"mutations: {name} cannot change during training: "):
        check("td3", **population("pbt", name, space=space))


@pytest.mark.parametrize("name", ["env.hmax", "agent.n_envs"])
def test_an_option_of_the_config_is_no_mutation(name: str) -> None:
    space = {name: {"choice": [1, 2]}}
    words = f"mutations: {name} cannot change during training: it is part of the task"
    with pytest.raises(ConfigError, match=words):
        check(**population("pbt", name, space=space))


def test_a_population_has_one_algorithm() -> None:
    space = {"agent.algorithm": {"choice": ["ppo", "sac"]}}
    with pytest.raises(ConfigError, match=r"'pbt' copies agents .* search.space.agent.algorithm"):
        check(**population("pbt", space=space))


def test_a_grid_over_a_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"search.space.learning_rate: loguniform has no end"):
        check(searcher="grid")


@pytest.mark.parametrize(
    ("search", "command"),
    [
        ({"searcher": "hyperopt"}, r"pip install 'finrl-ray\[hyperopt\]'"),
        (
            {"searcher": "bohb", "scheduler": HyperbandConfig()},
            r"needs hpbandster and ConfigSpace, .* 'finrl-ray\[bohb\]'",
        ),
        (population("pb2"), r"pip install 'finrl-ray\[pb2\]'"),
    ],
)
def test_a_missing_extra_is_named(search, command, monkeypatch) -> None:
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=command):
        check(**search)


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_finrls_point_trains_with_finrls_defaults(algorithm: str) -> None:
    config = ExperimentConfig(agent=AgentConfig(algorithm=algorithm, total_timesteps=50_000))
    point = finrl_point(config, build_space(config))
    settings = resolve_sample(point, config.agent).model_kwargs
    for name, value in ALGORITHMS[algorithm].defaults.items():
        assert settings.get(name, value) == value
    assert settings["gamma"] == 0.99
    widths = {"sac": [256, 256], "ppo": [64, 64], "a2c": [64, 64]}.get(algorithm, [400, 300])
    assert settings["policy_kwargs"]["net_arch"] == widths
    named = {"sac": "medium", "ppo": "small", "a2c": "small"}.get(algorithm, [400, 300])
    assert point["net_arch"] == named


def test_the_extras_are_real_modules() -> None:
    assert importlib.util.find_spec("sklearn") is not None
    assert set(extras.EXTRAS) == {"hyperopt", "bohb", "pb2", "mlflow", "wandb"}
