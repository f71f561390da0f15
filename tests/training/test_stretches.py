"""What a trial has become is trained again on the rows alone: as a trial, stretch by stretch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch as th
from made_search import made_config, prices
from stable_baselines3.common.base_class import BaseAlgorithm

from finrl_ray.config.data import DataConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.load import market_data_of
from finrl_ray.data.market_data import MarketData
from finrl_ray.training.agent import StartPoint, train_agent
from finrl_ray.training.stretches import Stretch, train_stretches

ON_POLICY = {"n_steps": 32, "batch_size": 32, "n_epochs": 1, "net_arch": "tiny"}
OFF_POLICY = {"learning_starts": 32, "batch_size": 16, "buffer_size": 300, "net_arch": "tiny"}
SAMPLES = {"ppo": ON_POLICY, "sac": OFF_POLICY}


@pytest.fixture(scope="module")
def market() -> MarketData:
    return market_data_of(prices(("AAA", "BBB"), 200), DataConfig(features=()))[0]


def config(storage: Path, algorithm: str = "ppo") -> ExperimentConfig:
    return made_config(
        storage,
        1,
        env={"random_start": True},
        agent={
            "algorithm": algorithm,
            "total_timesteps": 256,
            "n_envs": 2,
            "normalize": True,
        },
        evaluation={"eval_freq": 128},
    )


class _Enough(Exception):  # noqa: N818  # it ends a training where the test wants it
    pass


def stopped_at(timesteps: int, place: Path) -> Callable[[dict[str, Any], Any], None]:
    def report(metrics: dict[str, Any], save: Callable[[Path], None]) -> None:
        if metrics["timesteps"] >= timesteps:
            place.mkdir()
            save(place)
            raise _Enough

    return report


def assert_same(one: BaseAlgorithm, other: BaseAlgorithm) -> None:
    assert one.num_timesteps == other.num_timesteps
    first, second = one.policy.state_dict(), other.policy.state_dict()
    assert first.keys() == second.keys()
    different = [name for name in first if not th.equal(first[name], second[name])]
    assert different == []
    known, again = one.get_vec_normalize_env(), other.get_vec_normalize_env()
    assert known is not None
    assert again is not None
    assert known.obs_rms.mean.tolist() == again.obs_rms.mean.tolist()
    assert known.ret_rms.var == again.ret_rms.var


def nothing(metrics: dict[str, Any], save: Callable[[Path], None]) -> None:
    del metrics, save


@pytest.mark.parametrize("algorithm", SAMPLES)
def test_one_stretch_is_the_trial(market, tmp_path, algorithm) -> None:
    experiment, sample = config(tmp_path, algorithm), SAMPLES[algorithm]
    train, validation = market.rows(0, 120), market.rows(120, 160)
    searched = train_agent(sample, experiment, train, validation, nothing)
    again = train_stretches([Stretch(sample=sample)], experiment, train)
    assert_same(searched, again)


@pytest.mark.parametrize("algorithm", SAMPLES)
def test_an_exchange_is_followed(market, tmp_path, algorithm) -> None:
    experiment = config(tmp_path, algorithm)
    first = {**SAMPLES[algorithm], "learning_rate": 1e-3}
    then = {**first, "learning_rate": 1e-4, "gamma": 0.9}
    train, validation = market.rows(0, 120), market.rows(120, 160)
    with pytest.raises(_Enough):
        train_agent(first, experiment, train, validation, stopped_at(128, tmp_path / "donor"))
    start = StartPoint(checkpoint=tmp_path / "donor")
    searched = train_agent(then, experiment, train, validation, nothing, start)
    stretches = [Stretch(sample=first, until=128), Stretch(sample=then)]
    assert_same(searched, train_stretches(stretches, experiment, train))


def test_training_is_left_where_the_trial_was_judged(market, tmp_path) -> None:
    experiment = config(tmp_path)
    train = market.rows(0, 120)
    model = train_stretches([Stretch(sample=ON_POLICY, until=100)], experiment, train)
    assert model.num_timesteps == 128  # the first safe point from there on
    longer = train_stretches([Stretch(sample=ON_POLICY)], experiment, train)
    assert longer.num_timesteps == 256


def test_without_stretches_there_is_no_model(market, tmp_path) -> None:
    with pytest.raises(ValueError, match="at least one, got none"):
        train_stretches([], config(tmp_path), market)
