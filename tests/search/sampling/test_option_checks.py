"""A space of options of the config, checked before a search starts."""

from typing import Any

import pytest

from finrl_ray.agents.hyperparameters import settings_of_sample
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import parse_config
from finrl_ray.config.search import SearchConfig
from finrl_ray.errors import ConfigError
from finrl_ray.search.sampling.domains import build_space, corner_samples, count_trials


def built(space: dict[str, Any], env: EnvConfig | None = None, **search: Any) -> dict[str, Any]:
    config = ExperimentConfig(
        env=env or EnvConfig(), search=SearchConfig(space=space, default_space=False, **search)
    )
    return dict(build_space(config))


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"env.hmx": {"choice": [1]}}, "search.space.env.hmx: .*Did you mean 'env.hmax'"),
        ({"env.sell_cost_pct": 0.0}, "search.space.env.sell_cost_pct: .*cannot be searched over"),
        ({"env.hmax": {"choice": [100, "x"]}}, "search.space.env.hmax: .*got 'x'"),
        ({"env.hmax": {"choice": [100, 0]}}, "search.space.env.hmax: hmax must be >= 1.*got 0"),
        # its ends are whole, what lies between them is not
        ({"env.hmax": {"uniform": [100, 1000]}}, "search.space.env.hmax: hmax must be .* whole"),
        ({"env.borrow_rate": {"uniform": [0.0, 0.1]}}, "env.borrow_rate.*fact of the market"),
        ({"env.maintenance_margin": {"choice": [0.3]}}, "maintenance_margin.*fact of the market"),
        ({"env.short": {"choice": [True]}}, "env.short.*fact of the account"),
        ({"env.cooldown": {"uniform": [0, 5]}}, "search.space.env.cooldown: .*integer"),
        ({"env.stop_loss": {"uniform": [0.5, 1.5]}}, "search.space.env.stop_loss: .*got 1.5"),
        ({"env.random_start": {"choice": [True, "no"]}}, "search.space.env.random_start"),
        ({"agent.normalize": {"choice": [True, "all"]}}, "search.space.agent.normalize"),
        (
            {"env.reward_kwargs.fear": {"uniform": [0.0, 1.0]}},
            "reward_kwargs.fear would change nothing: .*env.reward is code of your own, and "
            "env.reward is .*account_change",
        ),
        ({"data.features": {"choice": ["macd"]}}, r"search.space.data.features: .*\[macd\]"),
        ({"data.features": {"choice": [["macd", "macd"]]}}, "twice: .*macd"),
        ({"agent.n_envs": {"choice": [1, 0]}}, "search.space.agent.n_envs: n_envs must be"),
        ({"agent.n_envs": 2, "n_envs": 4}, "agent.n_envs and n_envs say the same thing"),
        (
            {"env.hmax": {"choice": [9]}, "env.action": "target_weights"},
            "hmax would change nothing",
        ),
        (
            {"env.observation_scaling": {"choice": ["train"]}, "env.observation": "stationary"},
            "observation_scaling would change nothing",
        ),
        ({"env.profit_loss_ratio": {"choice": [1.0]}}, "would change nothing.*env.stop_loss"),
        ({"env": {"hmax": {"choice": [1]}}}, "search.space.env: .*write env.hmax in one name"),
        ({"hmax": {"choice": [1]}}, "an option of the config has its section before it: env.hmax"),
    ],
)
def test_an_option_that_cannot_be_searched_is_refused(space: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        built(space)


def test_an_option_that_does_not_go_with_the_facts_is_named() -> None:
    # 1e30 x 1e20 x 0.01 % is beyond float32
    env = EnvConfig(initial_amount=1e20)
    with pytest.raises(ConfigError, match=r"search\.space\.env\.reward_scaling: .*float32"):
        built({"env.reward_scaling": {"choice": [1e-4, 1e30]}, "env.cooldown": 1}, env)
    with pytest.raises(ConfigError, match="parity reproduces FinRL"):
        built({"env.random_start": {"choice": [False, True]}}, EnvConfig(parity=True))


def test_an_option_that_is_wrong_beside_another_alone_is_named() -> None:
    space = {
        "env.action": {"choice": ["orders", "target_weights"]},
        "env.max_weight": {"choice": [0.5, 2]},
        "env.cooldown": {"choice": [0, 1]},
    }
    with pytest.raises(ConfigError, match=r"search\.space\.env\.max_weight: max_weight .* got 2"):
        built(space)


def test_an_option_may_need_another_that_is_searched_too() -> None:
    space = {"env.profit_loss_ratio": {"choice": [1.0, 2.0]}}
    assert built({**space, "env.stop_loss": {"choice": [None, 0.9]}})
    assert built(space, EnvConfig(stop_loss=0.9))


def test_n_envs_by_its_section_replaces_the_default_entry() -> None:
    config = parse_config({"search": {"space": {"agent.n_envs": {"choice": [1, 4]}}}})
    space = build_space(config)
    assert "n_envs" not in space
    settings = [settings_of_sample(config, sample) for sample in corner_samples(space)]
    assert {one.n_envs for one in settings} == {1, 4}
    for one in settings:
        assert one.flat()["agent.n_envs"] == one.n_envs
        assert "n_envs" not in one.flat()


def test_a_grid_counts_options_and_lists_of_features() -> None:
    space = {
        "env.hmax": {"choice": [100, 300]},
        "data.features": {"choice": [["macd"], ["rsi_30"], "finrl"]},
    }
    found = built(space, searcher="grid", num_samples=1)
    assert {domain.kind for domain in found.values()} == {"grid"}
    assert count_trials(found, SearchConfig(space=space, searcher="grid", num_samples=1)) == 6


def test_a_dotted_override_names_an_option_of_the_space(tmp_path) -> None:
    from finrl_ray.config.load import load_config

    file = tmp_path / "config.yaml"
    file.write_text("search: {space: {env.hmax: {choice: [1, 2]}}}\n")
    override = "search.space.env.hmax={choice: [3, 4]}"
    assert load_config(file, [override]).search.space == {"env.hmax": {"choice": [3, 4]}}
