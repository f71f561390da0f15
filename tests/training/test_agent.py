"""One agent without Ray: seeds, safe points, and checkpoints that continue the same trajectory."""

import dataclasses
from typing import Any

import pytest
import torch as th
from bit_equality import assert_equal_bits
from stable_baselines3.common.save_util import recursive_getattr
from trial_reports import Reports

from finrl_ray.agents.hyperparameters import trial_seed
from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.evaluation import EvaluationConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.files.manifest import find_damage
from finrl_ray.training.agent import StartPoint, train_agent
from finrl_ray.training.divergence import TrialDivergedError

SAMPLES: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 64, "batch_size": 64, "n_epochs": 2, "net_arch": "tiny"},
    "sac": {"batch_size": 32, "learning_starts": 50, "net_arch": "tiny", "train_freq": 4},
}


@pytest.fixture(scope="module")
def windows() -> tuple[MarketData, MarketData]:
    data = MarketData.from_finrl(read_bundled(), features=["volume"])
    return data.rows(100, 400), data.rows(400, 500)


OPTIONS: dict[str, Any] = {
    "env.hmax": 30,
    "env.observation_scaling": "train",
    "agent.normalize": "rewards",
    "agent.n_envs": 4,
    "data.features": ["volume"],
}
FINRL = EnvConfig(random_start=True)
STATIONARY = EnvConfig(observation="stationary", lookback=3, random_start=True)


def config(algorithm: Any = "ppo", env: EnvConfig = FINRL, **search: Any) -> ExperimentConfig:
    return ExperimentConfig(
        env=env,
        agent=AgentConfig(algorithm=algorithm, total_timesteps=768, n_envs=2, normalize=True),
        evaluation=EvaluationConfig(eval_freq=256),
        search=SearchConfig(**search),
    )


def test_a_seed_depends_on_experiment_and_sample_alone() -> None:
    first = trial_seed(0, {"a": 1, "b": 2.0})
    assert trial_seed(0, {"b": 2.0, "a": 1}) == first
    assert trial_seed(1, {"a": 1, "b": 2.0}) != first
    assert trial_seed(0, {"a": 1, "b": 2.5}) != first
    assert 0 <= first < 2**31


@pytest.mark.slow
@pytest.mark.parametrize("env", [FINRL, STATIONARY], ids=["finrl", "stationary"])
@pytest.mark.parametrize("algorithm", sorted(SAMPLES))
def test_a_run_resumed_from_any_checkpoint_ends_the_same(algorithm, env, windows, tmp_path) -> None:
    th.set_num_threads(1)
    sample, experiment = SAMPLES[algorithm], config(algorithm, env)
    straight = Reports(tmp_path / "straight")
    model = train_agent(sample, experiment, *windows, straight)
    assert [m["timesteps"] for m in straight.metrics] == [256, 512, 768]
    for steps in (256, 512, 768):
        again = Reports(tmp_path / f"from_{steps}")
        checkpoint = tmp_path / "straight" / str(steps)
        assert find_damage(checkpoint) == ""
        resumed = train_agent(
            sample, experiment, *windows, again, StartPoint(checkpoint=checkpoint)
        )
        assert again.metrics == [m for m in straight.metrics if m["timesteps"] > steps]
        for name, value in model.policy.state_dict().items():
            assert_equal_bits({name: value}, {name: resumed.policy.state_dict()[name]})


@pytest.mark.slow
def test_a_checkpoint_whose_report_was_lost_reports_again_with_what_was_passed_over(
    windows, tmp_path
) -> None:
    sample, experiment = SAMPLES["ppo"], config()
    straight, again = Reports(tmp_path / "straight"), Reports(tmp_path / "again")
    train_agent(sample, experiment, *windows, straight)
    start = StartPoint(
        checkpoint=tmp_path / "straight" / "512", must_report=True, notes="damaged: x"
    )
    train_agent(sample, experiment, *windows, again, start)
    assert again.metrics[0] == {**straight.metrics[1], "notes": "damaged: x"}
    assert again.metrics[1:] == straight.metrics[2:]
    # and the checkpoint of the repeated report is as good as the first
    third = Reports(tmp_path / "third")
    train_agent(
        sample, experiment, *windows, third, StartPoint(checkpoint=tmp_path / "again" / "512")
    )
    assert third.metrics == straight.metrics[2:]


