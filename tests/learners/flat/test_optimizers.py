"""Flat optimizers step like the originals, bit for bit, and their states are exchangeable."""

import copy
import pickle
from typing import Any

import pytest
import torch as th
from bit_equality import assert_equal_bits
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from torch import nn
from torch.optim import SGD, Adam, Optimizer, RMSprop

from finrl_ray.learners.flat.optimizers import (
    flatten_optimizer,
    reason_against_flat,
)

KINDS = {
    "adam": (Adam, {"eps": 1e-5}),
    "rmsprop": (RMSprop, {"eps": 1e-5, "alpha": 0.99}),
    "rmsprop_tf": (RMSpropTFLike, {"eps": 1e-5, "alpha": 0.99}),
}


def network(seed: int = 0) -> nn.Sequential:
    th.manual_seed(seed)
    return nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 3))


def train(net: nn.Module, optimizer: Optimizer, n_steps: int, seed: int = 1) -> None:
    generator = th.Generator().manual_seed(seed)
    for _ in range(n_steps):
        loss = net(th.randn((4, 7), generator=generator)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()


def make(kind: str, net: nn.Module) -> Optimizer:
    optimizer_class, options = KINDS[kind]
    return optimizer_class(net.parameters(), lr=1e-2, **options)


def assert_equal(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, list):
        for first, second in zip(one, other, strict=True):
            assert_equal(first, second)
    elif isinstance(one, th.Tensor):
        assert one.dtype == other.dtype
        assert_equal_bits(one, other)
    else:
        assert one == other


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("steps_before", [0, 3])
def test_steps_and_states_equal_the_originals(kind: str, steps_before: int) -> None:
    net, flat_net = network(), network()
    optimizer, flat = make(kind, net), make(kind, flat_net)
    train(net, optimizer, steps_before)
    train(flat_net, flat, steps_before)
    returned = flatten_optimizer(flat)
    assert returned is flat
    assert type(flat).__name__ == f"Flat{type(optimizer).__name__}"
    assert_equal(flat.state_dict(), optimizer.state_dict())
    train(net, optimizer, 20, seed=2)
    train(flat_net, flat, 20, seed=2)
    assert_equal(flat_net.state_dict(), net.state_dict())
    assert_equal(flat.state_dict(), optimizer.state_dict())


def test_learning_rates_that_change_are_followed(kind: str) -> None:
    net, flat_net = network(), network()
    optimizer, flat = make(kind, net), flatten_optimizer(make(kind, flat_net))
    for rate in (1e-2, 1e-3, 0.0, 5e-2):
        optimizer.param_groups[0]["lr"] = flat.param_groups[0]["lr"] = rate
        train(net, optimizer, 2)
        train(flat_net, flat, 2)
    assert_equal(flat_net.state_dict(), net.state_dict())


@pytest.mark.parametrize("to_flat", [True, False])
def test_a_saved_state_is_loaded_by_the_other_kind(kind: str, to_flat: bool) -> None:
    net, other = network(), network(seed=5)
    optimizer, second = make(kind, net), make(kind, other)
    if to_flat:
        flatten_optimizer(second)
    else:
        flatten_optimizer(optimizer)
    train(net, optimizer, 5)
    saved = pickle.loads(pickle.dumps((net.state_dict(), optimizer.state_dict())))
    other.load_state_dict(saved[0])
    second.load_state_dict(saved[1])
    for trained, its_optimizer in ((net, optimizer), (other, second)):
        train(trained, its_optimizer, 5, seed=3)
    assert_equal(other.state_dict(), net.state_dict())


def test_a_deep_copy_trains_on_by_itself(kind: str) -> None:
    net = network()
    optimizer = flatten_optimizer(make(kind, net))
    train(net, optimizer, 5)
    before = copy.deepcopy(net.state_dict())
    copied_net, copied = copy.deepcopy((net, optimizer))
    train(copied_net, copied, 5, seed=3)
    assert_equal(dict(net.state_dict()), dict(before))
    train(net, optimizer, 5, seed=3)
    assert_equal(copied_net.state_dict(), net.state_dict())
    assert_equal(copied.state_dict(), optimizer.state_dict())


def test_replaced_tensors_and_lost_gradients_are_taken_in_again(kind: str) -> None:
    net, flat_net = network(), network()
    optimizer, flat = make(kind, net), flatten_optimizer(make(kind, flat_net))
    for trained, its_optimizer in ((net, optimizer), (flat_net, flat)):
        train(trained, its_optimizer, 3)
        for parameter in trained.parameters():
            parameter.data = parameter.data.clone() * 0.5
            parameter.grad = None
        train(trained, its_optimizer, 3, seed=4)
    assert_equal(flat_net.state_dict(), net.state_dict())


def test_parameters_lie_in_the_order_that_was_asked_for(kind: str) -> None:
    net, flat_net = network(), network()
    optimizer, flat = make(kind, net), make(kind, flat_net)
    order = list(flat_net.parameters())[::-1]
    flatten_optimizer(flat, order)
    assert th.equal(flat.flat.values[:3], flat_net[2].bias)
    train(net, optimizer, 5)
    train(flat_net, flat, 5)
    assert_equal(flat_net.state_dict(), net.state_dict())
    assert_equal(flat.state_dict(), optimizer.state_dict())


def test_what_cannot_be_flat_is_said() -> None:
    net = network()
    parameters = list(net.parameters())
    assert "SGD" in reason_against_flat(SGD(parameters, lr=0.1))
    assert "weight_decay" in reason_against_flat(Adam(parameters, lr=0.1, weight_decay=0.1))
    assert "amsgrad" in reason_against_flat(Adam(parameters, lr=0.1, amsgrad=True))
    assert "centered" in reason_against_flat(RMSpropTFLike(parameters, centered=True))
    assert "2 groups" in reason_against_flat(Adam([{"params": [p]} for p in parameters[:2]]))
    assert "float64" in reason_against_flat(Adam(network().double().parameters()))
    with pytest.raises(ValueError, match="SGD"):
        flatten_optimizer(SGD(parameters, lr=0.1))
