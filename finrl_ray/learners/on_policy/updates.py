"""Memory that the fused PPO and A2C share: for acting and for updates."""

from typing import Any, NamedTuple

import numpy as np
import torch as th

from finrl_ray._typing import AnyArray, Float32Array, FloatArray
from finrl_ray.learners.flat.optimizers import (
    FlatAdam,
    FlatOptimizer,
    FlatRMSprop,
    FlatRMSpropTFLike,
)
from finrl_ray.learners.networks import require_distribution
from finrl_ray.learners.on_policy.actor_critic import ActorCritic
from finrl_ray.learners.on_policy.epoch import (
    ADAM,
    RMSPROP,
    RMSPROP_TF_LIKE,
    STOPPED,
    UNDEFINED,
    Loss,
    Memory,
    Optimizing,
    run_epoch,
)
from finrl_ray.learners.on_policy.kernels import sample_actions
from finrl_ray.learners.on_policy.planned_networks import (
    forward,
    plan_networks,
    steps_in_cache,
)
from finrl_ray.learners.on_policy.small_batches import MOST_ROWS, act_on_rows, judge_rows
from finrl_ray.learners.products.network import pack_weights

_f32 = np.float32
_KINDS = {FlatAdam: ADAM, FlatRMSprop: RMSPROP, FlatRMSpropTFLike: RMSPROP_TF_LIKE}


class Acting:
    """Memory for the actions of E accounts."""

    def __init__(self, networks: ActorCritic, n_rows: int) -> None:
        n_actions = len(networks.log_std)
        self.networks, self.n_rows = networks, n_rows
        self.mean: Float32Array = np.zeros((n_rows, n_actions), dtype=_f32)
        self._one_by_one = n_rows <= MOST_ROWS and not networks.per_ticker
        self._noise = th.zeros(n_rows, n_actions)
        self._noise_array: Float32Array = self._noise.numpy()
        widest = max(int(places[:, 2].max()) for places in networks.places)
        self._work: Float32Array = np.zeros((2, widest), dtype=_f32)
        self._planned = plan_networks(networks, n_rows)

    def act(self, observations: th.Tensor) -> tuple[Float32Array, th.Tensor, th.Tensor]:
        """Return new actions (E, A), values (E, 1) and log probabilities (E,).

        Raises
        ------
        ValueError
            If the means or deviations of the policy are NaN, as torch says it.
        """
        networks, n_rows = self.networks, self.n_rows
        self._noise.normal_()
        actions = np.empty_like(self.mean)
        log_probs: Float32Array = np.empty(n_rows, dtype=_f32)
        values: Float32Array = np.empty((n_rows, 1), dtype=_f32)
        seen = observations.contiguous().numpy()
        if self._one_by_one:
            fine = act_on_rows(
                networks.values,
                networks.places,
                networks.is_tanh,
                seen,
                self._work,
                networks.log_std,
                self._noise_array,
                self.mean,
                (actions, log_probs, values),
            )
        else:
            self._forward(seen, values)
            fine = sample_actions(
                self.mean, networks.log_std, self._noise_array, actions, log_probs
            )
        if not fine:
            self.require_distribution()
        return actions, th.from_numpy(values), th.from_numpy(log_probs)

    def require_distribution(self) -> None:
        """Raise what torch raises if the means or deviations that acted last are NaN."""
        log_std = self.networks.log_std
        require_distribution(th.from_numpy(self.mean), th.from_numpy(np.exp(log_std)))

    def in_kernel(self) -> tuple[Any, ...]:
        """Return the fields of `run_steps.Policy`, for the parameters as they are now."""
        networks = self.networks
        if not self._one_by_one:
            self._pack()
        places = networks.values, networks.places, networks.is_tanh
        memory = networks.log_std, self._work, self.mean
        return (*places, *memory, tuple(self._planned), self._one_by_one)

    def judge(self, observations: th.Tensor) -> th.Tensor:
        """Return values (E, 1) of observations (E, S)."""
        networks = self.networks
        values: Float32Array = np.empty((self.n_rows, 1), dtype=_f32)
        seen = observations.contiguous().numpy()
        if self._one_by_one:
            critic = networks.places[1]
            judge_rows(networks.values, critic, networks.is_tanh, seen, self._work, values)
        else:
            self._forward(seen, values)
        return th.from_numpy(values)

    def _pack(self) -> None:
        pack_weights(self._planned.plan, self.networks.values, self._planned.work)

    def _forward(self, seen: Float32Array, values: Float32Array) -> None:
        """Fill `mean` and values (E, 1) for what is seen (E, S)."""
        self._pack()
        forward(self._planned, self.networks.values, seen, self.mean, values)


