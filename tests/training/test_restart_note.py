"""What is said of a trial that went on without the exact state of its env, and that it goes on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from own_envs import StatefulEnv, ValueEnv, wandering_market

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import parse_config
from finrl_ray.training.agent import StartPoint, train_agent
from finrl_ray.training.restart_note import notes_of_restarts

MARKET = wandering_market(120)


def config(made: Any, **agent: Any) -> ExperimentConfig:
    return parse_config(
        {
            "env": {"class": f"own_envs:{made.__name__}"},
            "agent": {"algorithm": "ppo", "total_timesteps": 256, "n_envs": 2, **agent},
            "evaluation": {"eval_freq": 64},
        }
    )


def trained(
    made: Any, folder: Path, start: Path | None = None, **agent: Any
) -> tuple[list[dict[str, Any]], list[Any]]:
    reports: list[dict[str, Any]] = []

    def report(metrics: dict[str, Any], save: Any) -> None:
        reports.append(metrics)
        place = folder / f"checkpoint_{len(reports)}"
        place.mkdir(parents=True)
        save(place)

    samples = {
        "ppo": {"n_steps": 32, "batch_size": 32, "n_epochs": 1, "net_arch": "tiny"},
        "sac": {"batch_size": 32, "learning_starts": 32, "net_arch": "tiny"},
    }
    model = train_agent(
        samples[agent.get("algorithm", "ppo")],
        config(made, **agent),
        MARKET.rows(0, 80),
        MARKET.rows(80, 120),
        report,
        StartPoint(checkpoint=start),
    )
    return reports, [part.detach().numpy() for part in model.policy.parameters()]


def test_notes_of_restarts_are_told_from_others() -> None:
    note = "went on from ..., which is not exact: MyEnv has no get_state"
    results = [{"timesteps": 1}, {"notes": "checkpoint_1 is damaged"}, {"notes": note}]
    assert notes_of_restarts(results) == [note]


@pytest.mark.slow
@pytest.mark.parametrize("normalize", [True, False])
def test_with_a_state_a_trial_goes_on_bit_for_bit(tmp_path: Path, normalize: bool) -> None:
    whole, ours = trained(StatefulEnv, tmp_path / "one", normalize=normalize)
    rest, theirs = trained(
        StatefulEnv, tmp_path / "two", tmp_path / "one" / "checkpoint_2", normalize=normalize
    )
    assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert [one["objective"] for one in rest] == [one["objective"] for one in whole[2:]]
    assert not any("notes" in one for one in rest)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_without_one_it_goes_on_from_the_parameters_and_says_so(
    tmp_path: Path, algorithm: str
) -> None:
    agent = {"algorithm": algorithm, "normalize": True}
    whole, _ = trained(ValueEnv, tmp_path / "one", **agent)
    rest, _ = trained(ValueEnv, tmp_path / "two", tmp_path / "one" / "checkpoint_2", **agent)
    assert "notes" not in whole[0]
    assert [one["timesteps"] for one in rest] == [192, 256]
    assert "went on from the networks and the optimizer of 128 timesteps" in rest[0]["notes"]
    assert "ValueEnv" in rest[0]["notes"]
    assert "has no get_state and no set_state" in rest[0]["notes"]
    assert "notes" not in rest[1]
