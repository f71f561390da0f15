"""The networks of SB3's policies as lists of plain functions, called without torch's modules.

The functions hold the very parameters of the modules, so they never go stale; what a module would
do around them (hooks, training mode, image scaling) has to be nothing, which
`reason_against_policy` checks.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn
from torch.distributions import Normal
from torch.nn import functional

Layers: TypeAlias = list[Callable[[th.Tensor], th.Tensor]]


def layers_of(*modules: nn.Module) -> Layers:
    """Return what networks or layers, one after the other, do, as functions in order."""
    result: Layers = []
    for module in modules:
        for part in module if isinstance(module, nn.Sequential) else (module,):
            if isinstance(part, nn.Linear):
                result.append(partial(functional.linear, weight=part.weight, bias=part.bias))
            else:
                result.append(part.forward)
    return result


def run_layers(layers: Layers, values: th.Tensor) -> th.Tensor:
    """Return the output of layers for an input of shape (B, width)."""
    for layer in layers:
        values = layer(values)
    return values


def linear_layers(*modules: nn.Module) -> list[nn.Linear]:
    """Return the linear layers of networks or layers, in order."""
    parts = [
        part
        for module in modules
        for part in (module if isinstance(module, nn.Sequential) else (module,))
    ]
    return [part for part in parts if isinstance(part, nn.Linear)]


def reason_against_spaces(observations: spaces.Space[Any], actions: spaces.Space[Any]) -> str:
    """Return why the functions here do not fit the spaces of an env, or an empty text."""
    for name, space in (("observation", observations), ("action", actions)):
        if not isinstance(space, spaces.Box):
            return f"the {name} space is a {type(space).__name__}"
        if len(space.shape) != 1:
            return f"the {name} space has the shape {space.shape}"
        if not np.issubdtype(space.dtype, np.floating):
            return f"the {name} space is of {space.dtype}"
    return ""


def reason_against_policy(policy: Any, wanted: type[Any], networks: Iterable[Any]) -> str:
    """Return why the functions here cannot stand in for a policy's networks, or an empty text.

    Parameters
    ----------
    policy : the policy of a model
    wanted : the class that it must be, no subclass
    networks : the parts of it that have a features extractor: actor, critics and targets
    """
    if type(policy) is not wanted:
        return f"the policy is a {type(policy).__name__}"
    if policy.device.type != "cpu":
        return f"the policy is on {policy.device}"
    for network in networks:
        if type(network.features_extractor) is not FlattenExtractor:
            return f"the features extractor is a {type(network.features_extractor).__name__}"
    for module in policy.modules():
        if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks:
            return f"there are hooks on a {type(module).__name__}"
        if isinstance(module, nn.Sequential):
            odd = [part for part in module if not _is_plain(part)]
            if odd:
                return f"there is a {type(odd[0]).__name__} in the networks"
    return ""


def _is_plain(part: nn.Module) -> bool:
    """Return whether a part of a network is linear, or an activation of inputs alone."""
    if type(part) in (nn.Linear, nn.Flatten):
        return True
    return (
        type(part).__module__ == nn.ReLU.__module__
        and not isinstance(part, nn.RReLU)
        and not any(True for _ in part.parameters())
    )


def require_distribution(mean: th.Tensor, deviation: th.Tensor) -> None:
    """Raise what torch raises for a normal distribution of NaN, or without width.

    Raises
    ------
    ValueError
        "Expected parameter loc" or "scale", with its values.
    """
    Normal(mean, deviation.expand_as(mean), validate_args=True)
