"""What the fused steps of SAC, TD3 and DDPG share: inputs, critics, and optimizers written out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import nn

from finrl_ray._typing import Float32Array
from finrl_ray.learners.flat_optimizers import FlatAdam
from finrl_ray.learners.flat_parameters import FlatParameters
from finrl_ray.learners.off_policy_dense import Batch, SideBySide
from finrl_ray.learners.off_policy_kernels import adam, adam_and_follow, value_errors


class AdamPass:
    """Steps of a flat Adam, and of the target that follows its parameters, in one pass.

    Parameters
    ----------
    optimizer : whose gradients are written into `optimizer.flat.gradients`
    target : parameters in the same order, or None
    """

    def __init__(self, optimizer: FlatAdam, target: FlatParameters | None = None) -> None:
        self.optimizer, self.flat = optimizer, optimizer.flat
        average, square = optimizer.moments
        tensors = (self.flat.values, self.flat.gradients, average, square)
        self._arrays: Any = tuple(tensor.numpy() for tensor in tensors)
        self._target = None if target is None else target.values.numpy()

    def step(self, tau: float | None = None) -> None:
        """Take a step; move the target by a fraction `tau`, if given."""
        optimizer, settings = self.optimizer, self.optimizer.settings
        optimizer.begin_step()
        beta1, beta2 = settings["betas"]
        n = optimizer.n_steps
        rates = (
            np.float32(settings["lr"] / (1 - beta1**n)),
            np.float32(1 - beta1),
            np.float32(beta2),
            np.float32(1 - beta2),
            np.float32((1 - beta2**n) ** -0.5),
            np.float32(settings["eps"]),
        )
        if tau is None:
            adam(self._arrays, rates)
        else:
            assert self._target is not None
            adam_and_follow(self._arrays, rates, self._target, np.float32(tau))


class Inputs:
    """Observations and actions of B transitions, then of what follows them, in one matrix.

    Parameters
    ----------
    n_rows : B
    n_observed, n_actions : S and A

    Attributes
    ----------
    both : tensor of shape (2B, S + A)
    seen, after : tensors of shape (B, S), views
    here, following : tensors of shape (B, S + A), views
    """

    def __init__(self, n_rows: int, n_observed: int, n_actions: int) -> None:
        self.both = th.zeros(2 * n_rows, n_observed + n_actions)
        self.here, self.following = self.both[:n_rows], self.both[n_rows:]
        self.observations = self.both[:, :n_observed]
        self.seen, self.after = self.observations[:n_rows], self.observations[n_rows:]
        self.actions = self.here[:, n_observed:]
        self.following_actions = self.following[:, n_observed:]
        self._discounts = th.zeros(n_rows, 1)

    def take(
        self, batch: ReplayBufferSamples, discounts: th.Tensor | float
    ) -> tuple[Float32Array, Float32Array, Float32Array]:
        """Copy a batch; return its rewards, dones and discounts, of shape (B, 1)."""
        self.seen.copy_(batch.observations)
        self.after.copy_(batch.next_observations)
        self.actions.copy_(batch.actions)
        if not isinstance(discounts, th.Tensor):
            discounts = self._discounts.fill_(discounts)
        return batch.rewards.numpy(), batch.dones.numpy(), discounts.numpy()


class Critics:
    """The critics and their targets, written out for B rows.

    Parameters
    ----------
    networks, targets : the linear layers of each
    optimizer : of the critics, flat, in the order of `parameter_order`
    target : the targets' parameters in the same order
    activation : of hidden layers
    inputs : what critics and targets see
    """

    def __init__(
        self,
        networks: Sequence[Sequence[nn.Linear]],
        targets: Sequence[Sequence[nn.Linear]],
        optimizer: FlatAdam,
        target: FlatParameters,
        activation: type[nn.Module],
        inputs: Inputs,
    ) -> None:
        n, n_rows = len(networks), inputs.here.shape[0]
        self.optimizer, self.target = AdamPass(optimizer, target), target
        self.inputs = inputs
        own = SideBySide(optimizer.flat, side_by_side(networks), n, activation)
        theirs = SideBySide(target, side_by_side(targets), n, activation)
        first = SideBySide(optimizer.flat, side_by_side(networks[:1]), 1, activation)
        self.own = Batch(own, n_rows, values=True)
        self.theirs = Batch(theirs, n_rows, values=True)
        self.first = self.own if n == 1 else Batch(first, n_rows, values=True)
        self.values = self.own.output.numpy()
        self._following = self.theirs.output.numpy()
        self.errors = np.zeros((n, n_rows), dtype=np.float32)
        self.action_slopes = th.zeros(inputs.actions.shape)

    def learn(
        self,
        bonus: Float32Array,
        outcomes: tuple[Float32Array, Float32Array, Float32Array],
        scale: np.float32,
        tau: float | None,
    ) -> float:
        """Take a step; move the targets by `tau`, if given. Return the loss.

        Parameters
        ----------
        bonus : array of shape (B,)
            Added to the targets' lowest value.
        outcomes : rewards, dones and discounts
        scale : the loss is this times the sum of the critics' mean squared errors
        """
        self.theirs.forward(self.inputs.following)
        self.own.forward(self.inputs.here)
        loss: float = value_errors(
            self.values,
            self.own.head_bias,
            self._following,
            self.theirs.head_bias,
            bonus,
            outcomes,
            scale,
            self.errors,
        )
        self.own.backward_values(self.errors)
        self.own.backward(self.inputs.here)
        self.optimizer.step(tau)
        return loss

    def back_to_actions(self, critics: Batch, errors: Float32Array) -> th.Tensor:
        """Return the gradients by actions (B, A) for gradients of values (K, B)."""
        critics.backward_values(errors)
        critics.backward(None)
        weight = critics.body[0].weight[:, -self.action_slopes.shape[1] :]
        return th.mm(critics.slopes[0], weight, out=self.action_slopes)


def side_by_side(networks: Sequence[Sequence[nn.Linear]]) -> list[list[nn.Linear]]:
    """Return, for each layer, its linear parts of all networks."""
    return [list(parts) for parts in zip(*networks, strict=True)]
