"""What the fused steps of SAC, TD3 and DDPG share: inputs, critics, and optimizers written out."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch as th
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import nn

from finrl_ray._typing import Float32Array
from finrl_ray.learners.flat.optimizers import FlatAdam
from finrl_ray.learners.flat.parameters import FlatParameters
from finrl_ray.learners.off_policy.kernels import adam, adam_and_follow, gather, value_errors
from finrl_ray.learners.off_policy.mlp import MLPBuffers, StackedMLP

Outcomes: TypeAlias = tuple[Float32Array, Float32Array, Float32Array]
"""Rewards, dones and discounts of transitions, of shape (B, 1)."""


class AdamPass:
    """Steps of a flat Adam, layer by layer, and of the target that follows its parameters.

    Parameters
    ----------
    optimizer : whose gradients are written into `optimizer.flat.gradients`
    starts : where each part of the flat parameters begins; steps are taken part by part, and the
        last part goes to the end
    target : parameters in the same order, or None
    """

    def __init__(
        self,
        optimizer: FlatAdam,
        starts: Sequence[int],
        target: FlatParameters | None = None,
    ) -> None:
        self.optimizer, self.flat = optimizer, optimizer.flat
        average, square = optimizer.moments
        tensors = (self.flat.values, self.flat.gradients, average, square)
        first, *ends = starts
        assert first == 0
        parts = zip(*(np.split(tensor.numpy(), ends) for tensor in tensors), strict=True)
        self._parts: list[Any] = list(parts)
        self._targets = [] if target is None else np.split(target.values.numpy(), ends)
        self._rates: Any = None
        self._tau: np.float32 | None = None

    def begin(self, tau: float | None = None) -> None:
        """Begin a step, in which targets move by a fraction `tau`, if given.

        The caller makes sure that the parameters still lie in `flat`.
        """
        self.optimizer.count_step()
        self._rates = self.optimizer.step_rates()
        self._tau = None if tau is None else np.float32(tau)

    def step(self, part: int) -> None:
        """Take the step that was begun for a part of the parameters."""
        if self._tau is None:
            adam(self._parts[part], self._rates)
        else:
            adam_and_follow(self._parts[part], self._rates, self._targets[part], self._tau)


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
        self.following_array = self.following.numpy()
        self._array = self.both.numpy()
        self._rewards, self._dones, self._discounts = np.zeros((3, n_rows, 1), dtype=np.float32)

    def gather(self, buffer: ReplayBuffer, discount: float) -> Outcomes:
        """Draw a batch as the buffer's `sample` does, and copy it; return its outcomes.

        Parameters
        ----------
        buffer : SB3's own buffer for float32 observations, with next observations of their own
        discount : of the values of next observations, the same for all transitions
        """
        n_rows = len(self._rewards)
        # the global generator, drawn from as SB3's buffer does
        upper = buffer.buffer_size if buffer.full else buffer.pos
        rows = np.random.randint(0, upper, size=n_rows)  # noqa: NPY002
        accounts = np.random.randint(0, high=buffer.n_envs, size=(n_rows,))  # noqa: NPY002
        held = (
            buffer.observations,
            buffer.next_observations,
            buffer.actions,
            buffer.rewards,
            buffer.dones,
            buffer.timeouts,
        )
        gather(rows, accounts, held, self._array, self._rewards, self._dones)
        self._discounts.fill(discount)
        return self._rewards, self._dones, self._discounts

    def take(self, batch: ReplayBufferSamples, discounts: th.Tensor | float) -> Outcomes:
        """Copy a batch; return its outcomes."""
        self.seen.copy_(batch.observations)
        self.after.copy_(batch.next_observations)
        self.actions.copy_(batch.actions)
        if isinstance(discounts, th.Tensor):
            return batch.rewards.numpy(), batch.dones.numpy(), discounts.numpy()
        self._discounts.fill(discounts)
        return batch.rewards.numpy(), batch.dones.numpy(), self._discounts


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
        self.inputs, self.target = inputs, target
        own = StackedMLP(optimizer.flat, side_by_side(networks), n, activation)
        theirs = StackedMLP(target, side_by_side(targets), n, activation)
        first = StackedMLP(optimizer.flat, side_by_side(networks[:1]), 1, activation)
        self.own = MLPBuffers(own, n_rows, values=True)
        self.optimizer = AdamPass(optimizer, self.own.part_starts(), target)
        self.theirs = MLPBuffers(theirs, n_rows, values=True)
        self.first = self.own if n == 1 else MLPBuffers(first, n_rows, values=True)
        self.values = self.own.output.numpy()
        self._following = self.theirs.output.numpy()
        self.errors = np.zeros((n, n_rows), dtype=np.float32)
        self.action_slopes = th.zeros(inputs.actions.shape)
        self.action_slopes_array = self.action_slopes.numpy()
        self._action_weights = {
            critics: critics.body[0].weight[:, -self.action_slopes.shape[1] :]
            for critics in (self.own, self.first)
        }

    def learn(
        self,
        bonus: Float32Array,
        outcomes: Outcomes,
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
        self.optimizer.begin(tau)
        self.own.backward(self.inputs.here, self.optimizer.step)
        return loss

    def back_to_actions(self, critics: MLPBuffers, errors: Float32Array) -> th.Tensor:
        """Return the gradients by actions (B, A) for gradients of values (K, B).

        Parameters
        ----------
        critics : `own` or `first`
        """
        critics.backward_values(errors)
        critics.backward_inputs()
        return th.mm(critics.slopes[0], self._action_weights[critics], out=self.action_slopes)


def side_by_side(networks: Sequence[Sequence[nn.Linear]]) -> list[list[nn.Linear]]:
    """Return, for each layer, its linear parts of all networks."""
    return [list(parts) for parts in zip(*networks, strict=True)]
