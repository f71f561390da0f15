"""PPO and A2C as SB3 trains them, bit for bit, in about half the time.

Networks are called as functions instead of through modules, the normal distribution of the actions
is written out, and the optimizer works on flat arrays. Every number is computed by the same
operations of torch in the same order.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch as th
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.utils import explained_variance
from torch.nn import functional

from finrl_ray._typing import Float32Array
from finrl_ray.learners.base import SB3
from finrl_ray.learners.flat.optimizers import FlatOptimizer, flatten_optimizer
from finrl_ray.learners.networks import Layers, layers_of, require_distribution, run_layers
from finrl_ray.learners.on_policy.per_ticker import (
    PerTickerExtractor,
    by_ticker,
    mean_over_tickers,
    one_action_each,
)
from finrl_ray.learners.on_policy.rollouts import OnPolicyLearner

_LOG_SQRT_TWO_PI = math.log(math.sqrt(2 * math.pi))
_ENTROPY = 0.5 + 0.5 * math.log(2 * math.pi)


class Minibatch(NamedTuple):
    """What SB3's rollout buffer gives for B steps: tensors of shape (B, ...)."""

    observations: th.Tensor
    actions: th.Tensor
    old_values: th.Tensor
    old_log_prob: th.Tensor
    advantages: th.Tensor
    returns: th.Tensor


class Networks(NamedTuple):
    """The policy as functions, and its optimizer."""

    actor: Layers
    """From observations to the mean of actions."""
    critic: Layers
    """From observations to values."""
    log_std: th.Tensor
    """(A,), a parameter."""
    optimizer: FlatOptimizer


class Loss(NamedTuple):
    """The loss of a minibatch and its parts, for the log."""

    loss: th.Tensor
    policy: th.Tensor
    value: th.Tensor
    entropy: th.Tensor


class ExactOnPolicy(OnPolicyLearner):
    """What the exact PPO and A2C share."""

    own_attributes: ClassVar[tuple[str, ...]] = ("_networks",)

    def _prepare_exact(self) -> None:
        policy: Any = self.policy
        optimizer = flatten_optimizer(policy.optimizer)
        optimizer.flat.attach_gradients()
        extractor = policy.mlp_extractor
        actor = layers_of(extractor.policy_net, policy.action_net)
        critic, value = layers_of(extractor.value_net), layers_of(policy.value_net)
        if isinstance(extractor, PerTickerExtractor):
            split = partial(by_ticker, n_tickers=extractor.n_tickers)
            actor = [split, *actor, one_action_each]
            critic = [split, *critic, mean_over_tickers]
        self._networks = Networks(actor, [*critic, *value], policy.log_std, optimizer)

    def _act(self, observations: th.Tensor) -> tuple[Float32Array, th.Tensor, th.Tensor]:
        networks = self._networks
        with th.no_grad():
            seen = observations.float()
            values = run_layers(networks.critic, seen)
            mean = run_layers(networks.actor, seen)
            std = th.ones_like(mean) * networks.log_std.exp()
            _check(mean, std)
            actions = mean + th.empty_like(mean).normal_() * std
            log_probs = log_probability(actions, mean, std)
        return actions.numpy(), values, log_probs

    def _best_actions(self, observations: th.Tensor) -> th.Tensor:
        return run_layers(self._networks.actor, observations)

    def _values_of(self, observations: th.Tensor) -> th.Tensor:
        with th.no_grad():
            return run_layers(self._networks.critic, observations.float())

    def _evaluate(self, batch: Minibatch) -> tuple[th.Tensor, th.Tensor, th.Tensor]:
        """Return values, log probabilities of the actions, and entropies, each of shape (B,)."""
        networks = self._networks
        seen = batch.observations.float()
        values = run_layers(networks.critic, seen)
        mean = run_layers(networks.actor, seen)
        std = th.ones_like(mean) * networks.log_std.exp()
        _check(mean.detach(), std.detach())
        log_prob = log_probability(batch.actions, mean, std)
        entropy = (_ENTROPY + th.log(std)).sum(1)
        return values.flatten(), log_prob, entropy

    def _minibatches(self, batch_size: int | None) -> Iterator[Minibatch]:
        """Yield what `rollout_buffer.get` yields, without its copies."""
        buffer: Any = self.rollout_buffer
        n_rows = buffer.buffer_size * buffer.n_envs
        order = np.random.permutation(n_rows)  # noqa: NPY002  # SB3's own random stream
        flatten_rollout(buffer)
        arrays = [getattr(buffer, name) for name in _ROLLOUT_ARRAYS]
        vectors = [array if k < 2 else array[:, 0] for k, array in enumerate(arrays)]
        size = n_rows if batch_size is None else batch_size
        for start in range(0, n_rows, size):
            rows = order[start : start + size]
            yield Minibatch(*(th.from_numpy(array[rows]) for array in vectors))

    def _mean_deviation(self) -> float:
        with th.no_grad():
            return float(th.exp(self._networks.log_std).mean().item())

    def _explained_variance(self) -> Any:
        buffer = self.rollout_buffer
        return explained_variance(buffer.values.flatten(), buffer.returns.flatten())

    def _take_step(self, loss: th.Tensor) -> None:
        """Move the parameters along the clipped gradient of a loss."""
        optimizer = self._networks.optimizer
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        clip_gradients(list(self.policy.parameters()), optimizer, self.max_grad_norm)
        optimizer.step()


