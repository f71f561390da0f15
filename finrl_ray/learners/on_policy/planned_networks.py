"""The policy and the value network of PPO and A2C as a plan for compiled products.

The first layers of both lie in one matrix, so they are one product, forward and backward. With
`PerTickerPolicy` each ticker of an observation is a row of its own.
"""

from typing import NamedTuple

from finrl_ray._typing import Float32Array, IntArray
from finrl_ray.learners.on_policy.actor_critic import ActorCritic, Weights
from finrl_ray.learners.on_policy.per_ticker_rows import (
    fill_means,
    fill_ticker_rows,
)
from finrl_ray.learners.products.activations import LINEAR, RELU, TANH
from finrl_ray.learners.products.network import (
    LayerPlan,
    Work,
    compiled,
    forward_layers,
    plan_array,
)


class Planned(NamedTuple):
    """Both networks for up to B observations, for compiled code.

    All arrays but `plan` are views of `work`. K is 1, or, of N tickers with rows of their own, N.
    """

    plan: IntArray
    work: Float32Array
    inputs: Float32Array
    """(B * K, I or more): what the first layer sees."""
    means: Float32Array
    """(B, A)"""
    means_slope: Float32Array
    """(B, A)"""
    values: Float32Array
    """(B, K), of which the means over K are the values."""
    values_slope: Float32Array
    """(B, K)"""
    n_tickers: int
    """N, or 0 where observations are the inputs."""


class _Plan:
    def __init__(self, networks: ActorCritic, n_rows: int) -> None:
        self.networks = networks
        self.work = Work(n_rows)
        self.layers: list[LayerPlan] = []
        self.activation = TANH if networks.is_tanh else RELU

    def add(
        self, layer: Weights, seen: tuple[int, int], input_slope: int, output: tuple[int, int],
        output_slope: int, activation: int,
    ) -> None:  # fmt: skip
        """Add a layer from `seen` to `output`, both place and distance of rows."""
        n_outputs, n_inputs = layer.n_outputs, layer.n_inputs
        self.layers.append(
            LayerPlan(
                layer.weight_place,
                layer.bias_place,
                n_outputs,
                n_inputs,
                *seen,
                *output,
                output_slope,
                input_slope,
                *self.work.packed(n_outputs, n_inputs),
                activation,
            )
        )

    def chain(self, layers: list[Weights], seen: tuple[int, int], slope: int) -> tuple[int, int]:
        """Add the layers from the first hidden one to the output; return its place and slope's."""
        for layer in layers[:-1]:
            hidden, hidden_slope = (
                self.work.matrix(layer.n_outputs),
                self.work.matrix(layer.n_outputs),
            )
            self.add(layer, seen, slope, hidden, hidden_slope[0], self.activation)
            seen, slope = hidden, hidden_slope[0]
        last = layers[-1]
        output, output_slope = self.work.dense(last.n_outputs), self.work.dense(last.n_outputs)
        self.add(last, seen, slope, output, output_slope[0], LINEAR)
        return output[0], output_slope[0]


def plan_networks(networks: ActorCritic, n_rows: int) -> Planned:
    """Return both networks for up to `n_rows` observations."""
    n_tickers = len(networks.log_std) if networks.per_ticker else 0
    made = _Plan(networks, n_rows * max(1, n_tickers))
    first, split = networks.first, networks.widths[0]
    inputs = made.work.matrix(first.n_inputs)
    hidden, slope = made.work.matrix(first.n_outputs), made.work.matrix(first.n_outputs)
    made.add(first, inputs, -1, hidden, slope[0], made.activation)
    means = made.chain(networks.actor, hidden, slope[0])
    beside = hidden[0] + split, hidden[1]
    values = made.chain(networks.critic, beside, slope[0] + split)
    work = made.work.array()

    def view(place: int, n_columns: int) -> Float32Array:
        return work[place : place + n_rows * n_columns].reshape(n_rows, n_columns)

    n_actions, n_values = len(networks.log_std), max(1, n_tickers)
    rows = view(inputs[0], n_values * inputs[1]).reshape(-1, inputs[1])
    (mean, mean_slope), (value, value_slope) = means, values
    return Planned(
        plan_array(made.layers),
        work,
        rows,
        view(mean, n_actions),
        view(mean_slope, n_actions),
        view(value, n_values),
        view(value_slope, n_values),
        n_tickers,
    )


_CACHE = 256 * 1024
"""Numbers that stay in a core's own cache (of 1 MiB or more) beside the weights."""
_LEAST_STEPS = 8


def steps_in_cache(networks: ActorCritic) -> int:
    """Return for how many steps all layers and slopes stay in a core's cache, a multiple of 8."""
    hidden = [networks.first, *networks.actor, *networks.critic]
    n_numbers = networks.first.n_inputs + 2 * sum(layer.n_outputs for layer in hidden)
    n_tickers = len(networks.log_std) if networks.per_ticker else 1
    n_steps = _CACHE // (n_numbers * n_tickers)
    return max(_LEAST_STEPS, n_steps - n_steps % _LEAST_STEPS)


@compiled
def forward(planned: Planned, parameters: Float32Array, observations: Float32Array,
            means: Float32Array, values: Float32Array) -> None:  # fmt: skip
    """Fill means (B, A) and values (B, 1) of observations (B, S); the weights have been packed."""
    n_rows, n_tickers = observations.shape[0], planned.n_tickers
    # number by number, because assignments of whole arrays take seconds to compile
    if n_tickers > 0:
        fill_ticker_rows(observations, n_tickers, planned.inputs)
        forward_layers(planned.plan, parameters, planned.work, n_rows * n_tickers)
        fill_means(planned.values, values)
    else:
        for b in range(n_rows):
            for j in range(observations.shape[1]):
                planned.inputs[b, j] = observations[b, j]
        forward_layers(planned.plan, parameters, planned.work, n_rows)
        for b in range(n_rows):
            values[b, 0] = planned.values[b, 0]
    for b in range(n_rows):
        for j in range(means.shape[1]):
            means[b, j] = planned.means[b, j]
