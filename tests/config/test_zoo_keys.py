"""rl-zoo3's keys in the agent section: the same model as in the zoo, or a refusal that says why."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from stable_baselines3.common.noise import OrnsteinUhlenbeckActionNoise

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.algorithms import make_action_noise, model_keywords
from finrl_ray.agents.hyperparameters import resolve_sample
from finrl_ray.agents.keyword_checks import check_values, named_noise
from finrl_ray.config.dump import config_to_dict, dump_config
from finrl_ray.config.load import load_config, parse_config
from finrl_ray.config.zoo_keys import MODEL_KEYWORDS, ZOO_KEYS, translate_agent
from finrl_ray.errors import ConfigError

ZOO_PPO = """
agent:
  algorithm: ppo
  normalize: "{'norm_obs': True, 'norm_reward': True}"
  n_envs: 4
  n_timesteps: !!float 5e4
  policy: 'MlpPolicy'
  batch_size: 64
  n_steps: 512
  gamma: 0.99
  learning_rate: lin_3e-4
  clip_range: lin_0.2
  ent_coef: 0.00229519
  policy_kwargs: "dict(log_std_init=-2, ortho_init=False, activation_fn=nn.ReLU,
    net_arch=dict(pi=[64, 64], vf=[64, 64]))"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_keywords_are_those_of_sb3() -> None:
    assert frozenset().union(*map(model_keywords, ALGORITHMS)) == MODEL_KEYWORDS


def test_a_zoo_section_becomes_an_agent(tmp_path: Path) -> None:
    agent = load_config(write(tmp_path, ZOO_PPO)).agent
    assert (agent.total_timesteps, agent.n_envs, agent.normalize) == (50_000, 4, True)
    assert agent.model_kwargs == {
        "batch_size": 64,
        "n_steps": 512,
        "gamma": 0.99,
        "learning_rate": "lin_3e-4",
        "clip_range": "lin_0.2",
        "ent_coef": 0.00229519,
        "policy_kwargs": {
            "log_std_init": -2,
            "ortho_init": False,
            "activation_fn": "relu",
            "net_arch": {"pi": [64, 64], "vf": [64, 64]},
        },
    }
    assert resolve_sample({}, agent).model_kwargs["n_steps"] == 512


def test_a_zoo_section_builds_the_model_it_names(tmp_path: Path) -> None:
    from torch import nn

    from finrl_ray.config.experiment import ExperimentConfig
    from finrl_ray.data.market_data import MarketData
    from finrl_ray.data.sources.bundled import read_bundled
    from finrl_ray.env.vec_env import StockTradingVecEnv
    from finrl_ray.training.build_model import build_model

    config: ExperimentConfig = load_config(write(tmp_path, ZOO_PPO))
    data = MarketData.from_finrl(read_bundled()).rows(0, 40)
    settings = resolve_sample({}, config.agent)
    model: Any = build_model(config, settings, StockTradingVecEnv(data, settings.n_envs), 0)
    assert model.lr_schedule(0.5) == pytest.approx(1.5e-4)
    assert model.clip_range(0.25) == pytest.approx(0.05)
    assert isinstance(model.policy.mlp_extractor.policy_net[1], nn.ReLU)
    assert model.policy.log_std.detach().tolist() == [-2.0] * 4


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        (True, (True, True)),
        ("dict(norm_reward=False)", (True, False)),
        ("dict(norm_obs=False)", (False, True)),
    ],
)
def test_normalize_reaches_the_training_env(value: Any, flags: tuple[bool, bool]) -> None:
    from finrl_ray.data.market_data import MarketData
    from finrl_ray.data.sources.bundled import read_bundled
    from finrl_ray.training.agent import make_trial_envs

    config = parse_config({"agent": {"normalize": value}})
    data = MarketData.from_finrl(read_bundled()).rows(0, 40)
    settings = resolve_sample({}, config.agent)
    envs: Any = make_trial_envs(config, settings, 0, data.rows(0, 20), data.rows(20, 40))
    train_env, eval_env = envs
    assert (train_env.norm_obs, train_env.norm_reward) == flags
    assert (eval_env.norm_obs, eval_env.norm_reward) == (flags[0], False)
    assert not eval_env.training


def test_the_dump_has_canonical_keys_and_is_stable(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, ZOO_PPO))
    dump_config(config, tmp_path / "one.yaml")
    raw = yaml.safe_load((tmp_path / "one.yaml").read_text(encoding="utf-8"))["agent"]
    assert set(raw) == set(config_to_dict(config)["agent"])
    assert "n_timesteps" not in raw
    again = load_config(tmp_path / "one.yaml")
    assert again == config
    dump_config(again, tmp_path / "two.yaml")
    assert (tmp_path / "one.yaml").read_bytes() == (tmp_path / "two.yaml").read_bytes()


