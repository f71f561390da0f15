"""Networks of dense layers written out: products by torch into arrays made once, the rest compiled.

`StackedMLP` is one network, or several of one shape with the same input (critics), on flat
parameters. `MLPBuffers` is its memory for a number of rows: `forward`, and what of `backward` is
needed. The first layers of all networks lie in one matrix, so they are one product.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch as th
from torch import nn

from finrl_ray._typing import Float32Array
from finrl_ray.learners.flat.activations import relu_back, tanh_back
from finrl_ray.learners.flat.parameters import FlatParameters, ParameterOrder
from finrl_ray.learners.off_policy.kernels import relu, spread_errors, weigh

ACTIVATIONS: tuple[type[nn.Module], ...] = (nn.ReLU, nn.Tanh)

Product: TypeAlias = tuple[th.Tensor, th.Tensor, th.Tensor]
"""Two matrices, and where their product goes."""


def parameter_order(layers: Sequence[Sequence[nn.Linear]]) -> ParameterOrder:
    """Return an order in which, of each layer, all weights and all biases lie end to end."""
    order: list[Any] = []
    for layer in layers:
        order.append([part.weight for part in layer])
        order.append([part.bias for part in layer])
    return order


class Layer:
    """The weights and biases of one layer of all networks, and their gradients, as views.

    Parameters
    ----------
    flat : parameters in the order of `parameter_order`
    parts : the layer's linear parts, of all networks
    """

    def __init__(self, flat: FlatParameters, parts: Sequence[nn.Linear]) -> None:
        def joined(values: th.Tensor, name: str) -> th.Tensor:
            return flat.joined(values, getattr(parts[0], name), getattr(parts[-1], name))

        trained = flat.gradients.numel() > 0
        # a layer that is not trained has gradients too, which are never read
        gradients = flat.gradients if trained else th.zeros_like(flat.values)
        self.weight = joined(flat.values, "weight")
        self.bias = joined(flat.values, "bias")
        self.weight_gradient = joined(gradients, "weight")
        self.bias_gradient = joined(gradients, "bias")
        self.width = self.weight.shape[0]
        self.start = flat.place(parts[0].weight).start


class StackedMLP:
    """Networks of one shape with one input, on flat parameters.

    Parameters
    ----------
    flat : in the order of `parameter_order(layers)`, and maybe with other parameters too
    layers : for each layer, the linear parts of each network; of a single network, parts that see
        the same input (mean and deviation of actions) are one layer
    n_networks : how many networks there are
    activation : `nn.ReLU` or `nn.Tanh`
    """

    def __init__(
        self,
        flat: FlatParameters,
        layers: Sequence[Sequence[nn.Linear]],
        n_networks: int,
        activation: type[nn.Module],
    ) -> None:
        self.layers = [Layer(flat, parts) for parts in layers]
        self.n_networks = n_networks
        self.activation = activation


def blocks(values: th.Tensor, n_blocks: int, axis: int) -> list[th.Tensor]:
    """Return equal parts of a matrix along an axis, as views."""
    return list(values.chunk(n_blocks, dim=axis))


class MLPBuffers:
    """Memory of networks for B rows.

    Parameters
    ----------
    networks : with at least one hidden layer
    n_rows : B
    values : True for critics, whose only output is a value each; False for actors
    hidden : tensors of shape (B, W), one for each hidden layer, to be used instead of own ones

    Attributes
    ----------
    output : tensor of shape (B, outputs), or (K, B) for critics
        What `forward` fills; of critics without the bias of the last layer.
    output_array : the same memory
    """

    def __init__(
        self,
        networks: StackedMLP,
        n_rows: int,
        *,
        values: bool,
        hidden: Sequence[th.Tensor] | None = None,
    ) -> None:
        self.networks, self.n_rows = networks, n_rows
        *body, head = networks.layers
        self.body, self.head, self.values = body, head, values
        self.hidden = list(hidden or [th.zeros(n_rows, layer.width) for layer in body])
        self.slopes = [th.zeros(n_rows, layer.width) for layer in body]
        self.biases = [layer.bias.numpy() for layer in body]
        self.bias_slopes = [layer.bias_gradient.numpy() for layer in body]
        self.hidden_arrays = [hidden.numpy() for hidden in self.hidden]
        self.slope_arrays = [slope.numpy() for slope in self.slopes]
        n = networks.n_networks
        self.output = th.zeros(n, n_rows) if values else th.zeros(n_rows, head.width)
        self.output_array: Float32Array = self.output.numpy()
        self._first = body[0].weight.t()
        self._ups: list[list[Product]] = [
            self._products(hidden, [w.t() for w in blocks(layer.weight, n, 0)], out)
            for hidden, layer, out in zip(self.hidden, body[1:], self.hidden[1:], strict=False)
        ]
        self._downs: list[list[Product]] = [
            self._products(slope, blocks(layer.weight, n, 0), out)
            for slope, layer, out in zip(self.slopes[1:], body[1:], self.slopes, strict=False)
        ]
        self._weight_slopes: list[list[Product]] = [
            [
                (slope.t(), seen, out)
                for slope, seen, out in zip(
                    blocks(slopes, n, 1),
                    blocks(hidden, n, 1),
                    blocks(layer.weight_gradient, n, 0),
                    strict=True,
                )
            ]
            for slopes, hidden, layer in zip(self.slopes[1:], self.hidden, body[1:], strict=False)
        ]
        self._first_slope_t = self.slopes[0].t()
        self._activate: Callable[[int], None]
        self._activate = self._relu if networks.activation is nn.ReLU else self._tanh
        self._back: Any = relu_back if networks.activation is nn.ReLU else tanh_back
        self._make_head()

    def part_starts(self) -> list[int]:
        """Return where in the flat parameters each hidden layer starts; the head is of the last."""
        return [layer.start for layer in self.body]

    def _products(self, seen: th.Tensor, weights: list[th.Tensor], out: th.Tensor) -> list[Product]:
        n = len(weights)
        return list(zip(blocks(seen, n, 1), weights, blocks(out, n, 1), strict=True))

    def _make_head(self) -> None:
        head = self.head
        self._head_t = head.weight.t()
        self.head_weight: Float32Array = head.weight.numpy()
        self.head_bias: Float32Array = head.bias.numpy()
        self.head_slope: Float32Array = head.weight_gradient.numpy()
        self.head_bias_slope: Float32Array = head.bias_gradient.numpy()

    def _relu(self, k: int) -> None:
        relu(self.hidden_arrays[k], self.biases[k])

    def _tanh(self, k: int) -> None:
        hidden = self.hidden[k]
        hidden.add_(self.body[k].bias)
        hidden.tanh_()

    def forward(self, inputs: th.Tensor) -> None:
        """Fill `output` for inputs of shape (B, I)."""
        th.mm(inputs, self._first, out=self.hidden[0])
        self._activate(0)
        for k, products in enumerate(self._ups, start=1):
            for seen, weight, out in products:
                th.mm(seen, weight, out=out)
            self._activate(k)
        if self.values:
            weigh(self.hidden_arrays[-1], self.head_weight, self.output_array)
        else:
            th.addmm(self.head.bias, self.hidden[-1], self._head_t, out=self.output)

    def backward_values(self, errors: Float32Array) -> None:
        """Bring gradients of values (K, B) back to the last hidden layer, and to the head."""
        spread_errors(
            errors,
            self.head_weight,
            self.hidden_arrays[-1],
            self.slope_arrays[-1],
            self.head_slope,
            self.head_bias_slope,
        )

    def backward_outputs(self, slopes: th.Tensor) -> None:
        """Bring gradients of outputs (B, outputs) back to the last hidden layer and the head.

        The caller fills the gradient of the head's bias.
        """
        th.mm(slopes.t(), self.hidden[-1], out=self.head.weight_gradient)
        th.mm(slopes, self.head.weight, out=self.slopes[-1])

    def backward_inputs(self) -> None:
        """Bring gradients of the last hidden layer back to the first.

        For a caller that needs gradients with respect to inputs only: those of weights and biases
        are overwritten with numbers that mean nothing.
        """
        for k in range(len(self.body) - 1, -1, -1):
            self._back(self.hidden_arrays[k], self.slope_arrays[k], self.bias_slopes[k])
            if k:
                for slope, weight, out in self._downs[k - 1]:
                    th.mm(slope, weight, out=out)

    def backward(self, inputs: th.Tensor, finished: Callable[[int], None]) -> None:
        """Bring gradients of the last hidden layer back to all weights and biases.

        Parameters
        ----------
        inputs : those that `forward` was given
        finished : called with the number of each hidden layer, from the last to the first, when
            its gradients are complete (with the last, those of the head) and its weights are not
            needed any more, so that they can be changed while they are in the cache
        """
        for k in range(len(self.body) - 1, -1, -1):
            self._back(self.hidden_arrays[k], self.slope_arrays[k], self.bias_slopes[k])
            if k:
                for slope, weight, out in self._downs[k - 1]:
                    th.mm(slope, weight, out=out)
                for slope, seen, out in self._weight_slopes[k - 1]:
                    th.mm(slope, seen, out=out)
            else:
                th.mm(self._first_slope_t, inputs, out=self.body[0].weight_gradient)
            finished(k)