@pytest.mark.slow
def test_a_trial_that_had_ended_itself_does_not_train_on(windows, tmp_path) -> None:
    experiment = config(max_drawdown_limit=-1e-6)
    first, again = Reports(tmp_path / "first"), Reports(tmp_path / "again")
    train_agent(SAMPLES["ppo"], experiment, *windows, first)
    assert len(first.metrics) == 1
    start = StartPoint(checkpoint=tmp_path / "first" / "256")
    train_agent(SAMPLES["ppo"], experiment, *windows, again, start)
    assert again.metrics == []


@pytest.mark.slow
def test_an_agent_whose_parameters_are_nan_says_which(windows, tmp_path) -> None:
    sample = {**SAMPLES["ppo"], "policy_kwargs": {"log_std_init": 1e38}}
    with pytest.raises(TrialDivergedError, match=r"parameter .* is NaN or infinite after \d+"):
        train_agent(sample, config(), *windows, Reports(tmp_path))


@pytest.mark.slow
def test_an_evaluation_falls_on_the_first_safe_point_after_its_multiple(windows, tmp_path) -> None:
    reports = Reports(tmp_path)
    train_agent({**SAMPLES["ppo"], "n_steps": 100}, config(), *windows, reports)
    # rollouts end at 200, 400, 600, 800; evaluations are due at 256, 512 and the end
    assert [m["timesteps"] for m in reports.metrics] == [400, 600, 800]


CHANGED: dict[str, dict[str, Any]] = {
    "a2c": {"n_steps": 32, "net_arch": "tiny"},
    "ppo": SAMPLES["ppo"],
    "ddpg": SAMPLES["sac"],
    "td3": SAMPLES["sac"],
    "sac": SAMPLES["sac"],
}


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", sorted(CHANGED))
def test_a_copy_of_a_trial_goes_on_with_its_own_values(algorithm, windows, tmp_path) -> None:
    experiment, sample = config(algorithm), {**CHANGED[algorithm], "learning_rate": 1e-3}
    donor = Reports(tmp_path / "donor")
    train_agent(sample, experiment, *windows, donor)
    changed = {**sample, "learning_rate": 2.5e-4, "one_minus_gamma": 0.2}
    copies = [Reports(tmp_path / name) for name in ("copy", "again")]
    for reports in copies:
        start = StartPoint(checkpoint=tmp_path / "donor" / "256")
        model: Any = train_agent(changed, experiment, *windows, reports, start)
        optimizers = [n for n in model._get_torch_save_params()[0] if n.endswith("optimizer")]
        for name in optimizers:
            assert recursive_getattr(model, name).param_groups[0]["lr"] == 2.5e-4
        assert model.gamma == model.get_vec_normalize_env().gamma == 0.8
    assert [m["timesteps"] for m in copies[0].metrics] == [512, 768]
    assert copies[0].metrics == copies[1].metrics
    # the random streams are the donor's, and so is the seed that they began with
    assert {m["seed"] for m in copies[0].metrics} == {trial_seed(experiment.seed, sample)}
    assert copies[0].metrics[-1]["objective"] != donor.metrics[-1]["objective"]


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", sorted(SAMPLES))
def test_a_trial_that_chooses_options_is_one_of_a_config_that_has_them(
    algorithm, windows, tmp_path
) -> None:
    th.set_num_threads(1)
    wide = MarketData.from_finrl(read_bundled(), features=["high", "volume"])
    sample = {**SAMPLES[algorithm], **OPTIONS}
    chosen, configured = Reports(tmp_path / "chosen"), Reports(tmp_path / "configured")
    train_agent(sample, config(algorithm), wide.rows(100, 400), wide.rows(400, 500), chosen)
    other = dataclasses.replace(
        config(algorithm),
        env=EnvConfig(random_start=True, hmax=30, observation_scaling="train"),
        agent=AgentConfig(algorithm=algorithm, total_timesteps=768, n_envs=4, normalize="rewards"),
    )
    # the same sample, and with it the same seed; all that it says is the config's own
    train_agent(sample, other, *windows, configured)
    assert chosen.metrics == configured.metrics
