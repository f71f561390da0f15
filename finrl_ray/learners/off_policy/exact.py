"""`ExactSAC`, `ExactTD3` and `ExactDDPG`: SB3's algorithms, bit for bit, with less overhead.

The same operations on the same numbers in the same order, without modules and distribution objects
around them; optimizers and moving averages work on flat arrays; gradients of the critics that SB3
computes in an actor's update, and throws away, are not computed. `train` is SB3's own otherwise:
names, logged values and random numbers are the same.
"""

import math
from typing import ClassVar, NamedTuple

import numpy as np
import torch as th
from stable_baselines3 import DDPG, SAC, TD3
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN, SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import nn
from torch.nn import functional

from finrl_ray._typing import AnyArray
from finrl_ray.learners.base import SB3
from finrl_ray.learners.flat.optimizers import (
    FlatOptimizer,
    flatten_optimizer,
    reason_against_flat,
)
from finrl_ray.learners.flat.parameters import FlatParameters
from finrl_ray.learners.forward.policy import are_rows, compiled_actions
from finrl_ray.learners.networks import (
    layers_of,
    reason_against_policy,
    reason_against_spaces,
    require_distribution,
    run_layers,
)
from finrl_ray.learners.off_policy.rollouts import OffPolicyLearner, as_input

_LOG_SQRT_TWO_PI = math.log(math.sqrt(2 * math.pi))


class Averaged:
    """A network and its target side by side: the moving average is one operation on flat arrays.

    Parameters
    ----------
    network : with an optimizer, `network.optimizer`, that is flat
    target : a network of the same shape
    """

    def __init__(self, network: nn.Module, target: nn.Module) -> None:
        optimizer: FlatOptimizer = network.optimizer  # type: ignore[assignment]  # flat, see above
        self.optimizer, self.flat = optimizer, optimizer.flat
        partner = dict(zip(network.parameters(), target.parameters(), strict=True))
        # in the order of the optimizer, which may be another than the network's
        order = [
            partner[part] if isinstance(part, th.Tensor) else [partner[one] for one in part]
            for part in self.flat.order
        ]
        self.target = FlatParameters(order, with_gradients=False)

    def still_holds(self) -> bool:
        """Return whether both networks still lie in the flat arrays."""
        return self.optimizer.flat is self.flat and self.target.still_hold()

    def follow(self, tau: float) -> None:
        """Move the target towards the network by a fraction `tau` of the difference."""
        values = self.target.values
        with th.no_grad():
            values.mul_(1 - tau)
            th.add(values, self.flat.values, alpha=tau, out=values)


def descend(loss: th.Tensor, optimizer: FlatOptimizer) -> None:
    """Take a step of an optimizer down a loss; only gradients of its parameters are computed."""
    flat = optimizer.flat
    flat.attach_gradients()
    flat.fill_gradients(th.autograd.grad(loss, flat.parameters))
    optimizer.step()


class ExactOffPolicy(OffPolicyLearner):
    """What the exact learners of SAC, TD3 and DDPG share."""

    own_attributes: ClassVar[tuple[str, ...]] = ("_critic_pair", "_actor_pair")
    policy_kind: ClassVar[type[SACPolicy | TD3Policy]]
    network_names: ClassVar[tuple[str, ...]]
    _critic_pair: Averaged | None = None
    _actor_pair: Averaged | None = None

    def _reason_against_exact(self) -> str:
        networks = [getattr(self.policy, name) for name in self.network_names]
        return (
            ("use_sde is set" if self.use_sde else "")
            or reason_against_spaces(self.observation_space, self.action_space)
            or reason_against_policy(self.policy, self.policy_kind, networks)
            or reason_against_flat(self.actor.optimizer)  # type: ignore[arg-type]  # an optimizer
            or reason_against_flat(self.critic.optimizer)  # type: ignore[attr-defined]  # of SAC, TD3
        )

    def _prepare_exact(self) -> None:
        self._critic_pair = self._actor_pair = None
        flatten_optimizer(self.actor.optimizer)  # type: ignore[arg-type]  # an optimizer
        flatten_optimizer(self.critic.optimizer)  # type: ignore[attr-defined]  # of SAC and TD3

    def _averaged_critic(self) -> Averaged:
        """Return critic and target on flat arrays, made anew where something has replaced them."""
        if self._critic_pair is None or not self._critic_pair.still_holds():
            self._critic_pair = Averaged(self.critic, self.critic_target)  # type: ignore[attr-defined]  # of SAC, TD3
        return self._critic_pair

    def _averaged_actor(self) -> Averaged:
        if self._actor_pair is None or not self._actor_pair.still_holds():
            self._actor_pair = Averaged(self.actor, self.actor_target)  # type: ignore[attr-defined]  # of TD3
        return self._actor_pair

    def _sample(self, batch_size: int) -> tuple[ReplayBufferSamples, th.Tensor | float]:
        """Return a batch of transitions, and the discounts of the values of next observations."""
        assert self.replay_buffer is not None
        batch = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
        batch = batch._replace(
            observations=batch.observations.float(),
            next_observations=batch.next_observations.float(),
        )
        return batch, self.gamma if batch.discounts is None else batch.discounts


