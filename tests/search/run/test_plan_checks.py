"""What is refused of points, mutations and extras before a search starts."""

import importlib.util
from typing import Any

import pytest
from scheduler_configs import scheduler_config

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.hyperparameters import resolve_sample, settings_of_sample
from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.schedulers import HyperbandConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.errors import ConfigError
from finrl_ray.search.run.plan_checks import check_plan
from finrl_ray.search.sampling.domains import build_space
from finrl_ray.search.sampling.initial_points import complete_points, named_point
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


def test_an_ensemble_of_more_trials_than_will_be_is_said_and_not_refused(caplog) -> None:
    with caplog.at_level("WARNING"):
        check(num_samples=3, ensemble=4)
    words = "search.ensemble asks for 4 trials, and 3 will be started"
    assert sum(words in record.message for record in caplog.records) == 1
    caplog.clear()
    check(num_samples=4, ensemble=4)
    assert "search.ensemble asks for" not in caplog.text


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


def env_for(algorithm: str) -> EnvConfig:
    return EnvConfig(discrete_actions="product" if algorithm == "dqn" else "none")


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_finrls_point_trains_with_finrls_defaults(algorithm: str) -> None:
    agent = AgentConfig(algorithm=algorithm, total_timesteps=50_000)
    config = ExperimentConfig(env=env_for(algorithm), agent=agent)
    point = named_point(config, "finrl", build_space(config))
    settings = resolve_sample(point, config.agent).model_kwargs
    for name, value in ALGORITHMS[algorithm].defaults.items():
        assert settings.get(name, value) == value
    assert settings["gamma"] == 0.99
    named = {"ddpg": "big", "td3": "big", "sac": "medium", "tqc": "medium", "crossq": "medium"}
    size = named.get(algorithm, "small")
    widths = {"small": [64, 64], "medium": [256, 256], "big": [400, 300]}
    assert settings["policy_kwargs"]["net_arch"] == widths[size]
    assert point["net_arch"] == size


# rl-zoo3 2.9.2, section `default` of hyperparams/ALGORITHM.yml, over SB3 2.9's signatures
ZOO_ON_POLICY = {"one_minus_gamma": 0.01, "ent_coef": 0.0, "max_grad_norm": 0.5}
ZOO_ON_POLICY |= {"net_arch": "small", "activation_fn": "tanh"}
ZOO_OFF_POLICY = {"batch_size": 256, "one_minus_gamma": 0.01, "tau": 0.005, "train_freq": 1}
ZOO_OFF_POLICY |= {"gradient_steps": 1, "learning_starts": 100}
ZOO: dict[str, dict[str, Any]] = {
    "a2c": ZOO_ON_POLICY
    | {"learning_rate": 7e-4, "n_steps": 5, "one_minus_gae_lambda": 0.0, "vf_coef": 0.5},
    "ppo": ZOO_ON_POLICY
    | {"learning_rate": 3e-4, "n_steps": 2048, "batch_size": 64, "n_epochs": 10}
    | {"one_minus_gae_lambda": 0.05, "clip_range": 0.2, "vf_coef": 0.5},
    "ddpg": ZOO_OFF_POLICY | {"learning_rate": 1e-3, "net_arch": "big", "action_noise": "normal"},
    "td3": ZOO_OFF_POLICY
    | {"learning_rate": 1e-3, "net_arch": "big", "action_noise": "normal", "policy_delay": 2},
    "sac": ZOO_OFF_POLICY | {"learning_rate": 3e-4, "net_arch": "medium", "ent_coef": "auto"},
    "tqc": ZOO_OFF_POLICY
    | {"learning_rate": 3e-4, "net_arch": "medium", "ent_coef": "auto"}
    | {"n_quantiles": 25, "top_quantiles_to_drop_per_net": 2},
    "crossq": {name: value for name, value in ZOO_OFF_POLICY.items() if name != "tau"}
    | {"learning_rate": 1e-3, "net_arch": "medium", "ent_coef": "auto", "policy_delay": 3},
    "recurrent_ppo": ZOO_ON_POLICY
    | {"learning_rate": 3e-4, "n_steps": 128, "batch_size": 128, "n_epochs": 10}
    | {"one_minus_gae_lambda": 0.05, "clip_range": 0.2, "vf_coef": 0.5}
    | {"lstm_hidden_size": 256, "enable_critic_lstm": True},
    "trpo": {"one_minus_gamma": 0.01, "net_arch": "small", "activation_fn": "tanh"}
    | {"learning_rate": 1e-3, "n_steps": 2048, "batch_size": 128, "one_minus_gae_lambda": 0.05}
    | {"n_critic_updates": 10, "cg_max_steps": 15, "target_kl": 0.01},
    "dqn": {"learning_rate": 1e-4, "batch_size": 32, "one_minus_gamma": 0.01, "train_freq": 4}
    | {"gradient_steps": 1, "learning_starts": 100, "net_arch": "small"}
    | {"target_update_interval": 10_000, "exploration_fraction": 0.1}
    | {"exploration_final_eps": 0.05},
}


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_rl_zoo3s_point_has_its_defaults(algorithm: str) -> None:
    searched = {
        "vf_coef": [0.25, 0.75],
        "gradient_steps": [1, 2],
        "learning_starts": [1, 100],
    }  # not by every default space
    space = {name: {"choice": o} for name, o in searched.items() if name in ZOO[algorithm]}
    space["n_envs"] = {"choice": [1, 16]}
    config = ExperimentConfig(
        env=env_for(algorithm),
        agent=AgentConfig(algorithm=algorithm, total_timesteps=50_000),
        search=SearchConfig(space=space),
    )
    built = build_space(config)
    point = named_point(config, "rl_zoo3", built)
    assert point == {"n_envs": 1, **{k: v for k, v in ZOO[algorithm].items() if k in built}}
    assert set(point) == set(built)
    assert set(ZOO[algorithm]) <= set(built)
    assert resolve_sample(point, config.agent).model_kwargs["gamma"] == 0.99


