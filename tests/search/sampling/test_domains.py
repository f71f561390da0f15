"""Search spaces: what may be written, what is sampled, what is refused."""

from typing import Any

import gymnasium as gym
import pytest

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.hyperparameters import resolve_sample
from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.errors import ConfigError
from finrl_ray.search.sampling.domains import (
    Domain,
    build_space,
    corner_samples,
    count_trials,
    parse_domain,
    to_param_space,
)


def config(algorithm: Any = "ppo", **search: Any) -> ExperimentConfig:
    env = EnvConfig(discrete_actions="product" if algorithm == "dqn" else "none")
    return ExperimentConfig(
        agent=AgentConfig(algorithm=algorithm), env=env, search=SearchConfig(**search)
    )


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"choice": [1, "a"]}, Domain(kind="choice", values=(1, "a"))),
        ({"uniform": [0, 1.5]}, Domain(kind="uniform", values=(0, 1.5))),
        ({"loguniform": [1e-5, 1e-3]}, Domain(kind="loguniform", values=(1e-5, 1e-3))),
        ({"randint": [1, 9]}, Domain(kind="randint", values=(1, 9))),
        ({"quniform": [0, 10, 2]}, Domain(kind="quniform", values=(0, 10, 2))),
        ({"grid": [1, 2]}, Domain(kind="grid", values=(1, 2))),
        (0.2, Domain(kind="constant", values=(0.2,))),
    ],
)
def test_each_kind_is_read(entry: Any, expected: Domain) -> None:
    assert parse_domain(entry) == expected


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"logunifrom": [1, 2]}, "Did you mean 'loguniform'"),
        ({"uniform": [2, 1]}, "low < high"),
        ({"uniform": [1]}, "needs 2 numbers"),
        ({"uniform": ["a", "b"]}, "needs 2 numbers"),
        ({"uniform": 5}, "needs a list"),
        ({"loguniform": [0, 1]}, "low > 0"),
        ({"randint": [0.5, 3]}, "whole numbers"),
        ({"quniform": [0, 1, 0]}, "0 < step"),
        ({"quniform": [0.1, 0.3, 0.5]}, "step <= high - low"),
        ({"quniform": [100, 1000, 64]}, "multiples of step"),
        ({"choice": []}, "at least one option"),
        ({"choice": [1], "grid": [2]}, "needs one of"),
        ({}, "needs one of"),
    ],
)
def test_a_domain_that_cannot_be_sampled_is_refused(entry: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_domain(entry)


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_default_spaces_are_valid_and_learning_rates_stay_small(algorithm: str) -> None:
    space = build_space(config(algorithm))
    assert set(space) == set(ALGORITHMS[algorithm].space)
    assert max(space["learning_rate"].values) <= 2e-3


def test_entries_are_laid_over_the_default_space() -> None:
    space = build_space(
        config(space={"learning_rate": {"uniform": [1e-4, 1e-3]}, "clip_range": 0.2})
    )
    assert space["learning_rate"].kind == "uniform"
    assert space["clip_range"] == Domain(kind="constant", values=(0.2,))
    assert "n_steps" in space


@pytest.mark.parametrize(
    ("kwargs", "left_out", "expected"),
    [
        ({"n_steps": 64}, "n_steps", {"n_steps": 64}),
        ({"gamma": 0.9}, "one_minus_gamma", {"gamma": 0.9}),
        ({"one_minus_gamma": 0.25}, "one_minus_gamma", {"gamma": 0.75}),
        ({"gae_lambda": 0.5}, "one_minus_gae_lambda", {"gae_lambda": 0.5}),
        ({"net_arch": "tiny"}, "net_arch", {"net_arch": [32]}),
        ({"policy_kwargs": {"net_arch": [8]}}, "net_arch", {"net_arch": [8]}),
        ({"policy_kwargs": {"activation_fn": "relu"}}, "activation_fn", {"activation_fn": "relu"}),
    ],
)
def test_what_the_agent_fixes_leaves_the_default_space(kwargs, left_out, expected) -> None:
    experiment = ExperimentConfig(agent=AgentConfig(model_kwargs=kwargs))
    space = build_space(experiment)
    assert left_out not in space
    for sample in corner_samples(space):
        flat = resolve_sample(sample, experiment.agent).flat()
        assert {name: flat[name] for name in expected} == expected


def test_policy_kwargs_in_the_space_replace_the_default_entries() -> None:
    options = [{"net_arch": [40, 30]}, {"net_arch": [10]}]
    experiment = config(space={"policy_kwargs": {"choice": options}})
    space = build_space(experiment)
    assert "net_arch" not in space
    trained = [
        resolve_sample(s, experiment.agent).flat()["net_arch"] for s in corner_samples(space)
    ]
    assert trained[:2] == [[40, 30], [10]]


def test_an_alias_in_the_space_replaces_the_default_entry() -> None:
    experiment = config(space={"gamma": 0.9})
    space = build_space(experiment)
    assert "one_minus_gamma" not in space
    assert resolve_sample(corner_samples(space)[0], experiment.agent).model_kwargs["gamma"] == 0.9


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ({"space": {"learning_rat": 1e-3}}, "learning_rate"),
        ({"space": {"buffer_size": 10}}, "buffer_size"),
        ({"space": {"net_arch": {"choice": ["tinny"]}}}, "search.space.net_arch.*tinny"),
        ({"space": {"learning_rate": {"loguniform": [1e-5, 1.0]}}}, r"within \(0, 1\)"),
        ({"space": {"n_steps": {"choice": [64, "abc"]}}}, "search.space.n_steps"),
        ({"space": {"n_steps": {"randint": [-5, 128]}}}, "n_steps must be a whole number >= 1"),
        ({"space": {"batch_size": {"uniform": [32, 256]}}}, "use randint, quniform or choice"),
        ({"space": {"n_envs": {"choice": [0]}}}, "n_envs must be"),
        ({"space": {"gamma": 0.9, "one_minus_gamma": 0.1}}, "say the same thing"),
        ({"space": {"seed": {"choice": [1, 2]}}}, "each trial's seed is derived"),
        ({"space": {"learning_rate": {"loguniform": [1e-5]}}}, "search.space.learning_rate"),
        ({"space": {}, "default_space": False}, "all trials would be equal"),
        ({"space": {"n_steps": {"grid": [64, 128]}}, "searcher": "optuna"}, "grid needs"),
    ],
)
def test_a_space_that_cannot_work_is_refused(search: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build_space(config(**search))


def test_gae_is_refused_off_policy() -> None:
    with pytest.raises(ConfigError, match="has no GAE"):
        build_space(config("sac", space={"one_minus_gae_lambda": 0.1}))


def test_a_grid_multiplies_the_samples() -> None:
    space = {"a": parse_domain({"grid": [1, 2]}), "b": parse_domain({"grid": [1, 2, 3]})}
    assert count_trials(space, SearchConfig(num_samples=2)) == 12


def test_samples_of_the_param_space_stay_within_bounds() -> None:
    space = build_space(config(space={"vf_coef": {"quniform": [0.0, 1.0, 0.25]}}))
    params = to_param_space(space, seed_draw=True)
    for _ in range(50):
        assert 1e-5 <= params["learning_rate"].sample() <= 2e-3
        assert params["vf_coef"].sample() in (0.0, 0.25, 0.5, 0.75, 1.0)


@pytest.mark.parametrize("algorithm", ["sac", "td3", "ddpg"])
@pytest.mark.parametrize("train_freq", [1, 2, 4, 8])
def test_an_off_policy_trial_updates_once_per_step(algorithm: Any, train_freq: int) -> None:
    settings = config(algorithm)
    space = build_space(settings)
    sample = {name: domain.values[0] for name, domain in space.items()} | {"train_freq": train_freq}
    kwargs = resolve_sample(sample, settings.agent).model_kwargs
    changes = {"learning_starts": 8, "buffer_size": 100, "batch_size": 4}
    model = DRLAgent(gym.make("Pendulum-v1")).get_model(
        algorithm, model_kwargs={**kwargs, **changes}, verbose=0, learner="sb3"
    )
    model.learn(8 + 16)
    # the updates after each of the rounds that end past the 8 steps of the start
    assert model._n_updates == 16


def test_an_agents_own_rhythm_stays_its_own() -> None:
    fixed = AgentConfig(algorithm="sac", model_kwargs={"train_freq": 4})
    space = build_space(ExperimentConfig(agent=fixed))
    assert not {"train_freq", "gradient_steps"} & set(space)
    given = config("sac", space={"gradient_steps": {"choice": [1, 2]}})
    assert build_space(given)["gradient_steps"].values == (1, 2)
    alone = config("sac", space={"train_freq": {"choice": [1, 8]}}, default_space=False)
    assert set(build_space(alone)) == {"train_freq"}
    laid_over = config("sac", space={"train_freq": {"choice": [1, 8]}})
    assert build_space(laid_over)["gradient_steps"].values == (-1,)


@pytest.mark.parametrize(
    "space",
    [
        {"n_steps": {"choice": [1, 5]}, "normalize_advantage": {"choice": [False, True]}},
        {"n_steps": {"randint": [1, 5]}, "normalize_advantage": True, "n_envs": {"choice": [1, 2]}},
    ],
)
def test_a_space_that_can_draw_a_single_sample_per_update_is_refused(space: Any) -> None:
    with pytest.raises(ConfigError, match=r"search\.space.*= 1 sample"):
        build_space(config("a2c", space=space))


@pytest.mark.parametrize(
    ("algorithm", "space"),
    [
        ("a2c", {"n_steps": {"choice": [1, 5]}, "normalize_advantage": True, "n_envs": 2}),
        ("a2c", {"n_steps": {"choice": [1, 5]}, "normalize_advantage": False}),
        ("ppo", {"batch_size": {"choice": [1, 5]}, "normalize_advantage": False}),
    ],
)
def test_what_never_normalises_one_advantage_is_a_space(algorithm: Any, space: Any) -> None:
    assert set(space) <= set(build_space(config(algorithm, space=space)))
