"""Compiled elementwise passes of the fused PPO and A2C.

All arrays are of float32 and C-contiguous. Shapes, with B rows of a minibatch, E accounts, T steps,
A actions and W units of a layer:

    mean, actions, mean_slope       (B, A)
    values, value_slope             (B, 1)
    log_std, log_std_slope          (A,)
    advantages, returns and the like  (B,)

A slope is the gradient of the loss with respect to the array in its name. NaN stays NaN, as in
torch.
"""

import math
from typing import Any

import numpy as np

from finrl_ray._typing import AnyArray, Float32Array, IntArray
from finrl_ray.learners.products.prefetch import prefetch
from finrl_ray.learners.products.tiles import address_of
from finrl_ray.machine.compiled_cache import cached_njit

compiled = cached_njit(nogil=True, error_model="numpy")

_ZERO, _ONE, _TWO, _HALF = (np.float32(value) for value in (0, 1, 2, 0.5))
_LOG_SQRT_TWO_PI = math.log(math.sqrt(2 * math.pi))
_ENTROPY = 0.5 + 0.5 * math.log(2 * math.pi)
_EPSILON = 1e-8
_LANES = 64
_AHEAD = 4
"""Rows of a rollout that are asked for before they are copied: in shuffled order none is near."""


@compiled
def sample_actions(
    mean: Float32Array,
    log_std: Float32Array,
    noise: Float32Array,
    actions: Float32Array,
    log_probs: Float32Array,
) -> bool:
    """Fill actions (E, A) and their log probabilities (E,) from normal noise (E, A).

    Returns
    -------
    bool
        Whether all means are numbers and all deviations are above 0.
    """
    n_actions = log_std.shape[0]
    std = np.empty(n_actions, dtype=np.float32)
    constant, fine = 0.0, True
    for j in range(n_actions):
        std[j] = math.exp(log_std[j])
        constant += log_std[j] + _LOG_SQRT_TWO_PI
        fine &= std[j] > _ZERO
    for e in range(mean.shape[0]):
        total = 0.0
        for j in range(n_actions):
            z = noise[e, j]
            actions[e, j] = mean[e, j] + z * std[j]
            total += z * z
            fine &= mean[e, j] == mean[e, j]
        log_probs[e] = -0.5 * total - constant
    return fine


@compiled
def advantages_of(
    rewards: Float32Array,
    values: Float32Array,
    starts: Float32Array,
    last_values: Float32Array,
    last_dones: Float32Array,
    gamma: Any,
    gamma_lambda: Any,
    advantages: Float32Array,
) -> None:
    """Fill the generalised advantages, by SB3's operations in SB3's order.

    Schulman et al., "High-dimensional continuous control using generalized advantage estimation"
    (2016), eq. 16.

    Parameters
    ----------
    rewards, values, starts, advantages : arrays of shape (T, E)
        `starts` is 1 where a step is the first of an episode.
    last_values, last_dones : arrays of shape (E,)
        Of what is seen after the last step, and 1 where that step has ended an episode.
    gamma, gamma_lambda : float32
    """
    n_steps, n_envs = rewards.shape
    for e in range(n_envs):
        ahead = _ZERO
        for back in range(n_steps):
            t = n_steps - 1 - back
            if back == 0:
                goes_on = _ONE - last_dones[e]
                following = last_values[e]
            else:
                goes_on = _ONE - starts[t + 1, e]
                following = values[t + 1, e]
            delta = rewards[t, e] + gamma * following * goes_on - values[t, e]
            ahead = delta + gamma_lambda * goes_on * ahead
            advantages[t, e] = ahead


@compiled
def gather(
    rows: IntArray, rollout: tuple[AnyArray, ...], observations: Float32Array, actions: Float32Array
) -> None:
    """Copy the observations and actions of some steps.

    Parameters
    ----------
    rows : array of shape (B,)
    rollout : observations (N, S), actions (N, A), and four arrays (N, 1): values, log
        probabilities, advantages and returns
    observations, actions : arrays of shapes (B, S) and (B, A), or larger, filled
    """
    all_observations, all_actions = rollout[0], rollout[1]
    begin, width = address_of(all_observations), all_observations.shape[1]
    for b in range(rows.shape[0]):
        row = rows[b]
        if b + _AHEAD < rows.shape[0]:
            prefetch(begin + 4 * width * rows[b + _AHEAD], width)
        source, target = all_observations[row], observations[b]
        for j in range(source.shape[0]):
            target[j] = source[j]
        source, target = all_actions[row], actions[b]
        for j in range(source.shape[0]):
            target[j] = source[j]


