"""Compiled elementwise passes of the fused SAC, TD3 and DDPG, each one pass over its arrays.

All arrays are of float32 and C-contiguous. Shapes, with B rows of a batch, K critics, A actions and
W units of a layer of all networks together:

    values, errors, following   (K, B)
    outcomes                    (B, 1): rewards, dones, discounts

NaN stays NaN everywhere, as in torch.
"""

import math
from typing import Any

import numpy as np

from finrl_ray._typing import Float32Array, IntArray
from finrl_ray.learners.products.prefetch import prefetch
from finrl_ray.learners.products.tiles import address_of
from finrl_ray.machine.compiled_cache import cached_njit

compiled = cached_njit(nogil=True, error_model="numpy")
vectorized = cached_njit(nogil=True, error_model="numpy", fastmath={"contract"})

_ZERO, _HALF, _ONE, _TWO = (np.float32(value) for value in (0, 0.5, 1, 2))
_EPSILON = np.float32(1e-6)
_SMALL = 1e-200
_AHEAD = 3
"""Rows that are asked for before they are copied."""
_FAR = 9.05
"""For inputs of this size and beyond, tanh is 1 or -1 in float32."""
_C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10 = (1.0 / math.factorial(k) for k in range(3, 11))
_LOG_SQRT_TWO_PI = np.float32(math.log(math.sqrt(2 * math.pi)))


@compiled
def gather(
    rows: IntArray,
    accounts: IntArray,
    held: tuple[Float32Array, ...],
    inputs: Float32Array,
    rewards: Float32Array,
    dones: Float32Array,
) -> None:
    """Copy B transitions of a replay buffer's ring.

    Parameters
    ----------
    rows, accounts : arrays of shape (B,)
    held : observations and next observations (R, E, S), actions (R, E, A), rewards, dones and
        timeouts (R, E)
    inputs : array of shape (2B, S + A or more)
        Filled with observations and actions, and in its second half with next observations.
    rewards, dones : filled; an episode that a time limit has cut is not done
    """
    observations, next_observations, actions, held_rewards, held_dones, timeouts = held
    batch, width, n_actions = rows.shape[0], observations.shape[2], actions.shape[2]
    n_accounts = observations.shape[1]
    first, following = address_of(observations), address_of(next_observations)
    for b in range(batch):
        # rows lie anywhere in a ring that is larger than all caches
        ahead = min(b + _AHEAD, batch - 1)
        place = 4 * width * (rows[ahead] * n_accounts + accounts[ahead])
        prefetch(first + place, width)
        prefetch(following + place, width)
        row, e = rows[b], accounts[b]
        # loops, as Numba's assignments to slices take twice the time
        seen, seen_next, acted = observations[row, e], next_observations[row, e], actions[row, e]
        target, target_next = inputs[b], inputs[batch + b]
        for j in range(width):
            target[j] = seen[j]
        for j in range(width):
            target_next[j] = seen_next[j]
        for j in range(n_actions):
            target[width + j] = acted[j]
        rewards[b, 0] = held_rewards[row, e]
        dones[b, 0] = held_dones[row, e] * (_ONE - timeouts[row, e])


@compiled
def relu(values: Float32Array, bias: Float32Array) -> None:
    """Add a bias to each row of (B, W) and set what is negative to zero, in place."""
    for i in range(values.shape[0]):
        row = values[i]
        for j in range(row.shape[0]):
            x = row[j] + bias[j]
            row[j] = _ZERO if x <= _ZERO else x


@cached_njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def weigh(hidden: Float32Array, weights: Float32Array, values: Float32Array) -> None:
    """Fill values (K, B) with each critic's part of hidden (B, K*H) times its weights (K, H).

    Rows of `hidden` may be longer.
    """
    n_critics, width = weights.shape
    for i in range(hidden.shape[0]):
        for k in range(n_critics):
            row, weight = hidden[i, k * width : (k + 1) * width], weights[k]
            total = _ZERO
            for j in range(width):
                total += row[j] * weight[j]
            values[k, i] = total