class ExactTD3(ExactOffPolicy, TD3):
    """SB3's TD3, bit for bit, with less overhead."""

    policy_kind = TD3Policy
    network_names = ("actor", "actor_target", "critic", "critic_target")

    def _best_actions(self, observations: th.Tensor) -> th.Tensor:
        return run_layers(layers_of(self.actor.mu), observations)

    def _explore(self, observations: AnyArray) -> AnyArray:
        with th.inference_mode():
            return run_layers(layers_of(self.actor.mu), as_input(observations)).numpy()

    def _choose(self, observations: AnyArray) -> AnyArray:
        # what is explored is noise around the deterministic actions
        if are_rows(self, observations):
            actions = compiled_actions(self, observations)
            if actions is not None:
                return actions
        return super()._choose(observations)

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Update critics, actor and targets, as SB3 does."""
        if self.learner == SB3:
            super().train(gradient_steps, batch_size)
            return
        self._update_learning_rate([self.actor.optimizer, self.critic.optimizer])
        critic_losses, actor_losses = self._update_often(gradient_steps, batch_size)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        if actor_losses:
            self.logger.record("train/actor_loss", _mean(actor_losses))
        self.logger.record("train/critic_loss", _mean(critic_losses))

    def _update_often(
        self, gradient_steps: int, batch_size: int
    ) -> tuple[list[float], list[float]]:
        """Update on some batches, and count that; return losses of critics and of the actor."""
        actor_losses: list[float] = []
        critic_losses: list[float] = []
        for _ in range(gradient_steps):
            self._n_updates += 1
            with_actor = self._n_updates % self.policy_delay == 0
            critic_loss, actor_loss = self._update(batch_size, with_actor=with_actor)
            critic_losses.append(critic_loss)
            if with_actor:
                actor_losses.append(actor_loss)
        return critic_losses, actor_losses

    def _update(self, batch_size: int, *, with_actor: bool) -> tuple[float, float]:
        """Update the critics, and actor and targets if asked for; return both losses."""
        batch, discounts = self._sample(batch_size)
        pair = self._averaged_critic()
        critics = [layers_of(network) for network in self.critic.q_networks]
        wanted = self._wanted_values(batch, discounts)
        both = th.cat([batch.observations, batch.actions], dim=1)
        loss = sum(functional.mse_loss(run_layers(critic, both), wanted) for critic in critics)
        assert isinstance(loss, th.Tensor)
        critic_loss = loss.item()
        descend(loss, self.critic.optimizer)  # type: ignore[arg-type]  # flat
        if not with_actor:
            return critic_loss, math.nan
        actions = run_layers(layers_of(self.actor.mu), batch.observations)
        both = th.cat([batch.observations, actions], dim=1)
        actor_loss = -run_layers(critics[0], both).mean()
        actor_pair = self._averaged_actor()
        descend(actor_loss, self.actor.optimizer)  # type: ignore[arg-type]  # flat
        pair.follow(self.tau)
        actor_pair.follow(self.tau)
        return critic_loss, actor_loss.item()

    @th.no_grad()
    def _wanted_values(self, batch: ReplayBufferSamples, discounts: th.Tensor | float) -> th.Tensor:
        """Return the values that the critics are trained towards, of shape (B, 1)."""
        noise = th.empty_like(batch.actions).normal_(0, self.target_policy_noise)
        noise = noise.clamp(-self.target_noise_clip, self.target_noise_clip)
        chosen = run_layers(layers_of(self.actor_target.mu), batch.next_observations)
        both = th.cat([batch.next_observations, (chosen + noise).clamp(-1, 1)], dim=1)
        values = _lowest(self.critic_target.q_networks, both)
        return batch.rewards + (1 - batch.dones) * discounts * values


class ExactDDPG(ExactTD3, DDPG):
    """SB3's DDPG, bit for bit, with less overhead."""


class SquashedActions(NamedTuple):
    """Actions drawn from SAC's actor.

    Attributes
    ----------
    actions : tensor of shape (B, A)
        Within [-1, 1].
    log_prob : tensor of shape (B, 1)
        Logarithm of their probability density.
    """

    actions: th.Tensor
    log_prob: th.Tensor


