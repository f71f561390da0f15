"""The actors of SAC and TD3 for the actions of E accounts, on memory that is made once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch as th
from torch import nn

from finrl_ray._typing import Float32Array, IntArray
from finrl_ray.learners.flat.parameters import FlatParameters
from finrl_ray.learners.forward.kernel import NOTHING, RELU, TANH
from finrl_ray.learners.networks import require_distribution
from finrl_ray.learners.off_policy.kernels import draw_squashed, relu
from finrl_ray.learners.off_policy.sac import HIGH, LOW


class ExploringActor:
    """An actor's layers for E rows.

    Parameters
    ----------
    flat : parameters in the order of `parameter_order(layers)`
    layers : linear parts of each layer; those that see the same input are one layer
    activation : of hidden layers, `nn.ReLU` or `nn.Tanh`
    n_rows : E

    Attributes
    ----------
    flat : the parameters
    output : tensor of shape (E, outputs)
    """

    def __init__(
        self,
        flat: FlatParameters,
        layers: Sequence[Sequence[nn.Linear]],
        activation: type[nn.Module],
        n_rows: int,
    ) -> None:
        def joined(parts: Sequence[nn.Linear], name: str) -> th.Tensor:
            return flat.joined(flat.values, getattr(parts[0], name), getattr(parts[-1], name))

        self.flat = flat
        self._weights = [joined(parts, "weight").t() for parts in layers]
        self._biases = [joined(parts, "bias") for parts in layers]
        self._bias_arrays = [bias.numpy() for bias in self._biases]
        self._is_tanh = activation is nn.Tanh
        *self._hidden, self.output = (th.zeros(n_rows, len(bias)) for bias in self._biases)
        self._hidden_arrays = [hidden.numpy() for hidden in self._hidden]

    def in_kernel(self) -> IntArray:
        """Return the layers as compiled code reads them, of shape (L, 5); see `forward.kernel`."""
        hidden = TANH if self._is_tanh else RELU
        last = len(self._biases) - 1
        rows = [
            (weight.data_ptr(), bias.data_ptr(), *reversed(weight.shape), hidden)
            for weight, bias in zip(self._weights, self._biases, strict=True)
        ]
        rows[last] = (*rows[last][:-1], NOTHING)
        return np.array(rows, dtype=np.int64)

    def forward(self, observations: th.Tensor) -> None:
        """Fill `output` for observations of shape (E, S)."""
        seen = observations
        for k, hidden in enumerate(self._hidden):
            th.mm(seen, self._weights[k], out=hidden)
            if self._is_tanh:
                hidden.add_(self._biases[k]).tanh_()
            else:
                relu(self._hidden_arrays[k], self._bias_arrays[k])
            seen = hidden
        th.addmm(self._biases[-1], seen, self._weights[-1], out=self.output)


class SquashedActor:
    """SAC's actor, whose last layer gives means and logarithms of deviations.

    Parameters
    ----------
    actor : of E rows
    """

    def __init__(self, actor: ExploringActor) -> None:
        self.actor = actor
        n_rows, n_outputs = actor.output.shape
        shape = n_rows, n_outputs // 2
        self._noise = th.zeros(shape)
        self._noise_array: Float32Array = self._noise.numpy()
        self._outputs: Float32Array = actor.output.numpy()
        self._deviations = np.zeros(shape, dtype=np.float32)
        self._inside = np.zeros(shape, dtype=np.bool_)
        self._log_prob = np.zeros(n_rows, dtype=np.float32)

    def in_kernel(self) -> tuple[Any, ...]:
        """Return outputs, noise, `inside`, deviations and densities of `draw_squashed`."""
        return self._outputs, self._noise_array, self._inside, self._deviations, self._log_prob

    def refuse(self) -> None:
        """Raise what `draw` raises, where a mean or deviation of the last actions is NaN."""
        mean = self.actor.output[:, : self._deviations.shape[1]]
        require_distribution(mean, th.from_numpy(self._deviations))

    def draw(self, observations: th.Tensor) -> Float32Array:
        """Return new actions (E, A) within [-1, 1].

        Raises
        ------
        ValueError
            If a mean or deviation is NaN, with the words of SB3's distributions.
        """
        self.actor.forward(observations)
        self._noise.normal_()
        actions = np.empty_like(self._deviations)
        if not draw_squashed(
            self._outputs,
            self._noise_array,
            LOW,
            HIGH,
            self._inside,
            self._deviations,
            actions,
            self._log_prob,
        ):
            self.refuse()
        return actions