def test_what_the_space_fixes_stays_fixed_in_rl_zoo3s_point() -> None:
    config = ExperimentConfig(agent=AgentConfig(algorithm="sac"))
    assert named_point(config, "rl_zoo3", build_space(config))["gradient_steps"] == -1


SEVERAL = {
    "agent.algorithm": {"choice": ["ppo", "sac"]},
    "ppo.n_steps": {"choice": [32, 64]},
    "sac.learning_rate": {"loguniform": [1e-5, 1e-3]},
}


@pytest.mark.parametrize(
    ("name", "algorithm", "ppo_rate", "sac_rate"),
    [
        ("finrl", "sac", 2.5e-4, 1e-4),  # agent.algorithm of the config
        ("rl_zoo3", "sac", 3e-4, 3e-4),
        ("ppo.finrl", "ppo", 2.5e-4, 1e-4),
        ("ppo.rl_zoo3", "ppo", 3e-4, 3e-4),
        ("sac.rl_zoo3", "sac", 3e-4, 3e-4),
    ],
)
def test_a_named_point_of_each_algorithm(name, algorithm, ppo_rate, sac_rate) -> None:
    search = SearchConfig(space=SEVERAL, initial_points=(name,))
    config = ExperimentConfig(agent=AgentConfig(algorithm="sac"), search=search)
    space = build_space(config)
    check_plan(config, space)
    point = named_point(config, name, space)
    assert set(point) == set(space)
    assert point["agent.algorithm"] == algorithm
    assert (point["ppo.learning_rate"], point["sac.learning_rate"]) == (ppo_rate, sac_rate)
    assert point["ppo.n_steps"] == 2048  # outside its range, as FinRL's is
    kwargs = settings_of_sample(config, point).model_kwargs
    assert kwargs["learning_rate"] == {"ppo": ppo_rate, "sac": sac_rate}[algorithm]


def test_a_named_point_of_an_algorithm_that_is_not_searched_is_refused() -> None:
    words = r"initial_points\[0\]: td3.rl_zoo3: no trial is one of td3, but of \['ppo', 'sac'\]"
    with pytest.raises(ConfigError, match=words):
        check(space=SEVERAL, initial_points=("td3.rl_zoo3",))
    with pytest.raises(ConfigError, match=r"no trial is one of sac, but of \['ppo'\]"):
        check(initial_points=("sac.finrl",))
    check(initial_points=("ppo.finrl", "ppo.rl_zoo3"))


def test_rl_zoo3s_point_leaves_the_env_as_the_config_has_it() -> None:
    space: dict[str, Any] = {
        "env.action": {"choice": ["orders", "target_weights"]},
        "env.reward": {"choice": ["log_return", "account_change"]},
        "agent.normalize": {"choice": [True, False]},
        "data.features": {"choice": [["macd"], "finrl"]},
    }
    env = EnvConfig(action="target_weights", reward="active")
    config = ExperimentConfig(
        env=env,
        agent=AgentConfig(normalize=True),
        search=SearchConfig(space=space, initial_points=("rl_zoo3",)),
    )
    built = build_space(config)
    point = named_point(config, "rl_zoo3", built)
    assert point["env.action"] == "target_weights"
    assert "env.reward" not in point  # `active` is not in the space
    assert point["agent.normalize"] is False
    assert point["data.features"] == "finrl"
    assert named_point(config, "finrl", built)["env.action"] == "orders"
    (whole,) = complete_points(config, built, seed_draw=False)
    assert set(whole) == set(built)
    assert whole["env.reward"] in ("log_return", "account_change")


def test_the_extras_are_real_modules() -> None:
    assert importlib.util.find_spec("sklearn") is not None
    assert set(extras.EXTRAS) == {"hyperopt", "bohb", "pb2", "mlflow", "wandb", "contrib", "onnx"}


@pytest.mark.parametrize(
    ("env", "space", "warned"),
    [
        ("orders", {}, True),
        ("target_weights", {}, False),
        ("target_weights", {"env.action": {"choice": ["orders", "target_weights"]}}, True),
        ("orders", {"env.action": "target_weights"}, False),
    ],
)
def test_an_ensemble_of_orders_is_warned_of(env, space, warned, caplog) -> None:
    config = ExperimentConfig(
        env=EnvConfig(action=env), search=SearchConfig(ensemble=2, space=space, num_samples=2)
    )
    check_plan(config, build_space(config))
    assert ("search.ensemble averages orders" in caplog.text) is warned
