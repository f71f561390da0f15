"""`FusedSAC`, `FusedTD3` and `FusedDDPG`: updates written out, equal to SB3's to rounding.

Forward, gradients, Adam and moving averages are one compiled call for all updates of a `train`; it
works on arrays that share memory with the parameters of the policy. Random numbers are SB3's. What
is not written out, the exact learners do.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import cast

import numpy as np
import torch as th
from stable_baselines3.common.buffers import ReplayBuffer
from torch import nn

from finrl_ray._typing import AnyArray, FloatArray
from finrl_ray.learners.base import FUSED
from finrl_ray.learners.flat.denormals import flushed_denormals
from finrl_ray.learners.flat.optimizers import FlatAdam, flatten_optimizer
from finrl_ray.learners.flat.parameters import FlatParameters
from finrl_ray.learners.forward.policy import forward_of
from finrl_ray.learners.networks import linear_layers
from finrl_ray.learners.off_policy.acting import BestActor, CompiledActor, compiled_actor
from finrl_ray.learners.off_policy.compiled_rollouts import Actor, CompiledRollouts
from finrl_ray.learners.off_policy.critics import Drawn
from finrl_ray.learners.off_policy.exact import ExactDDPG, ExactSAC, ExactTD3
from finrl_ray.learners.off_policy.exploring import ExploringActor, SquashedActor
from finrl_ray.learners.off_policy.plans import Planner
from finrl_ray.learners.off_policy.updates import (
    ACTIVATIONS,
    MOST_UPDATES,
    Batches,
    EntropyUpdates,
    GatheringBuffer,
    Moving,
    SACUpdates,
    TD3Updates,
    n_updates_of,
    parameter_order,
    side_by_side,
)
from finrl_ray.machine.compiled_cache import compiler_is_off


class FusedOffPolicy(CompiledRollouts):
    """What the fused learners of SAC, TD3 and DDPG share."""

    wanted = FUSED
    own_attributes = (*CompiledRollouts.own_attributes, "_updates", "_explorer", "_actor")
    _explorer: tuple[FlatParameters, int, ExploringActor] | None = None

    def _actor_layers(self) -> list[list[nn.Linear]]:
        """Return the actor's linear layers; those that share an input count as one layer."""
        raise NotImplementedError

    def _critic_layers(self) -> list[list[nn.Linear]]:
        return [linear_layers(network) for network in self.critic.q_networks]  # type: ignore[attr-defined]  # of SAC, TD3

    def _activation(self) -> type[nn.Module]:
        return cast("type[nn.Module]", self.policy.activation_fn)

    def _reason_against_fused(self) -> str:
        if compiler_is_off():
            return "Numba's compiler is switched off"
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

    def _new_explorer(self, n_rows: int) -> ExploringActor:
        return ExploringActor(
            self._actor_optimizer().flat, self._actor_layers(), self._activation(), n_rows
        )

    def _exploring(self, n_rows: int) -> ExploringActor:
        """Return the actor for E rows, made anew for other parameters or another E."""
        flat = self._actor_optimizer().flat
        if self._explorer is None or self._explorer[0] is not flat or self._explorer[1] != n_rows:
            self._explorer = flat, n_rows, self._new_explorer(n_rows)
        return self._explorer[2]

    def _draw(self, batches: Batches, n_updates: int) -> Iterator[tuple[int, Drawn]]:
        """Draw transitions for updates; yield them, with the number of updates before them."""
        buffer = self.replay_buffer
        assert buffer is not None
        is_plain = (
            type(buffer) is ReplayBuffer
            and self._vec_normalize_env is None
            and not buffer.optimize_memory_usage
            and buffer.observations.dtype == buffer.actions.dtype == np.float32
        )
        gathers = (
            isinstance(buffer, GatheringBuffer)
            and buffer.gathers
            and not buffer.optimize_memory_usage
            and self._vec_normalize_env is None
        )
        for first in range(0, n_updates, MOST_UPDATES if is_plain else 1):
            if is_plain:
                n = min(MOST_UPDATES, n_updates - first)
                yield first, batches.draw(buffer, n, self.gamma)
            elif gathers:
                yield first, batches.gather(buffer, self.gamma)
            else:
                yield first, batches.take(*self._sample(batches.n_rows))

    def _planner(self, batch_size: int) -> Planner:
        observed, acted = self.observation_space.shape, self.action_space.shape
        assert observed is not None  # both are a Box
        assert acted is not None
        return Planner(batch_size, observed[0], acted[0], self._activation())


