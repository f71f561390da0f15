"""PPO and A2C with rollouts and updates written out on the memory of SB3's policy.

Forward, gradients and the optimizer's step are products of torch into arrays that are made once,
and compiled elementwise passes between them. Random numbers, minibatches and formulas are SB3's, so
an update differs from SB3's by rounding alone; parameters, optimizer and buffers stay SB3's own
objects throughout.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import MaybeCallback
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray._typing import AnyArray
from finrl_ray.learners.base import FUSED
from finrl_ray.learners.flat.denormals import flushed_denormals
from finrl_ray.learners.flat.optimizers import (
    FlatOptimizer,
    flatten_optimizer,
)
from finrl_ray.learners.on_policy.acting import Acting, CompiledActions
from finrl_ray.learners.on_policy.actor_critic import (
    ActorCritic,
    parameter_order,
    reason_against_arrays,
)
from finrl_ray.learners.on_policy.compiled_rollouts import CompiledRollouts
from finrl_ray.learners.on_policy.epoch import Loss
from finrl_ray.learners.on_policy.exact import (
    ExactA2C,
    ExactPPO,
    flatten_rollout,
)
from finrl_ray.learners.on_policy.kernels import explained_variance, mean_deviation
from finrl_ray.learners.on_policy.rollouts import StoredSteps
from finrl_ray.learners.on_policy.unseen_rollouts import UnseenRollouts
from finrl_ray.learners.on_policy.updates import Fused, Update
from finrl_ray.machine.compiled_cache import compiler_is_off

_f32 = np.float32


class FusedOnPolicy(CompiledRollouts):
    """What the fused PPO and A2C share."""

    wanted = FUSED
    own_attributes = (*CompiledRollouts.own_attributes, "_fused")

    def _reason_against_fused(self) -> str:
        if compiler_is_off():
            return "Numba's compiler is switched off"
        if np.dtype(self.observation_space.dtype) != _f32:
            return f"observations are of {self.observation_space.dtype}"
        return reason_against_arrays(self.policy)

    def _prepare_fused(self) -> None:
        policy: Any = self.policy
        self._fused = self._on_flat(flatten_optimizer(policy.optimizer, parameter_order(policy)))

    def _on_flat(self, optimizer: FlatOptimizer) -> Fused:
        flat = optimizer.flat
        return Fused(
            ActorCritic(self.policy, flat),
            optimizer,
            {},
            {},
            flat.values.numpy(),
            flat.gradients.numpy(),
            [moment.numpy() for moment in optimizer.moments],
        )

    def _current(self) -> Fused:
        """Return the memory, made anew where something has replaced parameters or moments."""
        fused = self._fused
        if fused.optimizer.flat is not fused.networks.flat:
            self._fused = fused = self._on_flat(fused.optimizer)
        return fused

    def _acting(self, n_rows: int) -> Acting:
        fused = self._fused
        if not fused.optimizer.works_on(fused.networks.flat):
            fused = self._current()  # a callback has loaded parameters in the middle of a rollout
        if n_rows not in fused.acting:
            space: Any = self.action_space
            fused.acting[n_rows] = Acting(fused.networks, n_rows, space.low, space.high)
        return fused.acting[n_rows]

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: RolloutBuffer,
        n_rollout_steps: int,
    ) -> bool:
        """Fill the rollout buffer as SB3 does; False if a callback has stopped training."""
        to_fill = rollout_buffer, n_rollout_steps
        if self.learner == FUSED:
            self._current()
            compiled = None
            if env.num_envs == self.n_envs and self._has_room(*to_fill):
                compiled = self._compiled_steps(env, callback)
            if compiled is not None:
                return self._collect_compiled(compiled, env, callback, *to_fill)
        return super().collect_rollouts(env, callback, *to_fill)

    def _steps(self, rollout_buffer: RolloutBuffer, n_rollout_steps: int) -> StoredSteps:
        if self.learner != FUSED or not self._has_room(rollout_buffer, n_rollout_steps):
            return super()._steps(rollout_buffer, n_rollout_steps)
        return CompiledActions(partial(self._acting, self.n_envs), rollout_buffer)

    def _values_of(self, observations: th.Tensor) -> th.Tensor:
        if self.learner != FUSED:
            return super()._values_of(observations)
        return self._acting(len(observations)).judge(observations)

    def _finish_rollout(
        self, rollout_buffer: RolloutBuffer, seen: AnyArray, dones: AnyArray
    ) -> th.Tensor:
        if self.learner != FUSED:
            return super()._finish_rollout(rollout_buffer, seen, dones)
        return self._acting(rollout_buffer.n_envs).finish(rollout_buffer, seen, dones)

    def _update_for(self, fused: Fused, n_rows: int, *, whole: bool) -> Update:
        kept = fused.updates.get(n_rows)
        if kept is None or kept.whole != whole:
            kept = fused.updates[n_rows] = Update(fused.networks, n_rows, whole=whole)
        return kept

    def _rollout_arrays(self) -> tuple[AnyArray, ...]:
        buffer = self.rollout_buffer
        flatten_rollout(buffer)
        return (
            buffer.observations,
            buffer.actions,
            buffer.values,
            buffer.log_probs,
            buffer.advantages,
            buffer.returns,
        )

    def train(self) -> None:
        """Update the policy on the rollouts that were collected last."""
        if self.learner != FUSED:
            super().train()
            return
        with flushed_denormals():
            self._train_fused()

    def _train_fused(self) -> None:
        raise NotImplementedError

    def _mean_deviation(self) -> float:
        if self.learner != FUSED:
            return super()._mean_deviation()
        return float(mean_deviation(self._fused.networks.log_std))

    def _explained_variance(self) -> Any:
        if self.learner != FUSED:
            return super()._explained_variance()
        buffer = self.rollout_buffer
        return float(explained_variance(buffer.values, buffer.returns))


class FusedPPO(FusedOnPolicy, ExactPPO):
    """SB3's PPO with its rollouts and updates written out; arguments and files are SB3's."""

    def _train_fused(self) -> None:
        self._update_learning_rate(self.policy.optimizer)
        progress = self._current_progress_remaining
        clip_range = float(self.clip_range(progress))  # type: ignore[operator]  # a schedule by now
        clip_range_vf = None
        if self.clip_range_vf is not None:
            clip_range_vf = float(self.clip_range_vf(progress))  # type: ignore[operator]
        loss = self._loss_settings(clip_range, clip_range_vf)
        fused, arrays = self._current(), self._rollout_arrays()
        n_rows = len(arrays[0])
        size = min(self.batch_size, n_rows)
        update = self._update_for(fused, size, whole=self.target_kl is not None)
        parts: list[list[float]] = []
        for epoch in range(self.n_epochs):
            order = np.random.permutation(n_rows)  # noqa: NPY002  # SB3's own random stream
            done, stopped = update.run(fused, order, self.batch_size, arrays, loss)
            parts += done[:, :4].tolist()
            divergences = done[:, 4].tolist()
            self._n_updates += 1
            if stopped:
                self._say_early_stop(epoch, divergences[-1])
                break
        policy_loss, value_loss, entropy_loss, _ = parts[-1]
        last = policy_loss + self.ent_coef * entropy_loss + self.vf_coef * value_loss
        self._log(parts, divergences, last, clip_range, clip_range_vf)

    def _loss_settings(self, clip_range: float, clip_range_vf: float | None) -> Loss:
        return Loss(
            clip_range=clip_range,
            clip_range_vf=math.nan if clip_range_vf is None else clip_range_vf,
            ent_coef=float(self.ent_coef),
            vf_coef=float(self.vf_coef),
            target_kl=math.nan if self.target_kl is None else float(self.target_kl),
            normalize=bool(self.normalize_advantage),
            max_grad_norm=float(self.max_grad_norm),
        )


class FusedA2C(UnseenRollouts, FusedOnPolicy, ExactA2C):
    """SB3's A2C with its rollouts and updates written out; arguments and files are SB3's."""

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 100,
        tb_log_name: str = "A2C",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Any:
        """Train as SB3 does; rollouts that nobody has to see are taken by themselves."""
        given = callback, log_interval, tb_log_name, reset_num_timesteps, progress_bar
        # a subclass may do more in a rollout, or in an update
        if type(self) is not FusedA2C:
            return super().learn(total_timesteps, *given)
        self._learn_unseen(total_timesteps, *given)
        return self

    def _train_fused(self) -> None:
        self._update_learning_rate(self.policy.optimizer)
        self._current()
        self._learn_from(self._rollout_arrays())

    def _learn_from(self, arrays: tuple[AnyArray, ...]) -> None:
        fused = self._fused
        n_rows = len(arrays[0])
        order = np.random.permutation(n_rows)  # noqa: NPY002  # SB3's own random stream
        loss = Loss(
            clip_range=math.nan,
            clip_range_vf=math.nan,
            ent_coef=float(self.ent_coef),
            vf_coef=float(self.vf_coef),
            target_kl=math.nan,
            normalize=bool(self.normalize_advantage),
            max_grad_norm=float(self.max_grad_norm),
        )
        update = self._update_for(fused, n_rows, whole=False)
        parts, _ = update.run(fused, order, n_rows, arrays, loss)
        policy_loss, value_loss, entropy_loss = parts[-1, :3].tolist()
        self._n_updates += 1
        self._log(policy_loss, value_loss, entropy_loss)
