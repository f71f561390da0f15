"""What the fused PPO and A2C act with: memory for E accounts, and steps that Python takes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.buffers import RolloutBuffer

from finrl_ray._typing import AnyArray, Float32Array
from finrl_ray.learners.networks import require_distribution
from finrl_ray.learners.on_policy.actor_critic import ActorCritic
from finrl_ray.learners.on_policy.planned_networks import forward, plan_networks
from finrl_ray.learners.on_policy.run_steps import (
    Present,
    Rollout,
    act_and_store,
    finish_rollout,
)
from finrl_ray.learners.on_policy.small_batches import MOST_ROWS, judge_rows
from finrl_ray.learners.products.network import pack_weights
from finrl_ray.machine.compiled_entry import EntryCalls

_f32 = np.float32


class Acting:
    """Memory for the actions of E accounts.

    Parameters
    ----------
    networks : of the policy
    n_rows : E
    low, high : arrays of shape (A,)
        Bounds of actions, in the dtype of their space.
    """

    def __init__(self, networks: ActorCritic, n_rows: int, low: AnyArray, high: AnyArray) -> None:
        n_actions = len(networks.log_std)
        self.networks, self.n_rows = networks, n_rows
        self.mean: Float32Array = np.zeros((n_rows, n_actions), dtype=_f32)
        self._one_by_one = n_rows <= MOST_ROWS and not networks.per_ticker
        self._noise = th.zeros(n_rows, n_actions)
        self._noise_array: Float32Array = self._noise.numpy()
        widest = max(int(places[:, 2].max()) for places in networks.places)
        self._work: Float32Array = np.zeros((2, widest), dtype=_f32)
        self._planned = plan_networks(networks, n_rows)
        shape = n_rows, networks.n_entries
        self.now = Present(
            seen=np.zeros(shape, dtype=_f32),
            starts=np.zeros(n_rows, dtype=_f32),
            clipped=np.zeros((n_rows, n_actions), dtype=_f32),
            raw=np.zeros(shape, dtype=_f32),
            rewards=np.zeros(n_rows, dtype=_f32),
            low=np.ascontiguousarray(low, dtype=_f32),
            high=np.ascontiguousarray(high, dtype=_f32),
        )
        self._now = tuple(self.now)
        # bounds such as 0.1 are others in float32, and an env may refuse what is beyond its own
        self._bounds = None if low.dtype == _f32 else (low, high)
        self._calls = EntryCalls()

    def act(
        self,
        k: int,
        seen: AnyArray,
        starts: AnyArray,
        policy: tuple[Any, ...],
        rollout: tuple[Any, ...],
        call: Callable[..., Any],
    ) -> AnyArray:
        """Choose actions for what is seen (E, S), store them as step k, and return them clipped.

        Parameters
        ----------
        starts : array of shape (E,), where an episode begins
        policy : of `in_kernel`
        rollout : of `arrays_of`
        call : of `calls_with`, for this rollout

        Raises
        ------
        ValueError
            If the means or deviations of the policy are NaN, as torch says it.
        """
        now = self.now
        now.seen[:] = seen
        now.starts[:] = starts
        self._noise.normal_()
        if not call(act_and_store, k, policy, self._noise_array, self._now, rollout):
            self.require_distribution()
        if self._bounds is None:
            return now.clipped.copy()
        clipped: AnyArray = np.clip(Rollout(*rollout).actions[k], *self._bounds)
        return clipped

    def calls_with(self, rollout: tuple[Any, ...]) -> Callable[..., Any]:
        """Return what `act` calls compiled code by, for the arrays of a buffer as they are now."""
        return self._calls.for_arrays(act_and_store, rollout)

    def finish(self, buffer: RolloutBuffer, seen: AnyArray, dones: AnyArray) -> th.Tensor:
        """Fill a rollout's advantages and returns; return values (E, 1) of what is seen last.

        Parameters
        ----------
        seen : array of shape (E, S)
        dones : array of shape (E,), whose episodes the last step has ended
        """
        now = self.now
        now.seen[:] = seen
        now.starts[:] = dones
        values: Float32Array = np.empty((self.n_rows, 1), dtype=_f32)
        stored = buffer.rewards, buffer.values, buffer.episode_starts
        found = buffer.advantages, buffer.returns
        call = self._calls.for_arrays(finish_rollout, (*stored, *found))
        call(
            finish_rollout,
            self.in_kernel(),
            now.seen,
            values,
            stored,
            now.starts,
            _f32(buffer.gamma),
            _f32(buffer.gamma * buffer.gae_lambda),
            found,
        )
        return th.from_numpy(values)

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
            self._pack()
            forward(self._planned, networks.values, seen, self.mean, values)
        return th.from_numpy(values)

    def _pack(self) -> None:
        pack_weights(self._planned.plan, self.networks.values, self._planned.work)


def arrays_of(buffer: RolloutBuffer) -> tuple[Any, ...]:
    """Return the fields of `Rollout`."""
    return tuple(
        Rollout(
            buffer.observations,
            buffer.actions,
            buffer.rewards,
            buffer.values[:, :, np.newaxis],
            buffer.log_probs,
            buffer.episode_starts,
        )
    )


def filled_to(buffer: RolloutBuffer, n_steps: int) -> None:
    """Say that the first steps of a rollout have been stored."""
    buffer.pos = n_steps
    buffer.full = n_steps == buffer.buffer_size


def forget_from(buffer: RolloutBuffer, n_steps: int) -> None:
    """Empty a buffer of another rollout from the step on that this one has come to.

    Of that step everything is stored but what comes of it.
    """
    chosen = buffer.observations, buffer.actions, buffer.values, buffer.log_probs
    for array in (*chosen, buffer.episode_starts):
        array[n_steps + 1 :] = 0
    buffer.rewards[n_steps:] = 0
    buffer.advantages[:] = 0
    buffer.returns[:] = 0
    filled_to(buffer, n_steps)


class CompiledActions:
    """Steps of a rollout that Python takes, each chosen and stored by one compiled call.

    Parameters
    ----------
    acting_now : returns the memory for the actions, of the present parameters
    buffer : with room for the steps
    """

    def __init__(self, acting_now: Callable[[], Acting], buffer: RolloutBuffer) -> None:
        self._acting_now, self._buffer = acting_now, buffer
        self.look_again()

    def look_again(self) -> None:
        """Take parameters and buffer as they are now, after a callback has been called."""
        self._acting = self._acting_now()
        self._policy, self._rollout = self._acting.in_kernel(), arrays_of(self._buffer)
        self._call = self._acting.calls_with(self._rollout)

    def act(self, seen: AnyArray, starts: AnyArray) -> AnyArray:
        """Choose actions for what is seen (E, S), and return them clipped."""
        self._seen = seen
        stored = self._policy, self._rollout, self._call
        return self._acting.act(self._buffer.pos, seen, starts, *stored)

    def shown(self) -> tuple[th.Tensor, AnyArray, th.Tensor, th.Tensor]:
        """Return what was seen, actions, values (E, 1) and log probabilities, as SB3 has them."""
        _, actions, _, values, log_probs, _ = self._rollout
        k = self._buffer.pos
        chosen = actions[k], th.from_numpy(values[k]), th.from_numpy(log_probs[k])
        return th.as_tensor(self._seen), *chosen

    def store(self, rewards: AnyArray) -> None:
        """Store the step."""
        buffer, k = self._buffer, self._buffer.pos
        buffer.rewards[k] = rewards
        filled_to(buffer, k + 1)
