"""Spaces of one algorithm, and of several with entries of their own."""

from pathlib import Path
from typing import Any

import pytest

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.hyperparameters import settings_of_sample
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import load_config, parse_config
from finrl_ray.config.template import new_experiment
from finrl_ray.errors import ConfigError
from finrl_ray.search.run.plan_checks import check_plan
from finrl_ray.search.sampling.domains import build_space, corner_samples, planned_trials
from finrl_ray.search.sampling.entries import entries_of, space_entries
from finrl_ray.search.sampling.initial_points import check_points, complete_points
from finrl_ray.search.sampling.searchers import make_searcher

BOTH = {"agent.algorithm": {"choice": ["ppo", "sac"]}}


def config(space: dict[str, Any], agent: Any = None, **search: Any) -> ExperimentConfig:
    return parse_config({"agent": agent or {}, "search": {"space": space, **search}})


def test_each_algorithm_has_its_default_space_under_its_name() -> None:
    space = build_space(config(BOTH))
    for algorithm in ("ppo", "sac"):
        own = {name for name in space if name.startswith(f"{algorithm}.")}
        assert own == {f"{algorithm}.{name}" for name in ALGORITHMS[algorithm].space}
    assert len(space) == len(ALGORITHMS["ppo"].space) + len(ALGORITHMS["sac"].space) + 1


def test_a_trial_trains_with_the_entries_of_its_algorithm() -> None:
    space = {**BOTH, "learning_rate": 1e-3, "sac.learning_rate": 2e-3, "ppo.n_steps": 64,
             "n_epochs": 3, "net_arch": "tiny", "tau": 0.02}  # fmt: skip
    # of which every sample has a value of every entry
    experiment = config(space, default_space=False, searcher="random")
    sample = make_searcher(experiment, build_space(experiment)).suggest("0")
    settings = {
        algorithm: settings_of_sample(experiment, {**sample, "agent.algorithm": algorithm}).flat()
        for algorithm in ("ppo", "sac")
    }
    shared = {"net_arch": [32], "n_envs": 1}
    assert settings["ppo"] == {
        **shared, "learning_rate": 1e-3, "n_steps": 64, "n_epochs": 3, "agent.algorithm": "ppo",
    }  # fmt: skip
    assert settings["sac"] == {
        **shared, "learning_rate": 2e-3, "tau": 0.02, "agent.algorithm": "sac",
    }  # fmt: skip


def test_what_one_algorithm_accepts_is_an_entry_of_its_own() -> None:
    algorithms = {"agent.algorithm": {"choice": ["ppo", "a2c", "sac"]}}
    entries = space_entries(
        config({**algorithms, "n_steps": {"choice": [8, 16]}, "gamma": 0.9, "tau": 0.1})
    )
    # SB3's SAC has an n_steps too, which is no rollout
    assert [name for name in entries if name.endswith("n_steps")] == ["ppo.n_steps", "a2c.n_steps"]
    assert [name for name in entries if name.endswith("tau")] == ["sac.tau"]
    assert [name for name in entries if "gamma" in name] == ["gamma"]
    assert entries_of(entries, "a2c")["n_steps"] == {"choice": [8, 16]}
    assert "n_steps" not in entries_of(entries, "sac")


def test_with_one_algorithm_its_name_before_an_entry_changes_nothing() -> None:
    entries = {"learning_rate": {"loguniform": [1e-4, 1e-3]}, "n_steps": {"choice": [64, 128]}}
    plain = config(entries, initial_points=[{"n_steps": 64}, "finrl"])
    for prefixed in (("n_steps",), ("learning_rate", "n_steps")):
        named = {f"ppo.{n}" if n in prefixed else n: entry for n, entry in entries.items()}
        own = config(named, initial_points=[{"ppo.n_steps": 64}, "finrl"])
        space = build_space(own)
        assert space == build_space(plain)
        check_points(own, space)
        points = (complete_points(one, space, seed_draw=False) for one in (own, plain))
        assert next(points) == next(points)
    # as where several are searched, an algorithm's own entry wins
    both = space_entries(config({"n_steps": 32, "ppo.n_steps": 64}))
    assert both["n_steps"] == 64
    with pytest.raises(ConfigError, match=r"'sac\.tau' is not in the search space"):
        check_points(config(entries, initial_points=[{"sac.tau": 0.1}]), build_space(plain))