class Update:
    """Memory for updates by minibatches of up to B steps, a piece of one at a time.

    Parameters
    ----------
    networks : of the policy
    n_rows : B
    whole : a minibatch is one piece, since what it shows decides whether it is learned from
    """

    def __init__(self, networks: ActorCritic, n_rows: int, *, whole: bool) -> None:
        self.networks, self.n_rows, self.whole = networks, n_rows, whole
        self.piece = n_rows if whole else min(n_rows, steps_in_cache(networks))
        self.planned = plan_networks(networks, self.piece)
        n_actions, n_steps = len(networks.log_std), self.piece

        def zeros(*shape: int) -> Float32Array:
            return np.zeros(shape, dtype=_f32)

        self.memory = Memory(
            old_values=zeros(n_rows),
            old_log_probs=zeros(n_rows),
            advantages=zeros(n_rows),
            returns=zeros(n_rows),
            observations=zeros(n_steps, networks.n_entries),
            actions=zeros(n_steps, n_actions),
            scaled=zeros(n_steps, n_actions),
            log_probs=zeros(n_steps),
            weights=zeros(n_steps),
            values=zeros(n_steps, 1),
            value_slopes=zeros(n_steps, 1),
        )

    def run(
        self,
        fused: "Fused",
        order: AnyArray,
        batch_size: int,
        arrays: tuple[AnyArray, ...],
        loss: Loss,
    ) -> tuple[FloatArray, bool]:
        """Update by each minibatch of an epoch.

        Returns
        -------
        tuple
            For each minibatch the five numbers that `run_epoch` fills; and whether the divergence
            has stopped the epoch.

        Raises
        ------
        ValueError
            If the means or deviations of the policy are NaN, as torch says it.
        """
        optimizer = fused.optimizer
        parts = np.zeros((-(-len(order) // batch_size), 5))
        done, ended = run_epoch(
            order,
            batch_size,
            arrays,
            self.planned,
            self.memory,
            self.networks.log_std_place,
            loss,
            optimizing(fused),
            optimizer.n_steps,
            self.piece,
            parts,
        )
        optimizer.count_steps(done - (ended == STOPPED))
        if ended == UNDEFINED:
            self._require_distribution()
            # what torch takes, such as deviations without an end, gives a gradient of NaN
            fused.values.fill(np.nan)
            parts[done:] = np.nan
            done = len(parts)
        return parts[:done], ended == STOPPED

    def _require_distribution(self) -> None:
        means = th.from_numpy(self.planned.means)
        require_distribution(means, th.from_numpy(np.exp(self.networks.log_std)))


class Fused(NamedTuple):
    """What a model's fused learner works with, on the optimizer's present flat parameters."""

    networks: ActorCritic
    optimizer: FlatOptimizer
    acting: dict[int, Acting]
    updates: dict[int, Update]
    values: Float32Array
    gradients: Float32Array
    moments: list[Float32Array]


def optimizing(fused: Fused) -> Optimizing:
    """Return a model's optimizer for compiled code."""
    optimizer, settings, moments = fused.optimizer, fused.optimizer.settings, fused.moments
    beta1, beta2 = settings.get("betas", (settings.get("alpha"), 0.0))
    kind = _KINDS[type(optimizer)]
    arrays = fused.values, fused.gradients, moments[0], moments[-1]
    return Optimizing(*arrays, kind, *map(float, (settings["lr"], beta1, beta2, settings["eps"])))
