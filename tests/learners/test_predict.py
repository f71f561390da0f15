"""Deterministic actions of learners are those of SB3's policy, bit for bit."""

from typing import Any

import numpy as np
import off_policy_cases
import on_policy_cases
import pytest
import torch as th
from bit_equality import assert_equal_bits
from stable_baselines3.common.base_class import BaseAlgorithm

from finrl_ray.agents.algorithms import find_learner
from finrl_ray.learners.base import sb3_class
from finrl_ray.learners.off_policy.exact import ExactDDPG, ExactSAC, ExactTD3
from finrl_ray.learners.off_policy.fused import FusedDDPG, FusedSAC, FusedTD3
from finrl_ray.learners.on_policy.exact import ExactA2C, ExactPPO
from finrl_ray.learners.on_policy.fused import FusedA2C, FusedPPO

CLASSES: dict[type[BaseAlgorithm], Any] = {
    **dict.fromkeys((FusedPPO, FusedA2C, ExactPPO, ExactA2C), on_policy_cases.make_model),
    **dict.fromkeys((FusedSAC, FusedTD3, FusedDDPG), off_policy_cases.make_model),
    **dict.fromkeys((ExactSAC, ExactTD3, ExactDDPG), off_policy_cases.make_model),
}


@pytest.fixture(params=CLASSES, ids=lambda kind: kind.__name__)
def model(request: pytest.FixtureRequest) -> Any:
    made = CLASSES[request.param](request.param)
    made.learn(60)
    return made


@pytest.mark.parametrize("n_rows", [1, 3, 70])
def test_rows_of_observations(model: Any, n_rows: int) -> None:
    seen = np.random.default_rng(0).normal(0, 3, (n_rows, 7)).astype(np.float32)
    actions, state = model.predict(seen, state=None, deterministic=True)
    expected, _ = BaseAlgorithm.predict(model, seen, deterministic=True)
    assert_equal_bits(actions, expected)
    assert actions.dtype == expected.dtype
    assert state is None


def test_rows_cut_out_of_an_array(model: Any) -> None:
    # they start at any multiple of 4 bytes, and where, must not show in the actions
    seen = np.random.default_rng(1).normal(0, 3, (40, 1, 7)).astype(np.float32)
    for row in seen:
        actions, _ = model.predict(row, deterministic=True)
        expected, _ = BaseAlgorithm.predict(model, row, deterministic=True)
        assert_equal_bits(actions, expected)
        copied, _ = model.predict(row.copy(), deterministic=True)
        assert_equal_bits(actions, copied)


def test_other_observations_take_sb3s_way(model: Any) -> None:
    seen = np.random.default_rng(0).normal(0, 3, 7).astype(np.float32)
    expected, _ = BaseAlgorithm.predict(model, seen, deterministic=True)
    assert_equal_bits(model.predict(seen, deterministic=True)[0], expected)
    rows = seen[np.newaxis].astype(np.float64)
    assert model.predict(rows, deterministic=True)[0].shape == (1, 3)


def test_random_actions_are_sb3s(model: Any) -> None:
    seen = np.zeros((2, 7), dtype=np.float32)
    th.manual_seed(0)
    actions, _ = model.predict(seen)
    th.manual_seed(0)
    assert_equal_bits(actions, BaseAlgorithm.predict(model, seen)[0])


@pytest.mark.parametrize("learner", ["fused", "exact", "sb3"])
def test_learners_by_name(learner: str) -> None:
    for kind in CLASSES:
        plain: Any = next(k for k in kind.__mro__ if k.__module__.startswith("stable_baselines3"))
        chosen = find_learner(plain, learner)
        assert issubclass(chosen, plain)
        assert (chosen is plain) == (learner == "sb3")
    assert sb3_class(CLASSES[FusedSAC](FusedSAC)).__name__ == "SAC"