@compiled
def gather_vectors(
    rows: IntArray, rollout: tuple[AnyArray, ...], vectors: tuple[Float32Array, ...]
) -> None:
    """Copy the four numbers of each step to four arrays (B,) or longer; see `gather`."""
    values, log_probs, advantages, returns = rollout[2], rollout[3], rollout[4], rollout[5]
    for b in range(rows.shape[0]):
        row = rows[b]
        vectors[0][b] = values[row, 0]
        vectors[1][b] = log_probs[row, 0]
        vectors[2][b] = advantages[row, 0]
        vectors[3][b] = returns[row, 0]


@compiled
def normalize(values: Float32Array) -> None:
    """Standardise values (B,) in place, by the deviation with B - 1 in its denominator."""
    n = values.shape[0]
    mean = 0.0
    for i in range(n):
        mean += values[i]
    mean /= n
    squares = 0.0
    for i in range(n):
        away = values[i] - mean
        squares += away * away
    scale = math.sqrt(squares / (n - 1)) + _EPSILON
    for i in range(n):
        values[i] = np.float32((values[i] - mean) / scale)


@compiled
def log_probability(
    mean: Float32Array,
    log_std: Float32Array,
    actions: Float32Array,
    scaled: Float32Array,
    log_probs: Float32Array,
) -> tuple[float, bool]:
    """Fill log probabilities (B,) of actions, and how far they are from the mean, (B, A).

    Returns
    -------
    tuple
        The entropy of the policy; and whether means are numbers and deviations above 0.
    """
    n_actions = log_std.shape[0]
    inverse = np.empty(n_actions, dtype=np.float32)
    constant, fine = 0.0, True
    for j in range(n_actions):
        inverse[j] = math.exp(-log_std[j])
        constant += log_std[j]
        fine &= math.exp(log_std[j]) > 0.0
    for i in range(mean.shape[0]):
        total = _ZERO
        for j in range(n_actions):
            z = (actions[i, j] - mean[i, j]) * inverse[j]
            scaled[i, j] = z
            total += z * z
        log_probs[i] = -0.5 * total - (constant + n_actions * _LOG_SQRT_TWO_PI)
        fine &= total == total
    return constant + n_actions * _ENTROPY, fine


@compiled
def policy_slopes(
    weights: Float32Array,
    log_std: Float32Array,
    scaled: Float32Array,
    mean_slope: Float32Array,
    log_std_slope: Float32Array,
) -> None:
    """Fill the slopes of means, and add to those of log deviations.

    Parameters
    ----------
    weights : array of shape (B,)
        The slopes of log probabilities.
    scaled : array of shape (B, A)
        Distances of actions from their means, in deviations.
    """
    n_actions = log_std.shape[0]
    inverse = np.empty(n_actions, dtype=np.float32)
    for j in range(n_actions):
        inverse[j] = math.exp(-log_std[j])
    for i in range(weights.shape[0]):
        weight = weights[i]
        for j in range(n_actions):
            z = scaled[i, j]
            mean_slope[i, j] = weight * z * inverse[j]
            log_std_slope[j] += weight * (z * z - _ONE)