@compiled
def spread_errors(
    errors: Float32Array,
    weights: Float32Array,
    hidden: Float32Array,
    gradients: Float32Array,
    weight_gradients: Float32Array,
    bias_gradient: Float32Array,
) -> None:
    """Bring errors of values back through the critics' last layers.

    Parameters
    ----------
    errors : array of shape (K, B)
    weights : array of shape (K, H)
    hidden : array of shape (B, K*H or more)
        What the last layers have seen.
    gradients : array of shape (B, K*H or more), filled
    weight_gradients, bias_gradient : arrays of shapes (K, H) and (K,), filled
    """
    n_critics, width = weights.shape
    weight_gradients[:] = _ZERO
    bias_gradient[:] = _ZERO
    for i in range(hidden.shape[0]):
        for k in range(n_critics):
            error = errors[k, i]
            bias_gradient[k] += error
            weight, gradient = weights[k], weight_gradients[k]
            row = hidden[i, k * width : (k + 1) * width]
            out = gradients[i, k * width : (k + 1) * width]
            for j in range(width):
                gradient[j] += error * row[j]
                out[j] = error * weight[j]


@compiled
def value_errors(
    values: Float32Array,
    bias: Float32Array,
    following: Float32Array,
    following_bias: Float32Array,
    bonus: Float32Array,
    outcomes: tuple[Float32Array, Float32Array, Float32Array],
    scale: Any,
    errors: Float32Array,
) -> Any:
    """Fill the gradients of the critics' loss with respect to their values; return the loss.

    Parameters
    ----------
    values, following : arrays of shape (K, B)
        Of the critics for the observations, and of the targets for the next observations; the
        biases of the last layers are still to be added to both.
    bias, following_bias : arrays of shape (K,)
    bonus : array of shape (B,)
        Added to the targets' lowest value.
    outcomes : rewards, dones and discounts
    scale : the loss is this times the sum of the critics' mean squared errors
    errors : filled
    """
    rewards, dones, discounts = outcomes
    n_critics, batch = values.shape
    factor = _TWO * scale / np.float32(batch)
    total = 0.0
    for i in range(batch):
        lowest = following[0, i] + following_bias[0]
        for k in range(1, n_critics):
            other = following[k, i] + following_bias[k]
            if other < lowest or other != other:
                lowest = other
        wanted = rewards[i, 0] + (_ONE - dones[i, 0]) * discounts[i, 0] * (lowest + bonus[i])
        for k in range(n_critics):
            error = values[k, i] + bias[k] - wanted
            errors[k, i] = factor * error
            total += error * error
    return total * scale / batch


@compiled
def lowest_value(
    values: Float32Array, bias: Float32Array, log_prob: Float32Array, coefficient: Any, errors: Any
) -> Any:
    """Return SAC's actor loss; fill its gradients with respect to the critics' values.

    The biases of the critics' last layers are still to be added to `values`.
    """
    n_critics, batch = values.shape
    share = -_ONE / np.float32(batch)
    total = 0.0
    for i in range(batch):
        best = 0
        lowest = values[0, i] + bias[0]
        errors[0, i] = _ZERO
        for k in range(1, n_critics):
            errors[k, i] = _ZERO
            other = values[k, i] + bias[k]
            if other < lowest or other != other:
                lowest = other
                best = k
        errors[best, i] = share
        total += coefficient * log_prob[i] - lowest
    return total / batch


@compiled
def perturb(
    actions: Float32Array, noise: Float32Array, clip: Any, inputs: Float32Array, first: int
) -> None:
    """Write actions (B, A) with clipped noise into the columns of `inputs` from `first` on."""
    for i in range(actions.shape[0]):
        row = inputs[i]
        for j in range(actions.shape[1]):
            shift = min(max(noise[i, j], -clip), clip)
            action = actions[i, j] + shift
            # written so that NaN stays NaN
            action = -_ONE if action < -_ONE else action
            row[first + j] = _ONE if action > _ONE else action


@vectorized
def exponential(x: float) -> float:
    """Return e^x for x from -20 to 20, with a relative error below 1e-8.

    A Taylor polynomial of x / 32, squared five times: a loop over it uses vector instructions.
    """
    y = x * 0.03125
    total = (((_C10 * y + _C9) * y + _C8) * y + _C7) * y + _C6
    total = (((total * y + _C5) * y + _C4) * y + _C3) * y + 0.5
    total = (total * y + 1.0) * y + 1.0
    total *= total
    total *= total
    total *= total
    total *= total
    return total * total


