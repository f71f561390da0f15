"""Memory and steps that the fused PPO and A2C share: for acting, updates and the optimizer."""

from typing import Any, NamedTuple

import numpy as np
import torch as th

from finrl_ray._typing import AnyArray, Float32Array
from finrl_ray.learners.flat.optimizers import (
    FlatAdam,
    FlatOptimizer,
    FlatRMSpropTFLike,
)
from finrl_ray.learners.networks import require_distribution
from finrl_ray.learners.on_policy.actor_critic import ActorCritic
from finrl_ray.learners.on_policy.kernels import (
    clipped_adam,
    clipped_rmsprop,
    gather,
    log_probability,
    policy_slopes,
    sample_actions,
    value_slopes,
)
from finrl_ray.learners.on_policy.per_ticker_rows import rows_of
from finrl_ray.learners.on_policy.small_batches import MOST_ROWS, act_on_rows, judge_rows

_f32 = np.float32


class Acting:
    """Memory for the actions of E accounts."""

    def __init__(self, networks: ActorCritic, n_rows: int) -> None:
        self.networks, self.rows = networks, rows_of(networks, n_rows)
        self._one_by_one = n_rows <= MOST_ROWS and not networks.per_ticker
        self._noise = th.zeros_like(self.rows.mean)
        self._mean_array, self._noise_array = self.rows.mean.numpy(), self._noise.numpy()
        widest = max(int(places[:, 2].max()) for places in networks.places)
        self._work: Float32Array = np.zeros((2, widest), dtype=_f32)

    def act(self, observations: th.Tensor) -> tuple[Float32Array, th.Tensor, th.Tensor]:
        """Return new actions (E, A), values (E, 1) and log probabilities (E,).

        Raises
        ------
        ValueError
            If the means or deviations of the policy are NaN, as torch says it.
        """
        networks, n_rows = self.networks, self.rows.n_rows
        self._noise.normal_()
        actions = np.empty_like(self._mean_array)
        log_probs: Float32Array = np.empty(n_rows, dtype=_f32)
        values: Float32Array = np.empty((n_rows, 1), dtype=_f32)
        if self._one_by_one:
            fine = act_on_rows(
                networks.values,
                networks.places,
                networks.is_tanh,
                observations.contiguous().numpy(),
                self._work,
                networks.log_std,
                self._noise_array,
                self._mean_array,
                (actions, log_probs, values),
            )
        else:
            self.rows.forward(observations)
            values[:] = self.rows.values.numpy()
            fine = sample_actions(
                self._mean_array, networks.log_std, self._noise_array, actions, log_probs
            )
        if not fine:
            require_distribution(self.rows.mean, th.from_numpy(np.exp(networks.log_std)))
        return actions, th.from_numpy(values), th.from_numpy(log_probs)

    def judge(self, observations: th.Tensor) -> th.Tensor:
        """Return values (E, 1) of observations (E, S)."""
        networks, n_rows = self.networks, self.rows.n_rows
        if not self._one_by_one:
            self.rows.forward(observations)
            return self.rows.values.clone()
        values: Float32Array = np.empty((n_rows, 1), dtype=_f32)
        seen = observations.contiguous().numpy()
        critic = networks.places[1]
        judge_rows(networks.values, critic, networks.is_tanh, seen, self._work, values)
        return th.from_numpy(values)


class Update:
    """Memory for the update by a minibatch of B steps."""

    def __init__(self, networks: ActorCritic, n_rows: int) -> None:
        self.networks = networks
        self.rows = rows_of(networks, n_rows)
        self.observations = th.zeros(n_rows, networks.n_entries)
        self.actions: Float32Array = np.zeros(self.rows.mean.shape, dtype=_f32)
        vectors = np.zeros((4, n_rows), dtype=_f32)
        self.vectors: Float32Array = vectors
        self.old_values, self.old_log_probs, self.advantages, self.returns = vectors
        self.log_probs: Float32Array = np.zeros(n_rows, dtype=_f32)
        self.weights: Float32Array = np.zeros(n_rows, dtype=_f32)
        self.scaled = np.zeros_like(self.actions)
        self._observation_array = self.observations.numpy()
        self._mean_array, self._value_array = self.rows.mean.numpy(), self.rows.values.numpy()

    def load(self, rows: AnyArray, arrays: tuple[AnyArray, ...]) -> None:
        """Copy a minibatch out of the rollout and evaluate the policy and the values on it."""
        gather(rows, arrays, self._observation_array, self.actions, self.vectors)
        self.rows.forward(self.observations)

    def evaluate_actions(self) -> float:
        """Fill the log probabilities of the actions; return the policy's entropy.

        Raises
        ------
        ValueError
            If the means or deviations of the policy are NaN, as torch says it.
        """
        log_std = self.networks.log_std
        entropy, fine = log_probability(
            self._mean_array, log_std, self.actions, self.scaled, self.log_probs
        )
        if not fine:
            require_distribution(self.rows.mean, th.from_numpy(np.exp(log_std)))
        return float(entropy)

    def fill_slopes(self, ent_coef: float, vf_coef: float, clip_range_vf: float) -> float:
        """Fill the slopes of both outputs from `weights`; return the loss of the values."""
        policy_slopes(
            self.weights,
            self.networks.log_std,
            self.scaled,
            ent_coef,
            self.rows.mean_slope,
            self.rows.mean_bias_slope,
            self.networks.log_std_slope,
        )
        loss = value_slopes(
            self._value_array,
            self.old_values,
            self.returns,
            clip_range_vf,
            vf_coef,
            self.rows.value_slope,
            self.rows.value_bias_slope,
        )
        return float(loss)


class Fused(NamedTuple):
    """What a model's fused learner works with, on the optimizer's present flat parameters."""

    networks: ActorCritic
    optimizer: FlatOptimizer
    acting: dict[int, Acting]
    updates: dict[int, Update]
    values: Float32Array
    gradients: Float32Array
    moments: list[Float32Array]


def step_flat(fused: Fused, scale: Any) -> None:
    """Take a step of the optimizer with the gradients times `scale`."""
    optimizer = fused.optimizer
    optimizer.count_step()
    if isinstance(optimizer, FlatAdam):
        average, square = fused.moments
        rates = (scale, *optimizer.step_rates())
        clipped_adam(fused.values, fused.gradients, average, square, rates)
        return
    settings = optimizer.settings
    alpha = settings["alpha"]
    settled = (scale, _f32(settings["lr"]), _f32(alpha), _f32(1 - alpha), _f32(settings["eps"]))
    eps_inside = isinstance(optimizer, FlatRMSpropTFLike)
    clipped_rmsprop(fused.values, fused.gradients, fused.moments[0], settled, eps_inside)
