"""Parameters start where torch's own tensors start, whatever has happened to a model."""

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import off_policy_cases
import on_policy_cases
import pytest
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch import nn

from finrl_ray.agents.state.training_state import (
    capture_state,
    load_state,
    restore_state,
    save_state,
)
from finrl_ray.learners.flat import parameters
from finrl_ray.learners.flat.optimizers import FlatAdam
from finrl_ray.learners.flat.parameters import ALIGNMENT, FlatParameters, aligned_zeros
from finrl_ray.learners.off_policy.exact import ExactDDPG, ExactSAC, ExactTD3
from finrl_ray.learners.off_policy.fused import FusedDDPG, FusedSAC, FusedTD3
from finrl_ray.learners.on_policy.exact import ExactA2C, ExactPPO
from finrl_ray.learners.on_policy.fused import FusedA2C, FusedPPO

WIDTHS = [7, 13]
"""No layer of these ends at a multiple of 16 bytes."""
ON_POLICY, OFF_POLICY = (ExactPPO, ExactA2C), (ExactSAC, ExactTD3, ExactDDPG)
FUSED = (FusedPPO, FusedA2C, FusedSAC, FusedTD3, FusedDDPG)


def make(kind: type[BaseAlgorithm]) -> Any:
    cases = on_policy_cases if issubclass(kind, OnPolicyAlgorithm) else off_policy_cases
    return cases.make_model(kind, policy_kwargs={"net_arch": WIDTHS})


def misaligned(model: Any) -> list[str]:
    """Return the parameters, gradients and moments that start somewhere else."""
    found = []
    networks = dict(model.policy.named_parameters())
    if getattr(model, "log_ent_coef", None) is not None:
        networks["log_ent_coef"] = model.log_ent_coef
    for name, parameter in networks.items():
        tensors = {name: parameter, f"gradient of {name}": parameter.grad}
        for optimizer in optimizers_of(model):
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"{key} of {name}"] = value
        found += [
            what
            for what, tensor in tensors.items()
            if isinstance(tensor, th.Tensor)
            and tensor.numel()
            and tensor.ndim
            and tensor.data_ptr() % ALIGNMENT
        ]
    return found


def optimizers_of(model: Any) -> list[Any]:
    owners = [model.policy, *(getattr(model, name, None) for name in ("actor", "critic"))]
    found = [getattr(owner, "optimizer", None) for owner in owners]
    return [one for one in (*found, getattr(model, "ent_coef_optimizer", None)) if one is not None]


@pytest.fixture(params=(*ON_POLICY, *OFF_POLICY), ids=lambda kind: kind.__name__)
def model(request: pytest.FixtureRequest) -> Any:
    return make(request.param)


def test_every_parameter_starts_where_torch_would_put_it(model: Any) -> None:
    assert model.learner == "exact"
    assert misaligned(model) == []
    model.learn(60)
    assert misaligned(model) == []


def test_after_loading_and_after_other_parameters_are_set(model: Any, tmp_path: Path) -> None:
    model.learn(60)
    model.save(tmp_path / "model")
    loaded = type(model).load(tmp_path / "model", device="cpu")
    assert misaligned(loaded) == []
    plain = next(k for k in type(model).__mro__ if k.__module__.startswith("stable_baselines3"))
    assert misaligned(plain.load(tmp_path / "model", device="cpu")) == []
    other = make(type(model))
    other.set_parameters(model.get_parameters())
    other.learn(30)
    assert misaligned(other) == []


def test_after_a_state_is_restored(model: Any, tmp_path: Path) -> None:
    model.learn(60)
    save_state(capture_state(model), tmp_path / "state")
    other = make(type(model))
    other.learn(30)
    restore_state(other, load_state(tmp_path / "state"))
    assert misaligned(other) == []
    assert other._last_obs.ctypes.data % 16 == 0
    other.learn(30, reset_num_timesteps=False)
    assert misaligned(other) == []


def test_after_a_copy_a_pickle_and_a_move(model: Any) -> None:
    model.learn(60)
    policies = [copy.deepcopy(model.policy), pickle.loads(pickle.dumps(model.policy))]
    file = io.BytesIO()
    th.save(model.policy, file)
    file.seek(0)
    policies.append(th.load(file, weights_only=False))
    for policy in policies:
        starts = {p.data_ptr() % ALIGNMENT for p in policy.parameters()}
        assert starts == {0}
    model.policy.to(th.float64).to(th.float32)
    model.learn(60)
    assert misaligned(model) == []


