"""`TD3Step`: an update of TD3 (and DDPG) written out for batches of one size."""

import math
from collections.abc import Sequence

import numpy as np
import torch as th
from torch import nn

from finrl_ray.learners.flat.activations import tanh_back
from finrl_ray.learners.flat.optimizers import FlatAdam
from finrl_ray.learners.flat.parameters import FlatParameters
from finrl_ray.learners.off_policy.critics import AdamPass, Critics, Outcomes
from finrl_ray.learners.off_policy.kernels import perturb
from finrl_ray.learners.off_policy.mlp import MLPBuffers, StackedMLP

_ONE = np.float32(1)


class TD3Step:
    """An update of TD3 for B transitions.

    Parameters
    ----------
    critics : the critics, written out for B rows
    layers, target_layers : linear layers of the actor and of its target
    optimizer : the actor's, flat, in the order of `parameter_order`
    target : the target actor's parameters in the same order
    activation : of the actor's hidden layers
    """

    def __init__(
        self,
        critics: Critics,
        layers: Sequence[nn.Linear],
        target_layers: Sequence[nn.Linear],
        optimizer: FlatAdam,
        target: FlatParameters,
        activation: type[nn.Module],
    ) -> None:
        self.critics, self.inputs, self.target = critics, critics.inputs, target
        n_rows, n_actions = self.inputs.actions.shape
        own = StackedMLP(optimizer.flat, [[layer] for layer in layers], 1, activation)
        theirs = StackedMLP(target, [[layer] for layer in target_layers], 1, activation)
        self.actor = MLPBuffers(own, n_rows, values=False)
        self.target_actor = MLPBuffers(theirs, n_rows, values=False)
        self.optimizer = AdamPass(optimizer, self.actor.part_starts(), target)
        self._noise = th.zeros(n_rows, n_actions)
        self._noise_array = self._noise.numpy()
        self._no_bonus = np.zeros(n_rows, dtype=np.float32)
        self._errors = np.full((1, n_rows), -1 / n_rows, dtype=np.float32)

    def learn(
        self,
        outcomes: Outcomes,
        *,
        noise: float,
        clip: float,
        tau: float | None,
    ) -> tuple[float, float]:
        """Update the critics, and with `tau` also actor and targets; return both losses.

        Parameters
        ----------
        outcomes : of the transitions in `inputs`
        noise, clip : deviation and bound of the noise on the target actor's actions
        tau : fraction by which targets move; None: the actor is not updated
        """
        self._noise.normal_(0, noise)
        self.target_actor.forward(self.inputs.after)
        self.target_actor.output.tanh_()
        perturb(
            self.target_actor.output_array,
            self._noise_array,
            np.float32(clip),
            self.inputs.following_array,
        )
        critic_loss = self.critics.learn(self._no_bonus, outcomes, _ONE, tau)
        return critic_loss, math.nan if tau is None else self._learn_actor(tau)

    def _learn_actor(self, tau: float) -> float:
        actor, critic = self.actor, self.critics.first
        actor.forward(self.inputs.seen)
        self.inputs.actions.copy_(actor.output.tanh_())
        critic.forward(self.inputs.here)
        loss = -float(critic.output_array.mean() + critic.head_bias[0])
        slopes = self.critics.back_to_actions(critic, self._errors)
        tanh_back(actor.output_array, self.critics.action_slopes_array, actor.head_bias_slope)
        actor.backward_outputs(slopes)
        self.optimizer.begin(tau)
        actor.backward(self.inputs.seen, self.optimizer.step)
        return loss
