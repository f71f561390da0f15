"""The policy of PPO and A2C for a few observations at once, as one compiled function.

A step of one account is a product with a single row: what calling ten operations costs is more than
what they do.
"""

from typing import Any

import numpy as np

from finrl_ray._typing import Float32Array, IntArray
from finrl_ray.learners.on_policy.kernels import sample_actions
from finrl_ray.learners.products.activations import LINEAR, RELU, TANH, outputs_of_sums
from finrl_ray.learners.products.single_rows import row_product
from finrl_ray.learners.products.tiles import address_of
from finrl_ray.machine.compiled_cache import cached_njit

MOST_ROWS = 4
"""The most observations at once; with more, products of matrices are faster."""

compiled = cached_njit(nogil=True, error_model="numpy")


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
    values : array of shape (P,)
        All parameters.
    layers : array of shape (L, 4)
        Places of the weight and the bias among them, O and I of each layer.
    work : array of shape (2, W) with the widest layer's W
    """
    first, last = address_of(values), layers.shape[0] - 1
    seen = address_of(inputs)
    for k in range(layers.shape[0]):
        n_outputs = layers[k, 2]
        filled = address_of(outputs) if k == last else address_of(work[k % 2])
        row_product(n_outputs, layers[k, 3], first + 4 * layers[k, 0], seen, filled)
        activation = LINEAR if k == last else (TANH if is_tanh else RELU)
        bias = first + 4 * layers[k, 1]
        outputs_of_sums((1, n_outputs, filled, n_outputs, bias, activation))
        seen = filled


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