@compiled
def clipped_surrogate(
    log_probs: Float32Array,
    old_log_probs: Float32Array,
    advantages: Float32Array,
    clip_range: float,
    weights: Float32Array,
    n_all: int,
) -> tuple[float, float, float]:
    """Fill the slopes of log probabilities of PPO's loss.

    Schulman et al., "Proximal policy optimization algorithms" (2017), eq. 7.

    Parameters
    ----------
    n_all : steps of the minibatch, of which these are some

    Returns
    -------
    tuple
        What these steps add to the loss, to the share of ratios outside of the clip range, and to
        the approximate KL divergence.
    """
    n = log_probs.shape[0]
    low, high = np.float32(1.0 - clip_range), np.float32(1.0 + clip_range)
    limit = np.float32(clip_range)
    loss, outside, divergence = 0.0, 0.0, 0.0
    for i in range(n):
        log_ratio = log_probs[i] - old_log_probs[i]
        ratio = np.float32(math.exp(log_ratio))
        advantage = advantages[i]
        # in this order a range below 0, where a schedule went on past its end, does what torch does
        bounded = low if ratio < low else ratio
        bounded = high if bounded > high else bounded
        plain, clipped = advantage * ratio, advantage * bounded
        # in torch's minimum a NaN goes through
        loss -= plain if plain <= clipped or plain != plain else clipped
        # inside the range both are the same, and the slope is that of either
        weights[i] = _ZERO if plain > clipped else -advantage * ratio / np.float32(n_all)
        outside += 1.0 if abs(ratio - _ONE) > limit else 0.0
        divergence += (ratio - _ONE) - log_ratio
    return loss / n_all, outside / n_all, divergence / n_all


@compiled
def policy_gradient(
    log_probs: Float32Array, advantages: Float32Array, weights: Float32Array, n_all: int
) -> float:
    """Fill the slopes of log probabilities of A2C's loss; return what these steps add to it."""
    n = log_probs.shape[0]
    loss = 0.0
    for i in range(n):
        loss -= advantages[i] * log_probs[i]
        weights[i] = -advantages[i] / np.float32(n_all)
    return float(loss / n_all)


@compiled
def value_slopes(
    values: Float32Array,
    old_values: Float32Array,
    returns: Float32Array,
    clip_range: float,
    vf_coef: float,
    slopes: Float32Array,
    n_all: int,
) -> float:
    """Fill the slopes of values (B, 1); return what these steps add to the mean squared error.

    Parameters
    ----------
    clip_range : how far values may move from the old ones (B,); NaN: any distance
    """
    n = values.shape[0]
    factor = np.float32(2.0 * vf_coef / n_all)
    limit = np.float32(clip_range)
    loss = 0.0
    for i in range(n):
        value, moves = values[i, 0], True
        if not math.isnan(clip_range):
            change = value - old_values[i]
            moves = not (change < -limit or change > limit)
            change = -limit if change < -limit else change
            value = old_values[i] + (limit if change > limit else change)
        error = value - returns[i]
        loss += error * error
        slopes[i, 0] = factor * error if moves else _ZERO
    return float(loss / n_all)


@compiled
def sum_of_squares(values: Float32Array) -> float:
    """Return the sum of the squares of P values, added up in one order on every processor.

    A library's product has an order that depends on its vector registers and on its threads.
    """
    lanes = np.zeros(_LANES, dtype=np.float32)
    whole = values.shape[0] - values.shape[0] % _LANES
    for start in range(0, whole, _LANES):
        for j in range(_LANES):
            lanes[j] += values[start + j] * values[start + j]
    for i in range(whole, values.shape[0]):
        lanes[i - whole] += values[i] * values[i]
    total = 0.0
    for j in range(_LANES):
        total += lanes[j]
    return total


@compiled
def mean_deviation(log_std: Float32Array) -> float:
    """Return the mean of the deviations whose logarithms are given, (A,)."""
    total = 0.0
    for j in range(log_std.shape[0]):
        total += math.exp(log_std[j])
    return float(total / log_std.shape[0])


@compiled
def explained_variance(predicted: Float32Array, actual: Float32Array) -> float:
    """Return 1 - var(actual - predicted) / var(actual) of arrays (N, 1); NaN without variance."""
    n = actual.shape[0]
    mean, mean_error = 0.0, 0.0
    for i in range(n):
        mean += actual[i, 0]
        mean_error += actual[i, 0] - predicted[i, 0]
    mean /= n
    mean_error /= n
    spread, spread_error = 0.0, 0.0
    for i in range(n):
        away = actual[i, 0] - mean
        error = actual[i, 0] - predicted[i, 0] - mean_error
        spread += away * away
        spread_error += error * error
    return math.nan if spread == 0.0 else 1.0 - spread_error / spread