def test_a_translated_section_is_left_alone() -> None:
    section = yaml.safe_load(ZOO_PPO)["agent"]
    once, problems = translate_agent(section)
    assert problems == []
    assert translate_agent(once) == (once, [])
    assert section["n_timesteps"] == 5e4  # the argument is not changed
    assert translate_agent({"frame_stack": 4.0}) == ({"n_stack": 4}, [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dict(net_arch=[400, 300])", {"net_arch": [400, 300]}),
        ("{'net_arch': (8, 8)}", {"net_arch": [8, 8]}),
        ("dict(net_arch=[dict(pi=[8], vf=[4])])", {"net_arch": {"pi": [8], "vf": [4]}}),
        ("dict(activation_fn=th.nn.Tanh)", {"activation_fn": "tanh"}),
        ("dict()", {}),
        ({"activation_fn": "nn.ELU", "net_arch": [8]}, {"activation_fn": "elu", "net_arch": [8]}),
        ({"activation_fn": "elu"}, {"activation_fn": "elu"}),
    ],
)
def test_policy_kwargs_in_every_form(text: Any, expected: dict[str, Any]) -> None:
    for section in ({"policy_kwargs": text}, {"model_kwargs": {"policy_kwargs": text}}):
        agent = parse_config({"agent": section}).agent
        assert agent.model_kwargs["policy_kwargs"] == expected


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch evaluated')",
        "dict(net_arch=[64] * 2)",
        "dict(a=open('x'))",
        "dict(**{'a': 1})",
        "dict([('a', 1)])",
        "dict(optimizer_class=th.optim.Adam)",
        "dict(activation_fn=nn.Softplus)",
        "lambda: 1",
        "[x for x in y]",
        "dict(a=1",
        "64j",
        "{1: 2}",
        "-'a'",
    ],
)
def test_an_expression_that_is_no_plain_data_is_refused(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"my\.yaml: agent\.policy_kwargs must be keys and val"):
        parse_config({"agent": {"policy_kwargs": text}}, where="my.yaml")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ({"n_timesteps": 500, "total_timesteps": 500}, "n_timesteps and agent.total_timesteps say"),
        (
            {"gamma": 0.9, "model_kwargs": {"gamma": 0.9}},
            "agent.gamma and agent.model_kwargs.gamma say the same thing",
        ),
        ({"n_timesteps": 1000.5}, "agent.n_timesteps must be a whole number such as"),
        ({"n_timesteps": "5e4"}, "agent.n_timesteps must be a whole number such as"),
        ({"n_timesteps": True}, "agent.n_timesteps must be a whole number such as"),
        ({"normalize": {"norm_reward": "no"}}, "norm_obs and norm_reward must be true or false"),
        ({"normalize": "obs"}, r"a text like 'dict\(norm_obs=True, norm_reward=False\)', got 'ob"),
        ({"normalize": 1}, "agent.normalize must be .*'observations' or 'rewards', got 1"),
        ({"replay_buffer_class": "HerReplayBuffer"}, "a file cannot hold a class"),
        ({"normalize": {"clip_obs": 5.0}}, "clip_obs cannot be set"),
        ({"normalize": {"gamma": 0.9}}, "gamma cannot be set"),
        ({"normalize": "yes please"}, "agent.normalize must be keys and values"),
        ({"env_wrapper": "x"}, "agent.env_wrapper, a key of rl-zoo3, is not supported: the env"),
        ({"frame_stack": 2.5}, "agent.frame_stack must be a whole number"),
        ({"frame_stack": 4, "n_stack": 2}, "frame_stack and agent.n_stack say the same thing"),
        ({"callback": []}, "agent.callback, a key of rl-zoo3, is not supported"),
        ({"policy": "MlpPolcy"}, "policy must be one of 'MlpPolicy', .*Did you mean 'MlpPolicy'"),
        ({"learning_rat": 1e-3}, "'agent.learning_rat'. Did you mean 'agent.learning_rate'"),
        ({"n_timestep": 5}, "'agent.n_timestep'. Did you mean 'agent.n_timesteps'"),
        ({"noise_std": 0.1}, "noise_std needs agent.noise_type"),
        ({"noise_type": "normal", "noise_std": -0.5}, "noise_std must be a number >= 0, got -0.5"),
        (
            {"noise_type": "normal", "noise_std": "big"},
            "noise_std must be a number >= 0, got 'big'",
        ),
        ({"noise_type": "pink"}, "noise_type must be 'normal' or"),
        (
            {"noise_type": "normal", "model_kwargs": {"action_noise": "normal"}},
            "agent.noise_type and agent.model_kwargs.action_noise say the same thing",
        ),
    ],
)
def test_what_cannot_be_taken_over_is_refused(agent: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_config({"agent": agent})


def test_a_keyword_of_another_algorithm_is_refused_before_a_search(tmp_path: Path) -> None:
    from finrl_ray.search.sampling.domains import build_space

    config = load_config(write(tmp_path, "agent: {algorithm: sac, n_epochs: 5}"))
    with pytest.raises(ConfigError, match=r"sac has no keyword 'n_epochs'.*ppo would accept"):
        build_space(config)


def test_normalize_and_noise_in_the_zoos_forms() -> None:
    for value in (True, {}, {"norm_obs": True, "clip_obs": 10.0}, "dict(norm_reward=True)"):
        assert parse_config({"agent": {"normalize": value}}).agent.normalize is True
    both_off = {"norm_obs": False, "norm_reward": False}
    assert parse_config({"agent": {"normalize": both_off}}).agent.normalize is False
    for value in ("{'norm_obs': True, 'norm_reward': False}", {"norm_reward": False}):
        assert parse_config({"agent": {"normalize": value}}).agent.normalize == "observations"
        again = parse_config(config_to_dict(parse_config({"agent": {"normalize": value}})))
        assert again.agent.normalize == "observations"
    rewards = parse_config({"agent": {"normalize": "dict(norm_obs=False, norm_reward=True)"}})
    assert rewards.agent.normalize == "rewards"
    raw = {"algorithm": "td3", "noise_type": "ornstein-uhlenbeck", "noise_std": 0.1}
    agent = parse_config({"agent": raw}).agent
    assert agent.model_kwargs == {"action_noise": "ornstein_uhlenbeck"}
    wide = parse_config({"agent": {**raw, "noise_std": 0.5}}).agent
    assert wide.model_kwargs == {"action_noise": "ornstein_uhlenbeck_0.5"}
    noise = make_action_noise("ornstein_uhlenbeck_0.5", 2)
    assert isinstance(noise, OrnsteinUhlenbeckActionNoise)
    assert noise._sigma.tolist() == [0.5, 0.5]
    assert make_action_noise("normal", 3)._sigma.tolist() == [0.1, 0.1, 0.1]
    assert make_action_noise("normal_0", 1)._sigma.tolist() == [0.0]
    assert named_noise("normal_3e-1") == ("normal", 0.3)
    for text in (
        "normal_",
        "normal_x",
        "normal_-1",
        "normal_inf",
        "normal_nan",
        "pink_0.1",
        "_0.1",
    ):
        assert named_noise(text) is None
        with pytest.raises(ConfigError, match="action_noise must be one of"):
            check_values("td3", {"action_noise": text})
        with pytest.raises(ConfigError, match="action_noise must be one of"):
            make_action_noise(text, 1)


def test_all_mistakes_are_named_at_once() -> None:
    agent = {"callback": "x", "n_timesteps": 0.5, "n_envs": "2"}
    with pytest.raises(ConfigError) as caught:
        parse_config({"nam": "x", "agent": agent}, where="my.yaml")
    text = str(caught.value)
    assert text.startswith("my.yaml: ")
    assert all(word in text for word in ("callback", "n_timesteps", "agent.n_envs", "'nam'"))


def test_overrides_in_the_zoos_keys_win_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, ZOO_PPO)
    overrides = [
        "agent.n_timesteps=7e3",
        "agent.learning_rate=lin_1e-3",
        "agent.model_kwargs.gamma=0.5",
        "agent.policy_kwargs=dict(net_arch=[8])",
        "agent.normalize=false",
    ]
    agent = load_config(path, overrides).agent
    assert agent.total_timesteps == 7000
    assert agent.normalize is False
    given = {name: agent.model_kwargs[name] for name in ("learning_rate", "gamma", "policy_kwargs")}
    assert given == {
        "learning_rate": "lin_1e-3",
        "gamma": 0.5,
        "policy_kwargs": {"net_arch": [8]},
    }
    assert load_config(path, ["agent.total_timesteps=9000"]).agent.total_timesteps == 9000
    with pytest.raises(ConfigError, match=r"override 'agent.env_wrapper=x': agent.env_wrapper, a"):
        load_config(path, ["agent.env_wrapper=x"])
    with pytest.raises(ConfigError, match=r"override 'agent.n_timesteps=x': agent.n_timesteps mus"):
        load_config(path, ["agent.n_timesteps=x"])


def test_every_key_of_the_zoo_is_listed_once() -> None:
    assert len(ZOO_KEYS) == len(set(ZOO_KEYS))
