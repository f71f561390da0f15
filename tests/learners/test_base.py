"""Which learner a model uses, and that its files hold nothing of it."""

import logging
from pathlib import Path

import pytest
from stable_baselines3 import PPO

from finrl_ray.learners.base import Learner, sb3_class


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
