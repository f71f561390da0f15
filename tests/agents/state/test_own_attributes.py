"""What an algorithm of the user's own counts is in its state, so that a resume is exact."""

import logging
import threading
from typing import Any

import numpy as np
import pytest
from bit_equality import assert_equal_bits
from small_models import small_env, small_model
from stable_baselines3 import PPO

from finrl_ray.agents.state.own_attributes import capture_own, restore_own
from finrl_ray.agents.state.training_state import (
    capture_state,
    learn_from,
    load_state,
    restore_state,
    save_state,
)

TOTAL = 128


class Counting(PPO):
    """PPO whose critic is trusted by and by; `seen` is a mean over all that it was told."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.updates_so_far = 0
        self.seen = np.zeros(5)
        super().__init__(*args, **kwargs)

    def train(self) -> None:
        self.updates_so_far += 1
        self.seen = 0.9 * self.seen + 0.1 * self.rollout_buffer.observations.mean(axis=(0, 1))
        self.vf_coef = 0.1 * self.updates_so_far + float(self.seen.sum())
        super().train()


class Telling(Counting):
    """The same with a state of its own, beside which its attributes are not looked at."""

    def get_state(self) -> dict[str, Any]:
        return {"count": self.updates_so_far, "seen": self.seen}

    def set_state(self, state: dict[str, Any]) -> None:
        self.updates_so_far, self.seen = state["count"], state["seen"]


class Locked(Counting):
    def _setup_model(self) -> None:
        super()._setup_model()
        self.lock = threading.Lock()


def built(kind: type[Counting]) -> Counting:
    return kind("MlpPolicy", small_env(2, noise=0.1), n_steps=16, batch_size=16, seed=3)


@pytest.mark.parametrize("kind", [Counting, Telling])
def test_a_resumed_run_of_an_own_algorithm_equals_a_straight_one(kind, tmp_path) -> None:
    straight = built(kind)

    def keep(model: Any) -> bool:
        if model.num_timesteps == TOTAL // 2:
            save_state(capture_state(model), tmp_path / "half.pt")
        return True

    assert learn_from(straight, TOTAL, at_safe_point=keep)
    assert straight.updates_so_far == 4
    resumed = built(kind)
    restore_state(resumed, load_state(tmp_path / "half.pt"))
    assert resumed.updates_so_far == 2
    assert learn_from(resumed, TOTAL, resumed=True)
    assert_equal_bits(capture_state(straight), capture_state(resumed))


def test_only_own_attributes_are_kept_and_shared_with_nobody() -> None:
    model = built(Counting)
    state = capture_own(model)
    assert set(state["attributes"]) == {"updates_so_far", "seen"}
    state["attributes"]["seen"] += 1.0
    assert not model.seen.any()
    restore_own(model, state)
    assert model.seen.tolist() == [1.0] * 5
    assert set(capture_own(built(Telling))["own"]) == {"count", "seen"}
    assert capture_own(small_model("ppo")) == {}
    assert capture_own(small_model("tqc")) == {}


def test_what_a_file_cannot_keep_is_named(caplog) -> None:
    with caplog.at_level(logging.WARNING, logger="finrl_ray"):
        state = capture_own(built(Locked))
    assert "cannot keep lock, which begin anew" in caplog.text
    assert "lock" not in state["attributes"]
