"""`SACStep`: an update of SAC written out for batches of one size."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch as th
from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN

from finrl_ray._typing import Float32Array
from finrl_ray.learners.flat.optimizers import FlatAdam
from finrl_ray.learners.networks import require_distribution
from finrl_ray.learners.off_policy.critics import AdamPass, Critics, Outcomes
from finrl_ray.learners.off_policy.kernels import (
    clamp_log_std,
    log_density_inputs,
    lowest_value,
    squash_back,
    subtract_sums,
)
from finrl_ray.learners.off_policy.mlp import MLPBuffers, StackedMLP

_LOW, _HIGH = np.float32(LOG_STD_MIN), np.float32(LOG_STD_MAX)


class Losses(NamedTuple):
    """What an update of SAC logs; the entropy's loss is NaN where its coefficient is fixed."""

    ent_coef: float
    actor_loss: float
    critic_loss: float
    ent_coef_loss: float


class Entropy:
    """SAC's entropy coefficient, which is learned where it has an optimizer.

    Attributes
    ----------
    fixed : the coefficient where it is not learned
    target : the entropy to keep

    Parameters
    ----------
    optimizer : flat, of the coefficient's logarithm alone; None: the coefficient is fixed
    """

    def __init__(self, optimizer: FlatAdam | None) -> None:
        self._adam = None if optimizer is None else AdamPass(optimizer, [0])
        self.fixed = self.target = 0.0

    def still_holds(self, optimizer: FlatAdam | None) -> bool:
        """Return whether this was made for an optimizer and its present parameter."""
        if optimizer is None or self._adam is None:
            return optimizer is None and self._adam is None
        return optimizer.flat is self._adam.flat

    def learn(self, log_prob: Float32Array) -> tuple[float, float]:
        """Take a step, if the coefficient is learned; return its value before it, and the loss."""
        if self._adam is None:
            return self.fixed, math.nan
        flat = self._adam.flat
        logarithm = flat.values.item()
        slope = -(float(log_prob.mean()) + self.target)
        flat.gradients.fill_(slope)
        self._adam.begin()
        self._adam.step(0)
        return math.exp(logarithm), logarithm * slope


class SquashedActor:
    """SAC's actor, written out for a number of rows: actions and their log probability.

    Parameters
    ----------
    networks : the actor, mean and deviation as one layer
    n_rows : R
    n_actions : A

    Attributes
    ----------
    actions : tensor of shape (R, A)
        Within [-1, 1].
    log_prob : array of shape (R,)
    """

    def __init__(self, networks: StackedMLP, n_rows: int, n_actions: int) -> None:
        self.batch = MLPBuffers(networks, n_rows, values=False)
        output = self.batch.output
        self._mean, self._log_std = output[:, :n_actions], output[:, n_actions:]
        self.noise, self.actions, self.deviations, self._inner = (
            th.zeros(n_rows, n_actions) for _ in range(4)
        )
        self.actions_array, self.noise_array = self.actions.numpy(), self.noise.numpy()
        self.deviations_array, self._inner_array = self.deviations.numpy(), self._inner.numpy()
        self.inside = np.zeros((n_rows, n_actions), dtype=np.bool_)
        self.log_prob = np.zeros(n_rows, dtype=np.float32)

    def draw(self, observations: th.Tensor, parts: Sequence[th.Tensor]) -> None:
        """Fill `actions`; noise is drawn for one part of its rows after the other."""
        self.batch.forward(observations)
        clamp_log_std(self.batch.output_array, _LOW, _HIGH, self.inside)
        th.exp(self._log_std, out=self.deviations)
        for part in parts:
            part.normal_()
        th.addcmul(self._mean, self.noise, self.deviations, out=self.actions)
        self.actions.tanh_()

    def measure(self) -> None:
        """Fill `log_prob`.

        Raises
        ------
        ValueError
            If a mean or deviation is NaN, with the words of SB3's distributions.
        """
        log_density_inputs(
            self.actions_array,
            self.noise_array,
            self.batch.output_array,
            self._inner_array,
            self.log_prob,
        )
        self._inner.log_()
        if not math.isfinite(subtract_sums(self.log_prob, self._inner_array)):
            require_distribution(self._mean, self.deviations)


class SACStep:
    """An update of SAC for B transitions.

    Parameters
    ----------
    critics : the critics, written out for B rows
    networks : the actor, mean and deviation as one layer
    optimizer : the actor's, flat, in the order of `parameter_order`
    """

    def __init__(self, critics: Critics, networks: StackedMLP, optimizer: FlatAdam) -> None:
        self.critics, self.inputs = critics, critics.inputs
        n_rows, n_actions = self.inputs.actions.shape
        # the actor is run once, on the observations and the next observations as one batch
        self.actor = SquashedActor(networks, 2 * n_rows, n_actions)
        hidden = [tensor[:n_rows] for tensor in self.actor.batch.hidden]
        self.trained = MLPBuffers(networks, n_rows, values=False, hidden=hidden)
        self.optimizer = AdamPass(optimizer, self.trained.part_starts())
        self._noise_parts = self.actor.noise.chunk(2)
        self._actions, self._following_actions = self.actor.actions.chunk(2)
        self._log_prob = self.actor.log_prob[:n_rows]
        self._following_log_prob = self.actor.log_prob[n_rows:]
        self._bonus = np.zeros(n_rows, dtype=np.float32)
        self._slopes = th.zeros(n_rows, 2 * n_actions)
        self._slopes_array = self._slopes.numpy()
        self._drawn = (
            self.actor.actions_array[:n_rows],
            self.actor.noise_array[:n_rows],
            self.actor.deviations_array[:n_rows],
            self.actor.inside[:n_rows],
        )

    def learn(
        self,
        outcomes: Outcomes,
        entropy: Entropy,
        tau: float | None,
    ) -> Losses:
        """Update the entropy coefficient, critics and actor, and with `tau` the targets.

        Parameters
        ----------
        outcomes : of the transitions in `inputs`
        entropy : the entropy coefficient
        tau : fraction by which targets move; None: they stay

        Raises
        ------
        ValueError
            If the actor's output is NaN.
        """
        inputs, critics = self.inputs, self.critics
        self.actor.draw(inputs.observations, self._noise_parts)
        self.actor.measure()
        coefficient, entropy_loss = entropy.learn(self._log_prob)
        weight = np.float32(coefficient)
        inputs.following_actions.copy_(self._following_actions)
        np.multiply(self._following_log_prob, -weight, out=self._bonus)
        critic_loss = critics.learn(self._bonus, outcomes, np.float32(0.5), tau)
        actor_loss = self._learn_actor(weight)
        return Losses(coefficient, actor_loss, critic_loss, entropy_loss)

    def _learn_actor(self, coefficient: np.float32) -> float:
        inputs, critics = self.inputs, self.critics
        inputs.actions.copy_(self._actions)
        critics.own.forward(inputs.here)
        loss: float = lowest_value(
            critics.values, critics.own.head_bias, self._log_prob, coefficient, critics.errors
        )
        critics.back_to_actions(critics.own, critics.errors)
        squash_back(
            *self._drawn,
            coefficient,
            critics.action_slopes_array,
            self._slopes_array,
            self.trained.head_bias_slope,
        )
        self.trained.backward_outputs(self._slopes)
        self.optimizer.begin()
        self.trained.backward(inputs.seen, self.optimizer.step)
        return loss