class ExactSAC(ExactOffPolicy, SAC):
    """SB3's SAC, bit for bit, with less overhead."""

    policy_kind = SACPolicy
    network_names = ("actor", "critic", "critic_target")

    def _prepare_exact(self) -> None:
        super()._prepare_exact()
        if self.ent_coef_optimizer is not None:
            flatten_optimizer(self.ent_coef_optimizer)

    def _gaussian(self, observations: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """Return mean and deviation of actions before they are squashed, of shape (B, A)."""
        hidden = run_layers(layers_of(self.actor.latent_pi), observations)
        mean = run_layers(layers_of(self.actor.mu), hidden)
        log_std = run_layers(layers_of(self.actor.log_std), hidden)  # type: ignore[arg-type]  # a layer
        std = th.ones_like(mean) * th.clamp(log_std, LOG_STD_MIN, LOG_STD_MAX).exp()
        if not math.isfinite((mean.detach() + std.detach()).sum().item()):
            require_distribution(mean, std)
        return mean, std

    def _best_actions(self, observations: th.Tensor) -> th.Tensor:
        return th.tanh(run_layers(layers_of(self.actor.latent_pi, self.actor.mu), observations))

    def _explore(self, observations: AnyArray) -> AnyArray:
        with th.inference_mode():
            mean, std = self._gaussian(as_input(observations))
            return th.tanh(mean + _standard_normal(mean) * std).numpy()

    def _act(self, observations: th.Tensor) -> SquashedActions:
        """Draw an action for each observation."""
        mean, std = self._gaussian(observations)
        drawn = mean + _standard_normal(mean) * std
        actions = th.tanh(drawn)
        variance = std**2
        density = -((drawn - mean) ** 2) / (2 * variance) - std.log() - _LOG_SQRT_TWO_PI
        log_prob = density.sum(dim=1)
        log_prob -= th.sum(th.log(1 - actions**2 + 1e-6), dim=1)
        return SquashedActions(actions, log_prob.reshape(-1, 1))

    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        """Update entropy coefficient, critics, actor and target, as SB3 does."""
        if self.learner == SB3:
            super().train(gradient_steps, batch_size)
            return
        optimizers = [self.actor.optimizer, self.critic.optimizer]
        if self.ent_coef_optimizer is not None:
            optimizers += [self.ent_coef_optimizer]
        self._update_learning_rate(optimizers)
        losses = self._update_often(gradient_steps, batch_size)
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        for name, values in losses.items():
            self.logger.record(f"train/{name}", _mean(values))

    def _update_often(self, gradient_steps: int, batch_size: int) -> dict[str, list[float]]:
        """Update on some batches; return losses and coefficients by their logged names."""
        losses: dict[str, list[float]] = {}
        for step in range(gradient_steps):
            follow = step % self.target_update_interval == 0
            for name, value in self._update(batch_size, follow=follow).items():
                losses.setdefault(name, []).append(value)
        return losses

    def _update(self, batch_size: int, *, follow: bool) -> dict[str, float]:
        """Update on one batch; return losses and the entropy coefficient by their logged names."""
        batch, discounts = self._sample(batch_size)
        pair = self._averaged_critic()
        drawn = self._act(batch.observations)
        coefficient, losses = self._learn_entropy(drawn.log_prob)
        wanted = self._wanted_values(batch, discounts, coefficient)
        critics = [layers_of(network) for network in self.critic.q_networks]
        both = th.cat([batch.observations, batch.actions], dim=1)
        loss = 0.5 * sum(
            functional.mse_loss(run_layers(critic, both), wanted) for critic in critics
        )
        assert isinstance(loss, th.Tensor)
        critic_loss = loss.item()
        descend(loss, self.critic.optimizer)  # type: ignore[arg-type]  # flat
        both = th.cat([batch.observations, drawn.actions], dim=1)
        values = _lowest(self.critic.q_networks, both)
        actor_loss = (coefficient * drawn.log_prob - values).mean()
        descend(actor_loss, self.actor.optimizer)  # type: ignore[arg-type]  # flat
        if follow:
            pair.follow(self.tau)
        return {
            "ent_coef": coefficient.item(),
            "actor_loss": actor_loss.item(),
            "critic_loss": critic_loss,
            **losses,
        }

    def _learn_entropy(self, log_prob: th.Tensor) -> tuple[th.Tensor, dict[str, float]]:
        """Return the coefficient before its update, and the update's loss if it is learned."""
        if self.ent_coef_optimizer is None or self.log_ent_coef is None:
            return self.ent_coef_tensor, {}
        coefficient = th.exp(self.log_ent_coef.detach())
        assert isinstance(self.target_entropy, float)
        loss = -(self.log_ent_coef * (log_prob + self.target_entropy).detach()).mean()
        self.ent_coef_optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # of torch
        self.ent_coef_optimizer.step()
        return coefficient, {"ent_coef_loss": loss.item()}

    @th.no_grad()
    def _wanted_values(
        self,
        batch: ReplayBufferSamples,
        discounts: th.Tensor | float,
        coefficient: th.Tensor,
    ) -> th.Tensor:
        """Return the values that the critics are trained towards, of shape (B, 1)."""
        following = self._act(batch.next_observations)
        both = th.cat([batch.next_observations, following.actions], dim=1)
        values = _lowest(self.critic_target.q_networks, both)
        values = values - coefficient * following.log_prob
        return batch.rewards + (1 - batch.dones) * discounts * values


def _mean(values: list[float]) -> float:
    return values[0] if len(values) == 1 else float(np.mean(values))


def _standard_normal(like: th.Tensor) -> th.Tensor:
    return th.normal(th.zeros_like(like), th.ones_like(like))


def _lowest(networks: list[nn.Module], inputs: th.Tensor) -> th.Tensor:
    """Return the lowest of the networks' values, of shape (B, 1)."""
    values = th.cat([run_layers(layers_of(network), inputs) for network in networks], dim=1)
    return th.min(values, dim=1, keepdim=True)[0]
