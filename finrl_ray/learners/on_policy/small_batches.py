"""The policy of PPO and A2C for a few observations at once, as one compiled function.

A step of one account is a product with a single row: what calling ten operations costs is more than
what they do. Products here may be added up in any order, so that vector instructions can be used.
"""

from typing import Any

import numpy as np

from finrl_ray._typing import Float32Array, IntArray
from finrl_ray.learners.on_policy.kernels import sample_actions
from finrl_ray.machine.compiled_cache import cached_njit

MOST_ROWS = 4
"""The most observations at once; with more, products of matrices are faster."""

compiled = cached_njit(nogil=True, error_model="numpy")
reordered = cached_njit(nogil=True, error_model="numpy", fastmath={"reassoc", "nsz", "contract"})

_ZERO = np.float32(0)
_FAR = np.float32(9.02)
"""For inputs of this size and beyond, tanh is 1 or -1 in float32."""
_A0, _A1, _A2 = np.float32(7905853580625), np.float32(1159525191825), np.float32(41247931725)
_A3, _A4, _A5 = np.float32(523783260), np.float32(2552550), np.float32(4095)
_B1, _B2, _B3 = np.float32(3794809718700), np.float32(252070693875), np.float32(5237832600)
_B4, _B5, _B6 = np.float32(41351310), np.float32(120120), np.float32(91)


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
    """Apply tanh or relu in place; NaN stays NaN.

    tanh is Lambert's continued fraction, cut after the term with 25 and written as a quotient of
    polynomials, because such a loop uses vector instructions: relative error below 4e-7.
    """
    n_outputs = outputs.shape[0]
    if not is_tanh:
        for i in range(n_outputs):
            outputs[i] = _ZERO if outputs[i] <= _ZERO else outputs[i]
        return
    for i in range(n_outputs):
        x = outputs[i]
        x = -_FAR if x < -_FAR else x
        x = _FAR if x > _FAR else x
        y = x * x
        above = (((((y + _A5) * y + _A4) * y + _A3) * y + _A2) * y + _A1) * y + _A0
        below = (((((_B6 * y + _B5) * y + _B4) * y + _B3) * y + _B2) * y + _B1) * y + _A0
        outputs[i] = x * above / below


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


@compiled
def judge_rows(
    values: Float32Array,
    critic: IntArray,
    is_tanh: bool,
    observations: Float32Array,
    work: Float32Array,
    judged: Float32Array,
) -> None:
    """Fill the values (E, 1) of a few observations (E, S); arguments as in `act_on_rows`."""
    for e in range(observations.shape[0]):
        run_network(values, critic, is_tanh, observations[e], work, judged[e])


def layer_places(flat: Any, layers: list[Any]) -> IntArray:
    """Return where the layers of a network lie among flat parameters, of shape (L, 4)."""
    rows = [
        (flat.place(layer.weight).start, flat.place(layer.bias).start, *layer.weight.shape)
        for layer in layers
    ]
    return np.array(rows, dtype=np.int64)
