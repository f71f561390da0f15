"""An epoch of updates of PPO, or the update of A2C, as one compiled call.

All arrays are of float32 and C-contiguous. Shapes are those of `kernels.py`; N is the number of
steps in the rollout, P that of parameters.
"""

import math
from typing import NamedTuple

import numpy as np

from finrl_ray._typing import AnyArray, Float32Array, FloatArray, IntArray
from finrl_ray.learners.on_policy.kernels import (
    clipped_surrogate,
    gather,
    gather_vectors,
    log_probability,
    normalize,
    policy_gradient,
    policy_slopes,
    sum_of_squares,
    value_slopes,
)
from finrl_ray.learners.on_policy.per_ticker_rows import (
    fill_means,
    fill_ticker_rows,
    spread_slopes,
)
from finrl_ray.learners.on_policy.planned_networks import Planned
from finrl_ray.learners.products.network import (
    backward_layers,
    compiled,
    forward_layers,
    pack_weights,
)
from finrl_ray.learners.products.steps import adam_pass, rmsprop_pass
from finrl_ray.learners.products.tiles import address_of

DONE, STOPPED, UNDEFINED = range(3)
"""How an epoch ends: at its end, by the divergence, or by means or deviations that are NaN."""

ADAM, RMSPROP, RMSPROP_TF_LIKE = range(3)

_NORM_EPSILON = 1e-6
"""torch's, in `clip_grad_norm_`."""


class Memory(NamedTuple):
    """What steps are copied to and computed in: B that go forward and back together."""

    old_values: Float32Array
    """(minibatch,), as the next three."""
    old_log_probs: Float32Array
    advantages: Float32Array
    returns: Float32Array
    observations: Float32Array
    """(B, S)"""
    actions: Float32Array
    """(B, A)"""
    scaled: Float32Array
    """(B, A): distances of actions from their means, in deviations."""
    log_probs: Float32Array
    """(B,)"""
    weights: Float32Array
    """(B,): slopes of log probabilities."""
    values: Float32Array
    """(B, 1)"""
    value_slopes: Float32Array
    """(B, 1)"""


class Loss(NamedTuple):
    """What a minibatch is judged by; all float but the flags."""

    clip_range: float
    """Of ratios; NaN for A2C's plain gradient."""
    clip_range_vf: float
    """NaN: any distance."""
    ent_coef: float
    vf_coef: float
    target_kl: float
    """NaN: none."""
    normalize: bool
    """Standardise the advantages of a minibatch."""
    max_grad_norm: float


class Optimizing(NamedTuple):
    """An optimizer on flat parameters."""

    values: Float32Array
    """(P,)"""
    gradients: Float32Array
    """(P,)"""
    average: Float32Array
    """(P,); of RMSprop, not used."""
    square: Float32Array
    """(P,)"""
    kind: int
    """ADAM, RMSPROP or RMSPROP_TF_LIKE."""
    rate: float
    beta1: float
    """RMSprop's alpha."""
    beta2: float
    eps: float


@compiled
def take_step(optimizing: Optimizing, n_steps: int, max_grad_norm: float) -> None:
    """Clip the gradients, and move the parameters along them for the `n_steps`-th time."""
    values, gradients, average, square, kind = optimizing[:5]
    norm = math.sqrt(sum_of_squares(gradients))
    # of a NaN norm everything becomes NaN, as in torch
    scale = max_grad_norm / (norm + _NORM_EPSILON)
    share = np.float32(1.0 if scale > 1.0 else scale)
    n, here, slopes = values.shape[0], address_of(values), address_of(gradients)
    rate, beta1, beta2, eps = optimizing.rate, optimizing.beta1, optimizing.beta2, optimizing.eps
    squares = address_of(square)
    if kind == ADAM:
        settings = (
            share,
            np.float32(rate / (1.0 - beta1**n_steps)),
            np.float32(1.0 - beta1),
            np.float32(beta2),
            np.float32(1.0 - beta2),
            np.float32((1.0 - beta2**n_steps) ** -0.5),
            np.float32(eps),
        )
        adam_pass(n, (here, slopes, address_of(average), squares), settings)
    else:
        inside = eps if kind == RMSPROP_TF_LIKE else 0.0
        kept = np.float32(beta1), np.float32(1.0 - beta1)
        added = np.float32(eps - inside), np.float32(inside)
        rmsprop_pass(n, (here, slopes, squares), (share, np.float32(rate), *kept, *added))


