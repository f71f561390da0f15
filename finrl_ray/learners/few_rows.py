"""The policy of PPO and A2C for a few observations at once, as one compiled function.

A step of one account is a product with a single row: what calling ten operations costs is more than
what they do. Products here may be added up in any order, so that vector instructions can be used.
"""

from typing import Any

import numpy as np
from numba import njit

from finrl_ray._typing import Float32Array, IntArray
from finrl_ray.learners.on_policy_kernels import sample_actions

MOST_ROWS = 4
"""From here on products of matrices are faster."""

compiled = njit(cache=True, nogil=True, error_model="numpy")
reordered = njit(
    cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "nsz", "contract"}
)

_ZERO = np.float32(0)


@reordered
def apply_layer(
    values: Float32Array, layer: IntArray, inputs: Float32Array, outputs: Float32Array
) -> None:
    """Fill outputs (O,) of a linear layer for inputs (I,).

    Parameters
    ----------
    values : array of shape (P,)
        All parameters.
    layer : places of the weight and the bias in it, O and I
    """
    weight, bias, n_outputs, n_inputs = layer[0], layer[1], layer[2], layer[3]
    seen = inputs[:n_inputs]
    for i in range(n_outputs):
        row = values[weight + i * n_inputs : weight + (i + 1) * n_inputs]
        total = _ZERO
        for j in range(n_inputs):
            total += row[j] * seen[j]
        outputs[i] = total + values[bias + i]


@compiled
def activate(outputs: Float32Array, is_tanh: bool) -> None:
    """Apply tanh or relu in place; NaN stays NaN."""
    for i in range(outputs.shape[0]):
        x = outputs[i]
        if is_tanh:
            outputs[i] = np.tanh(x)
        elif x <= _ZERO:
            outputs[i] = _ZERO


@compiled
def run_network(
    values: Float32Array,
    layers: IntArray,
    is_tanh: bool,
    inputs: Float32Array,
    work: Float32Array,
    outputs: Float32Array,
) -> None:
    """Fill outputs (O,) of one network for inputs (I,).

    Parameters
    ----------
    layers : array of shape (L, 4), see `apply_layer`
    work : array of shape (2, W) with the widest layer's W
    """
    last = layers.shape[0] - 1
    seen = inputs
    for k in range(last):
        hidden = work[k % 2, : layers[k, 2]]
        apply_layer(values, layers[k], seen, hidden)
        activate(hidden, is_tanh)
        seen = hidden
    apply_layer(values, layers[last], seen, outputs)


@compiled
def act_on_rows(
    values: Float32Array,
    networks: tuple[IntArray, IntArray],
    is_tanh: bool,
    observations: Float32Array,
    work: Float32Array,
    log_std: Float32Array,
    noise: Float32Array,
    mean: Float32Array,
    results: tuple[Float32Array, Float32Array, Float32Array],
) -> bool:
    """Choose actions for a few observations (E, S).

    Parameters
    ----------
    values : array of shape (P,)
        All parameters.
    networks : layers of the actor and of the critic
    mean : array of shape (E, A), filled
    results : actions (E, A), log probabilities (E,) and values (E, 1), filled

    Returns
    -------
    bool
        Whether all means are numbers and all deviations are above 0.
    """
    actor, critic = networks
    actions, log_probs, judged = results
    for e in range(observations.shape[0]):
        run_network(values, actor, is_tanh, observations[e], work, mean[e])
        run_network(values, critic, is_tanh, observations[e], work, judged[e])
    return bool(sample_actions(mean, log_std, noise, actions, log_probs))


def layer_places(flat: Any, layers: list[Any]) -> IntArray:
    """Return where the layers of a network lie among flat parameters, of shape (L, 4)."""
    rows = [
        (flat.place(layer.weight).start, flat.place(layer.bias).start, *layer.weight.shape)
        for layer in layers
    ]
    return np.array(rows, dtype=np.int64)