class FusedTD3(FusedOffPolicy, ExactTD3):
    """SB3's TD3 with its updates written out."""

    _updates: TD3Updates | None = None
    _actor: BestActor | None = None

    def _actor_layers(self) -> list[list[nn.Linear]]:
        return [[layer] for layer in linear_layers(self.actor.mu)]

    def _explore(self, observations: AnyArray) -> AnyArray:
        if self.learner != FUSED:
            return super()._explore(observations)
        actor = self._exploring(len(observations))
        with th.inference_mode():
            actor.forward(as_rows(observations))
            return actor.output.tanh_().numpy().copy()

    def _compiled_actor(self, n_rows: int) -> Actor | None:
        forward = forward_of(self)
        found = None if forward is None else forward.arguments(n_rows)
        if forward is None or found is None:
            return None
        if self._actor is None or self._actor.found is not found:
            n_observed = self.observation_space.shape[0]  # type: ignore[index]  # a Box
            self._actor = BestActor(self, forward, found, n_observed)
        return self._actor

    def _updates_for(self, batch_size: int) -> TD3Updates:
        """Return the memory for updates, made anew where something has been replaced."""
        critics, actors = self._averaged_critic(), self._averaged_actor()
        updates = self._updates
        if (
            updates is None
            or not updates.critic.still_holds(critics.target)
            or not updates.actor.still_holds(actors.target)
            or updates.n_rows != batch_size
        ):
            self._updates = updates = TD3Updates(
                self._planner(batch_size),
                self._actor_layers(),
                side_by_side(self._critic_layers()),
                Moving(self._actor_optimizer(), actors.target),
                Moving(cast("FlatAdam", critics.optimizer), critics.target),
            )
        return updates

    def _update_often(
        self, gradient_steps: int, batch_size: int
    ) -> tuple[list[float], list[float]]:
        if self.learner != FUSED:
            return super()._update_often(gradient_steps, batch_size)
        updates = self._updates_for(batch_size)
        losses: list[FloatArray] = []
        for _, transitions in self._draw(updates.batches, gradient_steps):
            losses.append(
                updates.run(
                    transitions,
                    noise=self.target_policy_noise,
                    clip=self.target_noise_clip,
                    tau=self.tau,
                    n_updates=self._n_updates,
                    policy_delay=self.policy_delay,
                )
            )
            self._n_updates += n_updates_of(transitions)
        of_critics, of_actor = np.concatenate(losses).T
        numbers = self._n_updates + 1 + np.arange(-gradient_steps, 0)
        return of_critics.tolist(), of_actor[numbers % self.policy_delay == 0].tolist()

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Update critics, actor and targets."""
        with flushed_denormals() if self.learner == FUSED else nullcontext():
            super().train(gradient_steps, batch_size)


class FusedDDPG(FusedTD3, ExactDDPG):
    """SB3's DDPG with its updates written out."""


class FusedSAC(FusedOffPolicy, ExactSAC):
    """SB3's SAC with its updates written out."""

    own_attributes = (*FusedOffPolicy.own_attributes, "_entropy", "_squashed")
    _entropy: EntropyUpdates | None = None
    _updates: SACUpdates | None = None
    _squashed: SquashedActor | None = None
    _actor: CompiledActor | None = None

    def _actor_layers(self) -> list[list[nn.Linear]]:
        hidden = [[layer] for layer in linear_layers(self.actor.latent_pi)]
        return [*hidden, linear_layers(self.actor.mu, cast("nn.Module", self.actor.log_std))]

    def _squashing(self, n_rows: int) -> SquashedActor:
        actor = self._exploring(n_rows)
        if self._squashed is None or self._squashed.actor is not actor:
            self._squashed = SquashedActor(actor)
        return self._squashed

    def _explore(self, observations: AnyArray) -> AnyArray:
        if self.learner != FUSED:
            return super()._explore(observations)
        squashed = self._squashing(len(observations))
        with th.inference_mode():
            return squashed.draw(as_rows(observations))

    def _compiled_actor(self, n_rows: int) -> Actor | None:
        squashed, actor = self._squashing(n_rows), self._actor
        if actor is None or actor.squashed is not squashed:
            self._actor = actor = compiled_actor(self, squashed)
        return actor if actor is not None and actor.agrees() else None

    def _updates_for(self, batch_size: int) -> SACUpdates:
        """Return the memory for updates, made anew where something has been replaced."""
        critics, updates = self._averaged_critic(), self._updates
        if (
            updates is None
            or not updates.critic.still_holds(critics.target)
            or not updates.actor.still_holds()
            or updates.n_rows != batch_size
        ):
            self._updates = updates = SACUpdates(
                self._planner(batch_size),
                self._actor_layers(),
                side_by_side(self._critic_layers()),
                Moving(self._actor_optimizer()),
                Moving(cast("FlatAdam", critics.optimizer), critics.target),
            )
        return updates

    def _entropy_updates(self) -> EntropyUpdates:
        optimizer = cast("FlatAdam | None", self.ent_coef_optimizer)
        if self._entropy is None or not self._entropy.still_holds(optimizer):
            self._entropy = EntropyUpdates(optimizer)
        self._entropy.target = cast("float", self.target_entropy)
        self._entropy.fixed = 0.0 if optimizer is not None else self.ent_coef_tensor.item()
        return self._entropy

    def _update_often(self, gradient_steps: int, batch_size: int) -> dict[str, list[float]]:
        if self.learner != FUSED:
            return super()._update_often(gradient_steps, batch_size)
        updates, entropy = self._updates_for(batch_size), self._entropy_updates()
        found: list[FloatArray] = []
        for first, transitions in self._draw(updates.batches, gradient_steps):
            found.append(
                updates.run(
                    transitions,
                    entropy,
                    tau=self.tau,
                    first=first,
                    interval=self.target_update_interval,
                )
            )
        values = np.concatenate(found).T.tolist()
        names = ["ent_coef", "actor_loss", "critic_loss", "ent_coef_loss"]
        if self.ent_coef_optimizer is None:
            names.pop()
        return dict(zip(names, values, strict=False))

    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        """Update entropy coefficient, critics, actor and target."""
        with flushed_denormals() if self.learner == FUSED else nullcontext():
            super().train(gradient_steps, batch_size)


def as_rows(observations: AnyArray) -> th.Tensor:
    """Return observations (E, S) as a contiguous float32 tensor, a copy."""
    return th.from_numpy(np.array(observations, dtype=np.float32, order="C"))