def test_parameters_cut_out_of_a_vector_are_moved(model: Any) -> None:
    # torch makes them views of the vector, at any multiple of 4 bytes
    model.policy.load_from_vector(model.policy.parameters_to_vector())
    assert misaligned(model)
    model.learn(60)
    assert misaligned(model) == []


@pytest.mark.parametrize("kind", FUSED, ids=lambda kind: kind.__name__)
def test_what_acts_is_aligned_in_fused_learners_too(kind: type[BaseAlgorithm]) -> None:
    # weights that are one matrix lie end to end, so of those the first alone is
    model = make(kind)
    model.learn(60)
    assert model.learner == "fused"
    policy = model.policy
    acting = policy.actor if hasattr(policy, "actor") else policy.mlp_extractor.policy_net
    weights = [p for name, p in acting.named_parameters() if "log_std" not in name]
    weights = [p for p in weights if p.ndim == 2]
    assert len(weights) >= 2
    assert [p.shape for p in weights if p.data_ptr() % ALIGNMENT] == []


def test_what_lies_between_parameters_stays_zero() -> None:
    for kind in (*ON_POLICY, *OFF_POLICY, *FUSED):
        model = make(kind)
        model.learn(60)
        flats = {id(o): o for o in optimizers_of(model)}.values()
        for optimizer in flats:
            flat = optimizer.flat
            between = th.ones(len(flat.values), dtype=th.bool)
            for place in flat.places:
                between[place] = False
            assert bool(between.any()) == (len(flat.parameters) > 1)
            tensors = [flat.values, flat.gradients]
            if isinstance(optimizer, FlatAdam):
                tensors += optimizer.moments
            for tensor in tensors:
                assert not tensor[between].any(), kind.__name__


def test_places_are_multiples_and_members_lie_end_to_end() -> None:
    first, second, third = (nn.Parameter(th.randn(n, 4)) for n in (2, 3, 1))
    flat = FlatParameters([third, (first, second)])
    assert flat.places == [slice(0, 4), slice(16, 24), slice(24, 36)]
    joined = flat.joined(flat.values, first, second)
    assert th.equal(joined, th.cat([first.data, second.data]))
    joined[0, 0] = 7.0
    assert first[0, 0] == 7.0
    with pytest.raises(ValueError, match="end to end"):
        flat.joined(flat.values, third, first)
    other = FlatParameters([(first, nn.Parameter(th.randn(3)))])
    with pytest.raises(ValueError, match="one width"):
        other.joined(other.values, first, other.parameters[1])


def test_gradients_are_filled_in_their_places() -> None:
    flat = FlatParameters([nn.Parameter(th.randn(n)) for n in (3, 16, 1, 40)])
    wanted = [th.randn(n) for n in (3, 16, 1, 40)]
    flat.fill_gradients(wanted)
    for parameter, gradient in zip(flat.parameters, wanted, strict=True):
        assert th.equal(parameter.grad, gradient)
    assert th.count_nonzero(flat.gradients) == 60


def test_a_parameter_given_twice_is_refused() -> None:
    parameter = nn.Parameter(th.randn(2))
    with pytest.raises(ValueError, match="twice"):
        FlatParameters([parameter, parameter])


@pytest.mark.parametrize("start", [0, 1, 3, 15])
def test_an_allocator_that_aligns_less_is_made_up_for(
    start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    zeros = th.zeros
    monkeypatch.setattr(parameters.th, "zeros", lambda n: zeros(n + start)[start:])
    made = aligned_zeros(37)
    assert made.shape == (37,)
    assert made.data_ptr() % ALIGNMENT == 0


def test_arrays_that_inputs_come_from_start_at_multiples_of_16_bytes() -> None:
    """Batches are numpy's; MKL takes 16 bytes for aligned (see test_other_processors)."""
    for n in (1, 3, 5, 7, 63, 1000, 100_001):
        made = np.ones((n, 3), dtype=np.float32)
        taken = made[np.arange(n)[::-1]]
        for array in (made, taken, np.array(made), pickle.loads(pickle.dumps(made))):
            assert array.ctypes.data % 16 == 0