def test_a_new_config_with_another_algorithm_says_what_to_do(tmp_path: Path) -> None:
    path = new_experiment("mine", tmp_path)
    for algorithm in ("a2c", "ddpg", "td3", "sac", "tqc", "trpo"):
        sets = [f"agent.algorithm={algorithm}"]
        if not ALGORITHMS[algorithm].on_policy:
            with pytest.raises(ConfigError, match="set policy to MlpPolicy"):
                load_config(path, sets)
            sets.append("agent.policy=MlpPolicy")
        changed = load_config(path, sets)
        with pytest.raises(ConfigError, match=f"for ppo .*: {algorithm} has no .*n_epochs") as e:
            build_space(changed)
        assert "write `space: {}`, which leaves its own default space (" in str(e.value)
        followed = load_config(path, [*sets, "search.space={}"])
        assert "learning_rate" in build_space(followed)


def test_every_option_of_each_algorithm_is_in_a_corner() -> None:
    space = {**BOTH, "ppo.n_epochs": {"choice": [1, 2, 3]}, "sac.tau": {"choice": [0.1, 0.2]}}
    corners = corner_samples(build_space(config(space, default_space=False)))
    assert corners == [
        {"agent.algorithm": "ppo", "ppo.n_epochs": 1},
        {"agent.algorithm": "ppo", "ppo.n_epochs": 2},
        {"agent.algorithm": "ppo", "ppo.n_epochs": 3},
        {"agent.algorithm": "sac", "sac.tau": 0.1},
        {"agent.algorithm": "sac", "sac.tau": 0.2},
    ]


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({**BOTH, "td3.tau": 0.1}, r"search\.space\.td3\.tau: td3 is not searched"),
        (
            {"sac.tau": 0.1},
            r"search\.space\.sac\.tau: no trial is one of sac, because agent\.algorithm is ppo; "
            r".* agent\.algorithm: \{choice: \[ppo, sac\]\}",
        ),
        ({"ppo.n_step": 64}, "Did you mean 'n_steps'"),
        (
            {"tau": 0.1, "ppo.n_steps": 64, "learning_starts": 5},
            r"written for ddpg or td3 or sac or tqc or dqn: ppo has no tau, no learning_starts\. "
            r"To search over ppo write `space: \{\}`, which leaves its own default space \(.*lea",
        ),
        (
            {"agent.algorithm": {"choice": ["ppo", "sac"]}, "ppo.env.hmax": {"choice": [1, 2]}},
            "search.space.ppo.env.hmax: .*stand without a name of one: env.hmax",
        ),
        ({**BOTH, "ppo.n_step": 64}, "for agent.algorithm ppo: .*Did you mean 'n_steps'"),
        ({**BOTH, "sac.tau": {"choice": [0.1, 2]}}, r"for agent.algorithm sac: .*tau.*got 2"),
        ({**BOTH, "nothing": 1}, "no keyword 'nothing'"),
        ({**BOTH, "gamma": 0.9, "sac.one_minus_gamma": 0.1}, "sac: .*say the same thing"),
        ({"agent.algorithm": {"choice": ["ppo", "sca"]}}, "Did you mean 'sac'"),
    ],
)
def test_entries_that_no_searched_algorithm_has_are_refused(
    space: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        build_space(config(space))


def test_steps_of_the_agent_that_mean_two_things_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"n_steps are a rollout on-policy.*ppo\.n_steps"):
        build_space(config(BOTH, agent={"model_kwargs": {"n_steps": 64}}))


def test_a_grid_crosses_what_all_algorithms_have() -> None:
    space = {**BOTH, "learning_rate": {"choice": [1e-4, 1e-3]}}
    grid = {"searcher": "grid", "num_samples": 1}
    experiment = config(space, default_space=False, **grid)
    assert set(build_space(experiment)) == {"agent.algorithm", "learning_rate"}
    assert planned_trials(experiment) == 4
    with pytest.raises(ConfigError, match=r"a grid would cross ppo\.n_epochs"):
        build_space(config({**space, "n_epochs": {"choice": [1, 2]}}, default_space=False, **grid))


def test_points_name_keywords_as_the_algorithm_has_them() -> None:
    points = ["finrl", {"agent.algorithm": "sac", "batch_size": 77}]
    experiment = config(BOTH, initial_points=points)
    space = build_space(experiment)
    check_plan(experiment, space)
    first, second = complete_points(experiment, space, seed_draw=True)
    assert first["agent.algorithm"] == "ppo"
    settings = settings_of_sample(experiment, first).flat()
    for name in ("learning_rate", "n_steps", "batch_size"):
        assert settings[name] == ALGORITHMS["ppo"].defaults[name]
    assert settings_of_sample(experiment, second).flat()["batch_size"] == 77
    with pytest.raises(ConfigError, match=r"initial_points\[0\]: 'n_stepps' is not in the search"):
        check_plan(config(BOTH, initial_points=[{"n_stepps": 1}]), space)
