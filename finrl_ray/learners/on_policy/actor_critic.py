"""The policy and the value network of PPO and A2C on arrays that are made once.

The first layers of both lie in one matrix, so they are one product, forward and backward.
"""

from collections.abc import Sequence
from typing import Any

import torch as th
from torch import nn

from finrl_ray.learners.flat.activations import relu_back, tanh_back
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
    """Weight, bias and their gradients of one linear layer, or of several side by side, as views.

    Parameters
    ----------
    flat : in the order of `parameter_order`
    parts : the linear layer, or neighbours with the same input
    """

    def __init__(self, flat: FlatParameters, parts: Sequence[nn.Linear]) -> None:
        def joined(values: th.Tensor, name: str) -> th.Tensor:
            return flat.joined(values, getattr(parts[0], name), getattr(parts[-1], name))

        self.weight = joined(flat.values, "weight")
        self.bias = joined(flat.values, "bias")
        self.weight_slope = joined(flat.gradients, "weight")
        self.bias_slope = joined(flat.gradients, "bias")
        self.weight_place = flat.place(parts[0].weight).start
        self.bias_place = flat.place(parts[0].bias).start
        self.transposed = self.weight.t()
        self.width = self.weight.shape[0]


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
        self.activate: Any = th.tanh_ if self.is_tanh else th.relu_
        self.back: Any = tanh_back if self.is_tanh else relu_back
        self.places = layer_places(flat, actor), layer_places(flat, critic)
        self.values = flat.values.numpy()
        self.log_std = policy.log_std.data.numpy()
        self.log_std_place = flat.place(policy.log_std).start
        self.per_ticker = isinstance(policy.mlp_extractor, PerTickerExtractor)
        width = actor[0].in_features
        self.n_entries = 1 + (width - 1) // 2 * len(self.log_std) if self.per_ticker else width
        log_std_slope = flat.joined(flat.gradients, policy.log_std, policy.log_std)
        self.log_std_slope = log_std_slope.numpy()


class _Head:
    """One network from the first hidden layer to its output, for B rows.

    Parameters
    ----------
    layers : of the network, without its first, with its last
    hidden, slope : views of shape (B, W) of the first hidden layer and of its slope
    """

    def __init__(self, layers: list[Weights], hidden: th.Tensor, slope: th.Tensor) -> None:
        n_rows = hidden.shape[0]
        self.layers = layers
        self.hidden = [hidden, *(th.zeros(n_rows, layer.width) for layer in layers[:-1])]
        self.slopes = [slope, *(th.zeros(n_rows, layer.width) for layer in layers)]
        self.output = th.zeros(n_rows, layers[-1].width)
        self._slopes_t = [slope.t() for slope in self.slopes]
        self._arrays = [hidden.numpy() for hidden in self.hidden]
        self._slope_arrays = [slope.numpy() for slope in self.slopes]
        self._bias_slopes = [layer.bias_slope.numpy() for layer in layers]

    def forward(self, activate: Any) -> None:
        """Fill the hidden layers and `output`."""
        *body, last = self.layers
        for k, layer in enumerate(body):
            hidden = self.hidden[k + 1]
            th.addmm(layer.bias, self.hidden[k], layer.transposed, out=hidden)
            activate(hidden)
        th.addmm(last.bias, self.hidden[-1], last.transposed, out=self.output)

    def backward(self, back: Any) -> None:
        """Bring the slope of the output, `slopes[-1]`, back to the first hidden layer.

        The caller fills the slope of the output's bias.
        """
        for k in range(len(self.layers) - 1, -1, -1):
            if k < len(self.layers) - 1:
                back(self._arrays[k + 1], self._slope_arrays[k + 1], self._bias_slopes[k])
            layer = self.layers[k]
            th.mm(self._slopes_t[k + 1], self.hidden[k], out=layer.weight_slope)
            th.mm(self.slopes[k + 1], layer.weight, out=self.slopes[k])


class Rows:
    """Memory of both networks for B rows.

    Attributes
    ----------
    mean : tensor of shape (B, A)
    values : tensor of shape (B, 1)
    mean_slope, value_slope : arrays of the same shapes
    mean_bias_slope, value_bias_slope : arrays of shapes (A,) and (1,)
    """

    def __init__(self, networks: ActorCritic, n_rows: int) -> None:
        self.networks, self.n_rows = networks, n_rows
        first = networks.first
        self._hidden = th.zeros(n_rows, first.width)
        self._slope = th.zeros(n_rows, first.width)
        split = networks.widths[0]
        self.actor = _Head(networks.actor, self._hidden[:, :split], self._slope[:, :split])
        self.critic = _Head(networks.critic, self._hidden[:, split:], self._slope[:, split:])
        self.mean, self.values = self.actor.output, self.critic.output
        self.mean_slope, self.value_slope = (
            head.slopes[-1].numpy() for head in (self.actor, self.critic)
        )
        self.mean_bias_slope, self.value_bias_slope = (
            head.layers[-1].bias_slope.numpy() for head in (self.actor, self.critic)
        )
        self._slope_t = self._slope.t()
        self._arrays = self._hidden.numpy(), self._slope.numpy(), first.bias_slope.numpy()

    def forward(self, observations: th.Tensor) -> None:
        """Fill `mean` and `values` for observations of shape (B, S)."""
        networks = self.networks
        first = networks.first
        th.addmm(first.bias, observations, first.transposed, out=self._hidden)
        networks.activate(self._hidden)
        self.actor.forward(networks.activate)
        self.critic.forward(networks.activate)

    def backward(self, observations: th.Tensor) -> None:
        """Fill the gradients of all weights from the slopes of both outputs.

        The caller fills those of the outputs' biases and of the log deviations.
        """
        networks = self.networks
        self.actor.backward(networks.back)
        self.critic.backward(networks.back)
        networks.back(*self._arrays)
        th.mm(self._slope_t, observations, out=networks.first.weight_slope)
