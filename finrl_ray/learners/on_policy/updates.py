"""Memory that the fused PPO and A2C share: for updates, and all of it."""

from typing import NamedTuple

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
from finrl_ray.learners.on_policy.acting import Acting
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
from finrl_ray.learners.on_policy.planned_networks import plan_networks, steps_in_cache
from finrl_ray.machine.compiled_entry import EntryCalls

_f32 = np.float32
_KINDS = {FlatAdam: ADAM, FlatRMSprop: RMSPROP, FlatRMSpropTFLike: RMSPROP_TF_LIKE}


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

        self._calls = EntryCalls()
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
        done, ended = self._calls.for_arrays(run_epoch, arrays)(
            run_epoch,
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
