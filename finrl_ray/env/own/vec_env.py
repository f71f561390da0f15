"""`OwnVecEnv` and `OwnGivenVecEnv`: envs of the user's as the vec env that agents train in."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from finrl_ray._typing import AnyArray
from finrl_ray.env.own.account import AccountWindow
from finrl_ray.env.own.construct import KIND
from finrl_ray.env.own.recorded_env import HISTORY_KEY, NO_ACCOUNT, RecordedEnv
from finrl_ray.env.own.streams import seed_global_streams
from finrl_ray.errors import ConfigError
from finrl_ray.own_code.failures import calling


class OwnVecEnv(DummyVecEnv):
    """Envs of the user's, one account each, stepped one after the other.

    Parameters
    ----------
    envs : one for each account
    """

    def __init__(self, envs: Sequence[RecordedEnv]) -> None:
        super().__init__([lambda env=env: env for env in envs])  # type: ignore[misc]  # mypy infers no type of a default
        self._recorded = list(envs)

    @property
    def covered(self) -> tuple[int, int]:
        """Rows that the first account's latest episode was about; see `AccountWindow`."""
        return self._recorded[0].covered

    @property
    def state_missing(self) -> str:
        """Why there is no exact state; empty where there is one."""
        return self._recorded[0].state_missing

    def get_state(self) -> dict[str, Any]:
        """Return the state of every account, or why there is none under `missing`."""
        if self.state_missing:
            return {"missing": self.state_missing}
        return {
            "accounts": [env.get_state() for env in self._recorded],
            "seeds": list(self._seeds),
            "options": deepcopy(self._options),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where `get_state` was called; nothing happens where there was no state."""
        if "missing" in state:
            return
        for env, account in zip(self._recorded, state["accounts"], strict=True):
            env.set_state(account)
        self._seeds = list(state["seeds"])
        self._options = deepcopy(state["options"])

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Return True for Monitor, whose `episode` entries these envs make themselves."""
        if issubclass(wrapper_class, Monitor):
            return [True for _ in self._get_indices(indices)]
        return super().env_is_wrapped(wrapper_class, indices)


class OwnGivenVecEnv(VecEnv):
    """A VecEnv of the user's, whose accounts' last infos are put into one form.

    Parameters
    ----------
    inner : the user's
    window : that its accounts trade in
    reference : text of `env.class`, for messages
    training, whole_only : as of `RecordedEnv`
    """

    def __init__(
        self,
        inner: VecEnv,
        window: AccountWindow,
        reference: str,
        *,
        training: bool,
        whole_only: bool = False,
    ) -> None:
        super().__init__(inner.num_envs, inner.observation_space, inner.action_space)
        self.inner = inner
        self._window, self._reference = window, reference
        self._training, self._whole_only = training, whole_only
        self._rewards: list[list[float]] = [[] for _ in range(self.num_envs)]
        self._values: list[list[float]] = [[] for _ in range(self.num_envs)]
        self._seeded = False

    @property
    def covered(self) -> tuple[int, int]:
        """Rows that the latest account was about; see `AccountWindow`."""
        return self._window.covered

    @property
    def state_missing(self) -> str:
        """Why there is no exact state; empty where there is one."""
        lacks = [
            n for n in ("get_state", "set_state") if not callable(getattr(self.inner, n, None))
        ]
        return f"{self._window.where} has no {' and no '.join(lacks)}" if lacks else ""

    def _refuse(self, what: str) -> ConfigError:
        return ConfigError(f"env.class {self._reference}: {self._window.where}: {what}")

    def _calling(self) -> Any:
        return calling(self._reference, KIND)

    def reset(self) -> Any:
        """Reset the inner env with the pending seeds."""
        seeds = [seed for seed in self._seeds if seed is not None]
        if not self._training and not self._seeded:
            seeds = seeds or [0]
        if seeds:
            self._seeded = True
            self.inner.seed(seeds[0])
            if not self._training:
                seed_global_streams(seeds[0])
        self._reset_seeds()
        self._reset_options()
        with self._calling():
            observations = self.inner.reset()
        self.reset_infos = list(getattr(self.inner, "reset_infos", self.reset_infos))
        for index in range(self.num_envs):
            self._rewards[index] = []
            self._values[index] = self._noted(self.reset_infos[index])
        return self._observed(observations)

    def step_async(self, actions: AnyArray) -> None:
        """Pass the actions on."""
        with self._calling():
            self.inner.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Step, and put the account of each episode that ends into one form."""
        with self._calling():
            observations, rewards, dones, infos = self.inner.step_wait()
        rewards = np.asarray(rewards, dtype=np.float32)
        if not bool(np.isfinite(rewards).all()):
            raise self._refuse(
                f"step() paid {rewards.tolist()}, and rewards must be finite numbers"
            )
        infos = [dict(info) for info in infos]
        for index in range(self.num_envs):
            self._rewards[index].append(float(rewards[index]))
            if dones[index]:
                infos[index] |= self._last_info(index, infos[index])
            else:
                self._values[index] += self._noted(infos[index])
        return self._observed(observations), rewards, np.asarray(dones, dtype=bool), infos

    def _observed(self, observations: Any) -> Any:
        parts = observations.values() if isinstance(observations, dict) else [observations]
        for part in parts:
            if not bool(np.isfinite(np.asarray(part)).all()):
                raise self._refuse("an observation is not finite; fill what is missing")
        return observations

    @staticmethod
    def _noted(info: dict[str, Any]) -> list[float]:
        value = info.get("account_value")
        return [] if value is None else [float(np.asarray(value).item())]

    def _last_info(self, index: int, info: dict[str, Any]) -> dict[str, Any]:
        given, values = info.get(HISTORY_KEY), self._values[index] + self._noted(info)
        rewards = self._rewards[index]
        if given is None:
            if len(values) != len(rewards) + 1:
                raise self._refuse(NO_ACCOUNT)
            given = {"account_value": values}
        history = self._window.history(
            given,
            rewards,
            whole=not self._training,
            ended=not info.get("TimeLimit.truncated", False) and not self._whole_only,
        )
        self._rewards[index] = []
        resets = getattr(self.inner, "reset_infos", [{}] * self.num_envs)
        self._values[index] = self._noted(resets[index])
        episode = {"r": round(sum(rewards), 6), "l": len(rewards), "t": 0.0}
        return {HISTORY_KEY: history, "episode": info.get("episode", episode)}

    def close(self) -> None:
        """Close the inner env."""
        self.inner.close()

    def get_state(self) -> dict[str, Any]:
        """Return the inner env's state, or why there is none under `missing`."""
        if self.state_missing:
            return {"missing": self.state_missing}
        with self._calling():
            inner = self.inner.get_state()  # type: ignore[attr-defined]  # as state_missing says
        return {
            "inner": inner,
            "rewards": deepcopy(self._rewards),
            "values": deepcopy(self._values),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where `get_state` was called; nothing happens where there was no state."""
        if "missing" in state:
            return
        with self._calling():
            self.inner.set_state(state["inner"])  # type: ignore[attr-defined]  # as it was captured
        self._rewards, self._values = deepcopy(state["rewards"]), deepcopy(state["values"])

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of the inner env's accounts."""
        return self.inner.get_attr(attr_name, indices)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the inner env's accounts."""
        self.inner.set_attr(attr_name, value, indices)

    def env_method(
        self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """Call a method of the inner env's accounts."""
        return self.inner.env_method(method_name, *args, indices=indices, **kwargs)

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Return True for Monitor, whose `episode` entries are made here."""
        if issubclass(wrapper_class, Monitor):
            return [True for _ in self._get_indices(indices)]
        return self.inner.env_is_wrapped(wrapper_class, indices)

    def get_images(self) -> Sequence[AnyArray | None]:
        """Return no images."""
        return [None for _ in range(self.num_envs)]