@vectorized
def squash_row(
    outputs: Float32Array, noise: Float32Array, low: Any, high: Any, inside: Any,
    deviations: Float32Array, actions: Float32Array,
) -> None:  # fmt: skip
    """Do for a row what `draw_squashed` does for all, but for the density."""
    n_actions = actions.shape[0]
    log_std = outputs[n_actions:]
    for j in range(n_actions):
        x = log_std[j]
        # two comparisons in one would be a branch, which keeps the loop from vectors
        inside[j] = (x >= low) & (x <= high)
        x = low if x < low else x
        log_std[j] = high if x > high else x
    for j in range(n_actions):
        deviations[j] = np.float32(exponential(np.float64(log_std[j])))
    for j in range(n_actions):
        drawn: Any = np.float64(outputs[j] + noise[j] * deviations[j])
        drawn = -_FAR if drawn < -_FAR else drawn
        drawn = _FAR if drawn > _FAR else drawn
        falling = exponential(-2.0 * drawn)
        actions[j] = np.float32((1.0 - falling) / (1.0 + falling))


@compiled
def draw_squashed(
    outputs: Float32Array,
    noise: Float32Array,
    low: Any,
    high: Any,
    inside: Any,
    deviations: Float32Array,
    actions: Float32Array,
    log_prob: Float32Array,
) -> bool:
    """Fill SAC's actions (R, A), and the logarithm of their probability density (R,).

    Haarnoja and others, "Soft actor-critic" (2018), appendix C.

    Parameters
    ----------
    outputs : array of shape (R, 2A)
        Means and logarithms of deviations, which are clamped in place.
    noise : array of shape (R, A)
        Standard normal numbers.
    low, high : bounds of the logarithms
    inside : array of shape (R, A), filled
        Whether the logarithm was within them.
    deviations : array of shape (R, A), filled

    Returns
    -------
    bool
        Whether all means are numbers and all deviations are above 0.
    """
    n_actions = actions.shape[1]
    fine = True
    for i in range(actions.shape[0]):
        squash_row(outputs[i], noise[i], low, high, inside[i], deviations[i], actions[i])
        total, product = 0.0, 1.0
        for j in range(n_actions):
            drawn, action = noise[i, j], actions[i, j]
            total -= _HALF * drawn * drawn + outputs[i, n_actions + j] + _LOG_SQRT_TWO_PI
            # one logarithm of a product instead of many logarithms
            product *= _ONE - action * action + _EPSILON
            if product < _SMALL:
                total -= math.log(product)
                product = 1.0
        total -= math.log(product)
        log_prob[i] = total
        if total != total:
            for j in range(n_actions):
                mean, deviation = outputs[i, j], deviations[i, j]
                if mean != mean or not deviation > _ZERO:
                    fine = False
    return fine


@compiled
def squash_back(
    actions: Float32Array,
    noise: Float32Array,
    deviations: Float32Array,
    inside: Any,
    coefficient: Any,
    gradients: Float32Array,
    out: Float32Array,
) -> None:
    """Fill the gradients of SAC's loss with respect to the actor's outputs (B, 2A).

    Parameters
    ----------
    actions, noise, deviations : arrays of shape (B, A)
    inside : array of shape (B, A)
        Whether the logarithm of the deviation was not clamped.
    coefficient : of the entropy
    gradients : array of shape (B, A)
        Of the loss with respect to actions, through the critics.
    """
    batch, n_actions = actions.shape
    share = coefficient / np.float32(batch)
    for i in range(batch):
        for j in range(n_actions):
            action = actions[i, j]
            rest = _ONE - action * action
            by_mean = gradients[i, j] * rest + share * (_TWO * action) * rest / (rest + _EPSILON)
            by_log_std = by_mean * noise[i, j] * deviations[i, j] - share
            if not inside[i, j]:
                by_log_std = _ZERO
            out[i, j] = by_mean
            out[i, n_actions + j] = by_log_std
