"""Which learner a model uses, and that its files hold nothing of it."""

import copy
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from env_markets import random_market
from stable_baselines3 import PPO

from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.learners.base import Learner, sb3_class
from finrl_ray.learners.off_policy import exact as exact_off
from finrl_ray.learners.off_policy import fused as fused_off
from finrl_ray.learners.on_policy import exact as exact_on
from finrl_ray.learners.on_policy import fused as fused_on


class OnlyShort(Learner, PPO):
    """A learner that can do short rollouts, and fused ones if they are even."""

    wanted = "fused"
    own_attributes = ("prepared",)

    def _reason_against_exact(self) -> str:
        return f"n_steps is {self.n_steps}" if self.n_steps > 100 else ""

    def _prepare_exact(self) -> None:
        self.prepared = ["exact"]

    def _reason_against_fused(self) -> str:
        return f"n_steps is odd: {self.n_steps}" if self.n_steps % 2 else ""

    def _prepare_fused(self) -> None:
        self.prepared.append("fused")


def make(n_steps: int) -> OnlyShort:
    return OnlyShort("MlpPolicy", "Pendulum-v1", n_steps=n_steps, batch_size=n_steps, device="cpu")


@pytest.mark.parametrize(("n_steps", "learner"), [(8, "fused"), (9, "exact"), (101, "sb3")])
def test_the_best_learner_that_fits_is_used(
    n_steps: int, learner: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        model = make(n_steps)
        make(n_steps)
    assert model.learner == learner
    said = [record.getMessage() for record in caplog.records]
    expected = {
        "fused": [],
        "exact": ["OnlyShort learns with the exact learner instead of the fused one: "
                  "n_steps is odd: 9"],
        "sb3": ["OnlyShort learns with the sb3 learner instead of the fused one: n_steps is 101"],
    }  # fmt: skip
    assert said == expected[learner]


def test_a_saved_model_is_sb3s(tmp_path: Path) -> None:
    model = make(8)
    model.save(tmp_path / "model")
    plain = PPO.load(tmp_path / "model", device="cpu")
    assert {"learner", "prepared"}.isdisjoint(vars(plain))
    assert OnlyShort.load(tmp_path / "model", device="cpu").learner == "fused"


def test_the_class_that_a_learner_stands_in_for() -> None:
    assert sb3_class(make(8)) is PPO
    assert sb3_class(PPO("MlpPolicy", "Pendulum-v1", device="cpu")) is PPO


ON_POLICY: dict[str, Any] = {"n_steps": 16}
OFF_POLICY: dict[str, Any] = {"learning_starts": 16, "buffer_size": 200, "batch_size": 16}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "name", "settings"),
    [
        (exact_on, "ExactPPO", {**ON_POLICY, "batch_size": 16}),
        (fused_on, "FusedPPO", {**ON_POLICY, "batch_size": 16}),
        (fused_on, "FusedA2C", ON_POLICY),
        (exact_off, "ExactSAC", OFF_POLICY),
        (fused_off, "FusedSAC", OFF_POLICY),
        (fused_off, "FusedTD3", OFF_POLICY),
        (fused_off, "FusedDDPG", OFF_POLICY),
    ],
)
def test_a_copy_trains_as_the_original_would(
    module: Any, name: str, settings: dict[str, Any]
) -> None:
    env = StockTradingVecEnv(random_market(60, 3), n_envs=2)
    kwargs = {"policy_kwargs": {"net_arch": [16, 16]}, "seed": 3, "device": "cpu", **settings}
    model = getattr(module, name)("MlpPolicy", env, **kwargs)
    model.learn(64)
    before = parameters(model)
    copied = copy.deepcopy(model)
    assert copied.learner == model.learner == name[:5].lower()
    trained = continued(copied)
    assert any(not th.equal(trained[k], before[k]) for k in before)
    assert all(th.equal(value, before[k]) for k, value in parameters(model).items())
    assert all(th.equal(value, trained[k]) for k, value in continued(model).items())
    # and the copy of a copy, which has been in use
    again = copy.deepcopy(copied)
    further = continued(again)
    assert all(th.equal(value, further[k]) for k, value in continued(copied).items())


def parameters(model: Any) -> dict[str, th.Tensor]:
    return {name: value.clone() for name, value in model.policy.state_dict().items()}


def continued(model: Any) -> dict[str, th.Tensor]:
    np.random.seed(7)  # noqa: NPY002  # SB3's own random stream, which a copy shares
    th.manual_seed(7)
    model.learn(64, reset_num_timesteps=False)
    return parameters(model)
