"""`FusedSAC`, `FusedTD3` and `FusedDDPG`: updates written out, equal to SB3's to rounding.

Forward, gradients, Adam and moving averages work on arrays that share memory with the parameters of
the policy; random numbers are SB3's. What the written-out steps do not do, the exact learners do.
"""

from contextlib import nullcontext
from typing import Any, cast

import numpy as np
import torch as th
from stable_baselines3.common.buffers import ReplayBuffer
from torch import nn

from finrl_ray._typing import AnyArray
from finrl_ray.learners.base import FUSED
from finrl_ray.learners.flat.denormals import flushed_denormals
from finrl_ray.learners.flat.optimizers import FlatAdam, flatten_optimizer
from finrl_ray.learners.flat.parameters import FlatParameters
from finrl_ray.learners.networks import linear_layers
from finrl_ray.learners.off_policy.critics import Critics, Inputs, Outcomes, side_by_side
from finrl_ray.learners.off_policy.exact import (
    Averaged,
    ExactDDPG,
    ExactOffPolicy,
    ExactSAC,
    ExactTD3,
)
from finrl_ray.learners.off_policy.mlp import ACTIVATIONS, MLPBuffers, StackedMLP, parameter_order
from finrl_ray.learners.off_policy.sac import Entropy, SACStep, SquashedActor
from finrl_ray.learners.off_policy.td3 import TD3Step


class FusedOffPolicy(ExactOffPolicy):
    """What the fused learners of SAC, TD3 and DDPG share."""

    wanted = FUSED
    own_attributes = (*ExactOffPolicy.own_attributes, "_step", "_explorer")
    _explorer: tuple[FlatParameters, int, Any] | None = None

    def _actor_layers(self) -> list[list[nn.Linear]]:
        """Return the actor's linear layers; those that share an input count as one layer."""
        raise NotImplementedError

    def _critic_layers(self) -> list[list[nn.Linear]]:
        return [linear_layers(network) for network in self.critic.q_networks]  # type: ignore[attr-defined]  # of SAC, TD3

    def _activation(self) -> type[nn.Module]:
        return cast("type[nn.Module]", self.policy.activation_fn)

    def _reason_against_fused(self) -> str:
        if self._activation() not in ACTIVATIONS:
            return f"activation_fn is {self._activation().__name__}"
        if len(self._actor_layers()) < 2 or len(self._critic_layers()[0]) < 2:
            return "there are networks without hidden layers"
        for network in (self.actor, self.critic):  # type: ignore[attr-defined]  # of SAC and TD3
            if not isinstance(network.optimizer, FlatAdam):
                return f"the optimizer is {type(network.optimizer).__name__}"
        return ""

    def _prepare_fused(self) -> None:
        critics = side_by_side(self._critic_layers())
        flatten_optimizer(self.critic.optimizer, parameter_order(critics))  # type: ignore[attr-defined]  # of SAC, TD3
        flatten_optimizer(self._actor_optimizer(), parameter_order(self._actor_layers()))

    def _actor_optimizer(self) -> FlatAdam:
        return cast("FlatAdam", self.actor.optimizer)

    def _actor_networks(self, flat: FlatParameters) -> StackedMLP:
        return StackedMLP(flat, self._actor_layers(), 1, self._activation())

    def _make_explorer(self, networks: StackedMLP, n_rows: int) -> Any:
        """Return the actor's arrays for the actions of E accounts."""
        raise NotImplementedError

    def _exploring(self, n_rows: int) -> Any:
        """Return those arrays, made anew for other parameters or another number of accounts."""
        flat = self._actor_optimizer().flat
        if self._explorer is None or self._explorer[0] is not flat or self._explorer[1] != n_rows:
            made = self._make_explorer(self._actor_networks(flat), n_rows)
            self._explorer = flat, n_rows, made
        return self._explorer[2]

    def _draw(self, inputs: Inputs, batch_size: int) -> Outcomes:
        """Draw a batch of transitions into the inputs of a step."""
        buffer = self.replay_buffer
        if (
            type(buffer) is ReplayBuffer
            and self._vec_normalize_env is None
            and not buffer.optimize_memory_usage
            and buffer.observations.dtype == buffer.actions.dtype == np.float32
        ):
            return inputs.gather(buffer, self.gamma)
        return inputs.take(*self._sample(batch_size))

    def _critics(self, pair: Averaged, batch_size: int) -> Critics:
        inputs = Inputs(batch_size, self.observation_space.shape[0], self.action_space.shape[0])  # type: ignore[index]  # Box
        targets = [linear_layers(network) for network in self.critic_target.q_networks]  # type: ignore[attr-defined]  # of SAC, TD3
        return Critics(
            self._critic_layers(),
            targets,
            cast("FlatAdam", pair.optimizer),
            pair.target,
            self._activation(),
            inputs,
        )


