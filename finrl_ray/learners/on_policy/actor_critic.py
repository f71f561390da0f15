"""Where the policy and the value network of PPO and A2C lie among flat parameters.

The first layers of both lie in one matrix, so they are one product, forward and backward.
"""

from collections.abc import Sequence
from typing import Any

from torch import nn

from finrl_ray.learners.flat.parameters import FlatParameters, ParameterOrder
from finrl_ray.learners.networks import linear_layers
from finrl_ray.learners.on_policy.per_ticker import PerTickerExtractor
from finrl_ray.learners.on_policy.small_batches import layer_places

ACTIVATIONS: tuple[type[nn.Module], ...] = (nn.Tanh, nn.ReLU)


def reason_against_arrays(policy: Any) -> str:
    """Return why a policy's networks cannot be written out, or an empty text."""
    for name in ("policy_net", "value_net"):
        parts = list(getattr(policy.mlp_extractor, name))
        if not parts:
            return f"{name} has no hidden layer"
        kinds = [type(part) for part in parts]
        odd = set(kinds[1::2]) - set(ACTIVATIONS)
        if odd:
            return f"the activation is {odd.pop().__name__}"
        if set(kinds[::2]) != {nn.Linear} or len(parts) % 2:
            return f"{name} is no sequence of linear layers and activations"
    used = {type(part) for part in policy.mlp_extractor.modules()} & set(ACTIVATIONS)
    return "" if len(used) == 1 else "the networks have different activations"


def parameter_order(policy: Any) -> ParameterOrder:
    """Return an order of a policy's parameters in which the two first layers lie end to end."""
    actor, critic = _linear_layers_of(policy)
    order: list[Any] = [
        (actor[0].weight, critic[0].weight),
        (actor[0].bias, critic[0].bias),
    ]
    for layer in (*actor[1:], *critic[1:]):
        order += [layer.weight, layer.bias]
    return [*order, policy.log_std]


def _linear_layers_of(policy: Any) -> tuple[list[nn.Linear], list[nn.Linear]]:
    networks = policy.mlp_extractor
    actor = linear_layers(networks.policy_net, policy.action_net)
    return actor, linear_layers(networks.value_net, policy.value_net)


class Weights:
    """Where weight and bias of one linear layer, or of several side by side, lie.

    Parameters
    ----------
    flat : in the order of `parameter_order`
    parts : the linear layer, or neighbours with the same input

    Raises
    ------
    ValueError
        If the parts do not lie end to end.
    """

    def __init__(self, flat: FlatParameters, parts: Sequence[nn.Linear]) -> None:
        first: Any = parts[0]
        last: Any = parts[-1]
        self.n_outputs, self.n_inputs = flat.joined(flat.values, first.weight, last.weight).shape
        flat.joined(flat.values, first.bias, last.bias)
        self.weight_place = flat.place(first.weight).start
        self.bias_place = flat.place(first.bias).start


class ActorCritic:
    """The weights of both networks on flat parameters.

    Parameters
    ----------
    policy : SB3's, whose parameters are in `flat`
    flat : in the order of `parameter_order(policy)`
    """

    def __init__(self, policy: Any, flat: FlatParameters) -> None:
        actor, critic = _linear_layers_of(policy)
        self.flat = flat
        self.first = Weights(flat, [actor[0], critic[0]])
        self.actor = [Weights(flat, [layer]) for layer in actor[1:]]
        self.critic = [Weights(flat, [layer]) for layer in critic[1:]]
        self.widths = (actor[0].out_features, critic[0].out_features)
        self.is_tanh = any(isinstance(part, nn.Tanh) for part in policy.mlp_extractor.modules())
        self.places = layer_places(flat, actor), layer_places(flat, critic)
        self.values = flat.values.numpy()
        self.log_std = policy.log_std.data.numpy()
        self.log_std_place = flat.place(policy.log_std).start
        self.per_ticker = isinstance(policy.mlp_extractor, PerTickerExtractor)
        width = actor[0].in_features
        self.n_entries = 1 + (width - 1) // 2 * len(self.log_std) if self.per_ticker else width