_ROLLOUT_ARRAYS = ("observations", "actions", "values", "log_probs", "advantages", "returns")


def flatten_rollout(buffer: Any) -> None:
    """Bring a full rollout buffer from (T, E, ...) to (E * T, ...), as its `get` does."""
    if buffer.generator_ready:
        return
    for name in _ROLLOUT_ARRAYS:
        array = getattr(buffer, name)
        if buffer.n_envs > 1:
            array = buffer.swap_and_flatten(array)
        elif array.ndim > 2:
            array = array[:, 0]  # what comes of swapping and flattening, sooner
        setattr(buffer, name, array)
    buffer.generator_ready = True


def log_probability(actions: th.Tensor, mean: th.Tensor, std: th.Tensor) -> th.Tensor:
    """Return log densities (B,) of actions (B, A), by the operations of torch's Normal."""
    density = -((actions - mean) ** 2) / (2 * std**2) - std.log() - _LOG_SQRT_TWO_PI
    return density.sum(1)


def clip_gradients(
    parameters: list[th.nn.Parameter], optimizer: FlatOptimizer, max_norm: float
) -> None:
    """Do what `clip_grad_norm_` does, with one product instead of one for each parameter."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norms = th._foreach_norm(gradients, 2.0)
    total = th.linalg.vector_norm(th.stack(list(norms)), 2.0)
    optimizer.flat.gradients.mul_(th.clamp(max_norm / (total + 1e-6), max=1.0))


def _check(mean: th.Tensor, std: th.Tensor) -> None:
    # a finite sum has no NaN in it: only where it is not finite is each number checked
    total = float((mean.sum() + std.sum()).item())
    if not math.isfinite(total) or not bool((std[0] > 0).all()):
        require_distribution(mean, std)


class ExactPPO(ExactOnPolicy, PPO):
    """SB3's PPO, bit for bit, in less time; arguments, attributes and files are SB3's."""

    def train(self) -> None:
        """Update the policy on the rollouts that were collected last."""
        if self.learner == SB3:
            super().train()
            return
        self._update_learning_rate(self.policy.optimizer)
        progress = self._current_progress_remaining
        clip_range = self.clip_range(progress)  # type: ignore[operator]  # a schedule by now
        clip_range_vf = None
        if self.clip_range_vf is not None:
            clip_range_vf = self.clip_range_vf(progress)  # type: ignore[operator]
        parts: list[list[float]] = []
        for epoch in range(self.n_epochs):
            divergences: list[float] = []
            stopped = False
            for batch in self._minibatches(self.batch_size):
                loss, ratio, log_ratio = self._loss(batch, clip_range, clip_range_vf)
                with th.no_grad():
                    outside = th.mean((th.abs(ratio - 1) > clip_range).float()).item()
                    divergence = th.mean((th.exp(log_ratio) - 1) - log_ratio).numpy()
                parts.append([part.item() for part in loss[1:]] + [outside])
                divergences.append(divergence)  # type: ignore[arg-type]  # np.mean keeps its type
                if self.target_kl is not None and divergence > 1.5 * self.target_kl:
                    stopped = True
                    self._say_early_stop(epoch, float(divergence))
                    break
                self._take_step(loss.loss)
            self._n_updates += 1
            if stopped:
                break
        self._log(parts, divergences, loss.loss.item(), clip_range, clip_range_vf)

    def _loss(
        self, batch: Minibatch, clip_range: float, clip_range_vf: float | None
    ) -> tuple[Loss, th.Tensor, th.Tensor]:
        """Return the loss, and the ratios of probabilities and their logarithms, (B,) each."""
        values, log_prob, entropy = self._evaluate(batch)
        advantages = batch.advantages
        if self.normalize_advantage and len(advantages) > 1:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        log_ratio = log_prob - batch.old_log_prob
        ratio = th.exp(log_ratio)
        clipped = advantages * th.clamp(ratio, 1 - clip_range, 1 + clip_range)
        policy_loss = -th.min(advantages * ratio, clipped).mean()
        if clip_range_vf is not None:
            change = th.clamp(values - batch.old_values, -clip_range_vf, clip_range_vf)
            values = batch.old_values + change
        value_loss = functional.mse_loss(batch.returns, values)
        entropy_loss = -th.mean(entropy)
        loss = policy_loss + self.ent_coef * entropy_loss + self.vf_coef * value_loss
        return Loss(loss, policy_loss, value_loss, entropy_loss), ratio.detach(), log_ratio.detach()

    def _say_early_stop(self, epoch: int, divergence: float) -> None:
        if self.verbose >= 1:
            print(  # noqa: T201  # as SB3 does
                f"Early stopping at step {epoch} due to reaching max kl: {divergence:.2f}"
            )

    def _log(
        self,
        parts: list[list[float]],
        divergences: list[float],
        last_loss: float,
        clip_range: float,
        clip_range_vf: float | None,
    ) -> None:
        """Record what SB3 records.

        Parameters
        ----------
        parts : for each minibatch the losses of policy, values and entropy, and the share of ratios
            outside of the clip range
        divergences : approximate KL divergences of the last epoch's minibatches
        """
        policy_loss, value_loss, entropy_loss, outside = zip(*parts, strict=True)
        record, explained = self.logger.record, self._explained_variance()
        record("train/entropy_loss", np.mean(entropy_loss))
        record("train/policy_gradient_loss", np.mean(policy_loss))
        record("train/value_loss", np.mean(value_loss))
        record("train/approx_kl", np.mean(divergences))
        record("train/clip_fraction", np.mean(outside))
        record("train/loss", last_loss)
        record("train/explained_variance", explained)
        record("train/std", self._mean_deviation())
        record("train/n_updates", self._n_updates, exclude="tensorboard")
        record("train/clip_range", clip_range)
        if clip_range_vf is not None:
            record("train/clip_range_vf", clip_range_vf)


class ExactA2C(ExactOnPolicy, A2C):
    """SB3's A2C, bit for bit, in less time; arguments, attributes and files are SB3's."""

    def train(self) -> None:
        """Update the policy once on the rollouts that were collected last."""
        if self.learner == SB3:
            super().train()
            return
        self._update_learning_rate(self.policy.optimizer)
        (batch,) = self._minibatches(None)
        values, log_prob, entropy = self._evaluate(batch)
        advantages = batch.advantages
        if self.normalize_advantage:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        policy_loss = -(advantages * log_prob).mean()
        value_loss = functional.mse_loss(batch.returns, values)
        entropy_loss = -th.mean(entropy)
        loss = policy_loss + self.ent_coef * entropy_loss + self.vf_coef * value_loss
        self._take_step(loss)
        self._n_updates += 1
        self._log(policy_loss.item(), value_loss.item(), entropy_loss.item())

    def _log(self, policy_loss: float, value_loss: float, entropy_loss: float) -> None:
        """Record what SB3 records."""
        record, explained = self.logger.record, self._explained_variance()
        record("train/n_updates", self._n_updates, exclude="tensorboard")
        record("train/explained_variance", explained)
        record("train/entropy_loss", entropy_loss)
        record("train/policy_loss", policy_loss)
        record("train/value_loss", value_loss)
        record("train/std", self._mean_deviation())
