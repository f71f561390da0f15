"""Updates of TD3 (and DDPG) as one compiled call, for batches of one size."""

from typing import NamedTuple

import numpy as np

from finrl_ray._typing import Float32Array, FloatArray
from finrl_ray.learners.off_policy.critics import (
    Drawn,
    Memory,
    back_to_actions,
    judge,
    learn_values,
    put_actions,
    take_batch,
)
from finrl_ray.learners.off_policy.kernels import perturb
from finrl_ray.learners.off_policy.layers import Descent, descend, forward, rates_of
from finrl_ray.learners.off_policy.plans import Inputs, PlannedActor, PlannedCritics
from finrl_ray.learners.products.network import compiled

_ZERO, _ONE = np.float32(0), np.float32(1)


class Networks(NamedTuple):
    """Where everything lies."""

    inputs: Inputs
    actor: PlannedActor
    target_actor: PlannedActor
    critics: PlannedCritics


class Schedule(NamedTuple):
    """Settings of TD3 for some updates."""

    n_updates: int
    """Before the first of them."""
    policy_delay: int
    """The actor and all targets are moved at each update whose number this divides."""
    tau: np.float32
    noise_clip: np.float32


@compiled
def outputs_of(planned: PlannedActor, work: Float32Array, n_rows: int) -> Float32Array:
    """Return the actions (B, A), a view of the work."""
    first, width = planned.outputs, planned.n_outputs
    return work[first : first + n_rows * width].reshape((n_rows, width))


@compiled
def learn_actor(
    networks: Networks,
    actor: Descent,
    critic: Descent,
    n_steps: int,
    tau: np.float32,
    memory: Memory,
) -> float:
    """Update the actor by the first critic, and its target; return the loss."""
    inputs, planned, _, critics = networks
    work, n_rows, n_actions = memory.work, memory.rewards.shape[0], inputs.n_actions
    forward(planned.plan, actor.values, work, memory.packed, n_rows)
    put_actions(outputs_of(planned, work, n_rows), inputs, inputs.here, work)
    values, errors = memory.values[:1], memory.errors[:1]
    judge(critics.first, critics, critic.values, critics.hidden, memory, values)
    total = 0.0
    for b in range(n_rows):
        total += values[0, b]
    loss: float = -(total / n_rows + critic.values[critics.head_bias])
    errors[:] = -_ONE / np.float32(n_rows)
    back_to_actions(critics.first, critics, critic, inputs, work, errors, memory.spare)
    size, there = n_rows * n_actions, critics.action_slopes
    work[planned.slopes : planned.slopes + size] = work[there : there + size]
    descend(planned.plan, actor, rates_of(actor, n_steps), tau, work, n_rows, memory.spare)
    return loss


@compiled
def run_td3(
    transitions: Drawn,
    noise: Float32Array,
    networks: Networks,
    memory: Memory,
    actor: Descent,
    critic: Descent,
    schedule: Schedule,
    losses: FloatArray,
) -> None:
    """Take updates of TD3, one after the other.

    Parameters
    ----------
    noise : array of shape (G, B, A)
        Of the target actor's actions, not yet clipped.
    losses : array of shape (G, 2), filled
        Of critics and actor; the second is NaN where the actor was not updated.
    """
    inputs, _, target_actor, critics = networks
    work, n_updates = memory.work, noise.shape[0]
    n_rows, row = memory.rewards.shape[0], inputs.row
    following = work[inputs.following : inputs.following + n_rows * row].reshape((n_rows, row))
    n_actor_steps = actor.n_steps
    for k in range(n_updates):
        with_actor = (schedule.n_updates + k + 1) % schedule.policy_delay == 0
        tau = schedule.tau if with_actor else _ZERO
        take_batch(transitions, k, inputs, memory)
        forward(target_actor.plan, actor.targets, work, memory.packed, n_rows)
        chosen = outputs_of(target_actor, work, n_rows)
        perturb(chosen, noise[k], schedule.noise_clip, following, inputs.n_observed)
        losses[k, 0] = learn_values(
            critics, critic, critic.n_steps + k + 1, tau, _ONE, transitions.discounts, memory
        )
        losses[k, 1] = np.nan
        if with_actor:
            n_actor_steps += 1
            losses[k, 1] = learn_actor(networks, actor, critic, n_actor_steps, tau, memory)