class FusedTD3(FusedOffPolicy, ExactTD3):
    """SB3's TD3 with its updates written out."""

    _step: TD3Step | None = None

    def _make_explorer(self, networks: StackedMLP, n_rows: int) -> MLPBuffers:
        return MLPBuffers(networks, n_rows, values=False)

    def _actor_layers(self) -> list[list[nn.Linear]]:
        return [[layer] for layer in linear_layers(self.actor.mu)]

    def _explore(self, observations: AnyArray) -> AnyArray:
        if self.learner != FUSED:
            return super()._explore(observations)
        actor: MLPBuffers = self._exploring(len(observations))
        with th.inference_mode():
            actor.forward(as_rows(observations))
            return actor.output.tanh_().numpy().copy()

    def _begin(self, batch_size: int) -> None:
        super()._begin(batch_size)
        if self.learner != FUSED:
            return
        critics, actors = self._averaged_critic(), self._averaged_actor()
        step = self._step
        if (
            step is not None
            and step.critics.target is critics.target
            and step.target is actors.target
            and len(step.inputs.here) == batch_size
        ):
            return
        self._step = TD3Step(
            self._critics(critics, batch_size),
            linear_layers(self.actor.mu),
            linear_layers(self.actor_target.mu),
            self._actor_optimizer(),
            actors.target,
            self._activation(),
        )

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Update critics, actor and targets."""
        with flushed_denormals() if self.learner == FUSED else nullcontext():
            super().train(gradient_steps, batch_size)

    def _update(self, batch_size: int, *, with_actor: bool) -> tuple[float, float]:
        if self.learner != FUSED:
            return super()._update(batch_size, with_actor=with_actor)
        assert self._step is not None
        with th.inference_mode():
            return self._step.learn(
                self._draw(self._step.inputs, batch_size),
                noise=self.target_policy_noise,
                clip=self.target_noise_clip,
                tau=self.tau if with_actor else None,
            )


class FusedDDPG(FusedTD3, ExactDDPG):
    """SB3's DDPG with its updates written out."""


class FusedSAC(FusedOffPolicy, ExactSAC):
    """SB3's SAC with its updates written out."""

    own_attributes = (*FusedOffPolicy.own_attributes, "_entropy")
    _entropy: Entropy | None = None
    _step: SACStep | None = None

    def _make_explorer(self, networks: StackedMLP, n_rows: int) -> SquashedActor:
        return SquashedActor(networks, n_rows, self.action_space.shape[0])  # type: ignore[index]  # a Box

    def _actor_layers(self) -> list[list[nn.Linear]]:
        hidden = [[layer] for layer in linear_layers(self.actor.latent_pi)]
        return [*hidden, linear_layers(self.actor.mu, cast("nn.Module", self.actor.log_std))]

    def _explore(self, observations: AnyArray) -> AnyArray:
        if self.learner != FUSED:
            return super()._explore(observations)
        actor: SquashedActor = self._exploring(len(observations))
        with th.inference_mode():
            actor.draw(as_rows(observations), (actor.noise,))
            actions = actor.actions.numpy().copy()
        if np.isnan(actions).any():
            actor.measure()
        return actions

    def _begin(self, batch_size: int) -> None:
        super()._begin(batch_size)
        if self.learner != FUSED:
            return
        critics, flat = self._averaged_critic(), self._actor_optimizer().flat
        step = self._step
        if (
            step is None
            or step.critics.target is not critics.target
            or step.optimizer.flat is not flat
            or len(step.inputs.here) != batch_size
        ):
            step = SACStep(
                self._critics(critics, batch_size),
                self._actor_networks(flat),
                self._actor_optimizer(),
            )
        self._step = step
        optimizer = cast("FlatAdam | None", self.ent_coef_optimizer)
        if self._entropy is None or not self._entropy.still_holds(optimizer):
            self._entropy = Entropy(optimizer)
        self._entropy.target = cast("float", self.target_entropy)
        self._entropy.fixed = 0.0 if optimizer is not None else self.ent_coef_tensor.item()

    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        """Update entropy coefficient, critics, actor and target."""
        with flushed_denormals() if self.learner == FUSED else nullcontext():
            super().train(gradient_steps, batch_size)

    def _update(self, batch_size: int, *, follow: bool) -> dict[str, float]:
        if self.learner != FUSED:
            return super()._update(batch_size, follow=follow)
        assert self._step is not None
        assert self._entropy is not None
        with th.inference_mode():
            outcomes = self._draw(self._step.inputs, batch_size)
            losses = self._step.learn(outcomes, self._entropy, self.tau if follow else None)
        result = losses._asdict()
        if self.ent_coef_optimizer is None:
            del result["ent_coef_loss"]
        return result


def as_rows(observations: AnyArray) -> th.Tensor:
    """Return observations (E, S) as a contiguous float32 tensor, a copy."""
    return th.from_numpy(np.array(observations, dtype=np.float32, order="C"))