@compiled
def judge(
    rows: IntArray,
    place: tuple[int, int],
    rollout: tuple[AnyArray, ...],
    planned: Planned,
    memory: Memory,
    loss: Loss,
    optimizing: Optimizing,
    part: FloatArray,
    n_all: int,
) -> bool:
    """Fill the slopes of means and values for some steps of a minibatch, and add to its loss.

    Parameters
    ----------
    rows : of the rollout
    place : of the first of these steps in the minibatch; and of the log deviations (A,) among the
        parameters
    part : see `run_epoch`
    n_all : steps of the minibatch

    Returns
    -------
    bool
        Whether all means are numbers and all deviations above 0.
    """
    first, log_std_place = place
    n_rows, n_actions, n_tickers = len(rows), memory.actions.shape[1], planned.n_tickers
    log_std = optimizing.values[log_std_place : log_std_place + n_actions]
    log_std_slope = optimizing.gradients[log_std_place : log_std_place + n_actions]
    actions, values = memory.actions[:n_rows], memory.values[:n_rows]
    if n_tickers > 0:
        gather(rows, rollout, memory.observations[:n_rows], actions)
        fill_ticker_rows(memory.observations[:n_rows], n_tickers, planned.inputs)
    else:
        gather(rows, rollout, planned.inputs, actions)
    n_each = n_rows * max(1, n_tickers)
    forward_layers(planned.plan, optimizing.values, planned.work, n_each)
    # of one value for each step the mean is itself
    fill_means(planned.values, values)
    scaled, log_probs = memory.scaled[:n_rows], memory.log_probs[:n_rows]
    weights, slopes = memory.weights[:n_rows], memory.value_slopes[:n_rows]
    mean = planned.means[:n_rows]
    entropy, fine = log_probability(mean, log_std, actions, scaled, log_probs)
    if not fine:
        return False
    advantages = memory.advantages[first : first + n_rows]
    if math.isnan(loss.clip_range):
        part[0] += policy_gradient(log_probs, advantages, weights, n_all)
    else:
        old = memory.old_log_probs[first : first + n_rows]
        added = clipped_surrogate(log_probs, old, advantages, loss.clip_range, weights, n_all)
        part[0] += added[0]
        part[3] += added[1]
        part[4] += added[2]
    old_values = memory.old_values[first : first + n_rows]
    returns = memory.returns[first : first + n_rows]
    part[1] += value_slopes(
        values, old_values, returns, loss.clip_range_vf, loss.vf_coef, slopes, n_all
    )
    part[2] = -entropy
    policy_slopes(weights, log_std, scaled, planned.means_slope[:n_rows], log_std_slope)
    spread_slopes(slopes, planned.values_slope)
    return True


@compiled
def run_epoch(
    order: IntArray,
    batch_size: int,
    rollout: tuple[AnyArray, ...],
    planned: Planned,
    memory: Memory,
    log_std_place: int,
    loss: Loss,
    optimizing: Optimizing,
    n_steps: int,
    piece: int,
    parts: FloatArray,
) -> tuple[int, int]:
    """Update by each minibatch of an epoch.

    Parameters
    ----------
    order : array of shape (N,)
        The rows of the rollout, as SB3 has shuffled them.
    rollout : see `gather`
    log_std_place : of the log deviations (A,) among the parameters
    n_steps : of the optimizer so far
    piece : steps that go forward and back together, at most; all of a minibatch where `target_kl`
        may stop before it is learned from
    parts : array of shape (minibatches, 5), of zeros, filled
        Loss of the policy, loss of the values, loss of the entropy, share of clipped ratios,
        approximate KL divergence.

    Returns
    -------
    tuple
        The number of minibatches that `parts` tells of, and DONE, STOPPED or UNDEFINED.
    """
    n_actions = memory.actions.shape[1]
    log_std_slope = optimizing.gradients[log_std_place : log_std_place + n_actions]
    done = 0
    for start in range(0, order.shape[0], batch_size):
        n_rows = min(batch_size, order.shape[0] - start)
        rows = order[start : start + n_rows]
        vectors = memory.old_values, memory.old_log_probs, memory.advantages, memory.returns
        gather_vectors(rows, rollout, vectors)
        if loss.normalize and n_rows > 1:
            normalize(memory.advantages[:n_rows])
        pack_weights(planned.plan, optimizing.values, planned.work)
        for j in range(n_actions):
            log_std_slope[j] = -np.float32(loss.ent_coef)
        part = parts[done]
        for first in range(0, n_rows, piece):
            some = rows[first : min(first + piece, n_rows)]
            place = first, log_std_place
            if not judge(some, place, rollout, planned, memory, loss, optimizing, part, n_rows):
                return done, UNDEFINED
            if part[4] > 1.5 * loss.target_kl:
                return done + 1, STOPPED
            n_each = len(some) * max(1, planned.n_tickers)
            backward_layers(
                planned.plan, optimizing.values, optimizing.gradients, planned.work, n_each, first
            )
        done += 1
        take_step(optimizing, n_steps + done, loss.max_grad_norm)
    return done, DONE
