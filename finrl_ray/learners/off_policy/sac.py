"""Updates of SAC as one compiled call, for batches of one size."""

import math
from typing import NamedTuple

import numpy as np
from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN

from finrl_ray._typing import BoolArray, Float32Array, FloatArray
from finrl_ray.learners.off_policy.critics import (
    Drawn,
    Memory,
    back_to_actions,
    judge,
    learn_values,
    put_actions,
    take_batch,
)
from finrl_ray.learners.off_policy.kernels import (
    draw_squashed,
    lowest_value,
    squash_back,
)
from finrl_ray.learners.off_policy.layers import Descent, descend, forward, move, rates_of
from finrl_ray.learners.off_policy.plans import Inputs, PlannedActor, PlannedCritics
from finrl_ray.learners.products.network import compiled

LOW, HIGH = np.float32(LOG_STD_MIN), np.float32(LOG_STD_MAX)
_ZERO, _HALF = np.float32(0), np.float32(0.5)


class Actions(NamedTuple):
    """What is drawn for the observations and next observations of a batch, of R = 2B rows."""

    actions: Float32Array
    """(R, A), within [-1, 1]."""
    deviations: Float32Array
    """(R, A)"""
    inside: BoolArray
    """(R, A): whether the logarithm of the deviation was not clamped."""
    log_prob: Float32Array
    """(R,)"""


class Networks(NamedTuple):
    """Where everything lies."""

    inputs: Inputs
    actor: PlannedActor
    critics: PlannedCritics


class Entropy(NamedTuple):
    """SAC's entropy coefficient."""

    is_learned: bool
    fixed: float
    """The coefficient, where it is not learned."""
    target: float
    """The entropy to keep."""
    descent: Descent
    """Of the coefficient's logarithm."""


@compiled
def learn_entropy(entropy: Entropy, log_prob: Float32Array, done: int) -> tuple[float, float]:
    """Take a step, if the coefficient is learned; return its value before it, and the loss."""
    if not entropy.is_learned:
        return entropy.fixed, np.nan
    descent = entropy.descent
    total = 0.0
    for i in range(log_prob.shape[0]):
        total += log_prob[i]
    logarithm = np.float64(descent.values[0])
    slope = -(total / log_prob.shape[0] + entropy.target)
    descent.gradients[0] = np.float32(slope)
    move(descent, rates_of(descent, descent.n_steps + done + 1), _ZERO, 0, 1)
    return math.exp(logarithm), logarithm * slope


@compiled
def learn_actor(
    networks: Networks,
    actor: Descent,
    critic: Descent,
    n_steps: int,
    coefficient: np.float32,
    noise: Float32Array,
    drawn: Actions,
    memory: Memory,
) -> float:
    """Update the actor by the actions drawn for the first B rows; return the loss."""
    inputs, (plan, _, slopes, n_outputs), critics = networks
    work, n_rows, n_actions = memory.work, memory.rewards.shape[0], inputs.n_actions
    put_actions(drawn.actions[:n_rows], inputs, inputs.here, work)
    judge(critics.plan, critics, critic.values, critics.hidden, memory, memory.values)
    bias = critic.values[critics.head_bias : critics.head_bias + critics.n_critics]
    loss: float = lowest_value(
        memory.values, bias, drawn.log_prob[:n_rows], coefficient, memory.errors
    )
    back_to_actions(critics.plan, critics, critic, inputs, work, memory.errors, memory.spare)
    there = critics.action_slopes
    squash_back(
        drawn.actions[:n_rows],
        noise[:n_rows],
        drawn.deviations[:n_rows],
        drawn.inside[:n_rows],
        coefficient,
        work[there : there + n_rows * n_actions].reshape((n_rows, n_actions)),
        work[slopes : slopes + n_rows * n_outputs].reshape((n_rows, n_outputs)),
    )
    descend(plan, actor, rates_of(actor, n_steps), _ZERO, work, n_rows, memory.spare)
    return loss


@compiled
def run_sac(
    transitions: Drawn,
    noise: Float32Array,
    networks: Networks,
    drawn: Actions,
    memory: Memory,
    actor: Descent,
    critic: Descent,
    entropy: Entropy,
    tau: np.float32,
    first: int,
    interval: int,
    losses: FloatArray,
) -> int:
    """Take updates of SAC, one after the other.

    Parameters
    ----------
    noise : array of shape (G, 2B, A)
        Standard normal numbers, for the observations and then the next observations.
    tau : fraction by which targets move at each `interval`-th update
    first : number of the first update, counted from the beginning of the training that they are of
    losses : array of shape (G, 4), filled
        Entropy coefficient, and losses of the actor, the critics and the coefficient.

    Returns
    -------
    int
        How many updates were taken: fewer where the actor's means or deviations are NaN.
    """
    inputs, (plan, outputs, _, n_outputs), critics = networks
    work = memory.work
    n_updates: int = noise.shape[0]
    n_rows = memory.rewards.shape[0]
    output = work[outputs : outputs + 2 * n_rows * n_outputs].reshape((2 * n_rows, n_outputs))
    for k in range(n_updates):
        take_batch(transitions, k, inputs, memory)
        forward(plan, actor.values, work, memory.packed, 2 * n_rows)
        if not draw_squashed(
            output, noise[k], LOW, HIGH, drawn.inside, drawn.deviations, drawn.actions,
            drawn.log_prob,
        ):  # fmt: skip
            return k
        coefficient, entropy_loss = learn_entropy(entropy, drawn.log_prob[:n_rows], k)
        weight = np.float32(coefficient)
        put_actions(drawn.actions[n_rows:], inputs, inputs.following, work)
        for i in range(n_rows):
            memory.bonus[i] = -weight * drawn.log_prob[n_rows + i]
        follow = (first + k) % interval == 0
        critic_loss = learn_values(
            critics, critic, critic.n_steps + k + 1, tau if follow else _ZERO, _HALF,
            transitions.discounts, memory,
        )  # fmt: skip
        actor_loss = learn_actor(
            networks, actor, critic, actor.n_steps + k + 1, weight, noise[k], drawn, memory
        )
        losses[k, 0], losses[k, 1] = coefficient, actor_loss
        losses[k, 2], losses[k, 3] = critic_loss, entropy_loss
    return n_updates
