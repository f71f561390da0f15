"""`RecordedEnv`: a Gymnasium env of the user's whose episodes end with an `AccountHistory`."""

import time
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from finrl_ray.env.account_history import AccountHistory
from finrl_ray.env.adapters.adapter import EnvAdapter
from finrl_ray.env.own.account import AccountWindow, noted_date
from finrl_ray.env.own.construct import KIND
from finrl_ray.env.own.streams import global_streams, seed_global_streams, set_global_streams
from finrl_ray.errors import ConfigError
from finrl_ray.own_code.failures import calling

HISTORY_KEY = "account_history"
NO_ACCOUNT = (
    "an episode ended and nothing was said of the account, by which trials are compared: put "
    "info['account_history'] into the last step's info (a mapping with account_value, and dates "
    "where there is not one value for each day of the window), or info['account_value'] into the "
    "info of reset and of each step"
)


class RecordedEnv(gym.Wrapper[Any, Any, Any, Any]):
    """One env over each gapless part of a window, taken in turn, episode after episode.

    What is observed is of the observation space's type, whatever container the env returns it in;
    an observation or a reward that is not finite ends the trial with a message. The last info of an
    episode has `account_history` and Monitor's `episode`.

    Parameters
    ----------
    members : one env for each part
    windows : the account's window for each part
    reference : text of `env.class`, for messages
    adapter : of the package that the class comes from
    training : False in evaluation, where the account covers the window, and where a first or a
        seeded reset seeds python's and numpy's global streams too, so that what an env draws from
        them repeats; whoever evaluates puts them back, as `evaluate_episodes` does
    whole_only : refuse an account that has no dates and does not cover its window
    """

    def __init__(
        self,
        members: Sequence[gym.Env[Any, Any]],
        windows: Sequence[AccountWindow],
        reference: str,
        adapter: EnvAdapter | None,
        *,
        training: bool,
        whole_only: bool = False,
    ) -> None:
        super().__init__(members[0])
        self._members, self._windows = list(members), list(windows)
        self._reference, self._adapter = reference, adapter
        self._training, self._whole_only = training, whole_only
        self._next, self._part = 0, 0
        self._seeded = training
        self._built_at = time.time()
        self._begin()

    def _begin(self) -> None:
        self._rewards: list[float] = []
        self._values: list[Any] = []
        self._dates: list[Any] = []
        self._rows: list[tuple[float, ...]] = []
        self._actions: list[Any] = []
        self._start: dict[str, Any] = {}

    # -- episodes -----------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode in the next part of the window."""
        self._part = self._next
        self._next = (self._part + 1) % len(self._members)
        self.env = self._members[self._part]
        if not self._training and (seed is not None or not self._seeded):
            seed = 0 if seed is None else seed
            seed_global_streams(seed)
            self._seeded = True
        self._begin()
        if self._adapter is not None:
            self._start = self._streams_at_start(seed, options)
        with calling(self._reference, KIND):
            result = self.env.reset(seed=seed, options=options)
        if not isinstance(result, tuple) or len(result) != 2:
            raise self._refuse(f"reset() must return (observation, info), got {_shape_of(result)}")
        observation, info = result
        if self._adapter is not None:
            with calling(self._reference, KIND):
                self._adapter.started(self.env.unwrapped)
        self._note(info, "reset()")
        return self._observed(observation, "reset()"), dict(info)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step the env, and end an episode with its account."""
        if self._adapter is not None:
            self._actions.append(np.array(action))
        with calling(self._reference, KIND):
            result = self.env.step(action)
        if not isinstance(result, tuple) or len(result) != 5:
            raise self._refuse(
                "step() must return (observation, reward, terminated, truncated, info), got "
                f"{_shape_of(result)}"
            )
        observation, reward, terminated, truncated, info = result
        terminated, truncated = bool(terminated), bool(truncated)
        self._rewards.append(self._reward(reward))
        info = dict(info)
        self._note(info, "step()")
        if self._adapter is not None and self._adapter.ended(self.env.unwrapped):
            terminated = True
        if terminated or truncated:
            info |= self._last_info(info, terminated=terminated)
        return self._observed(observation, "step()"), self._rewards[-1], terminated, truncated, info

    def close(self) -> None:
        """Close the envs of all parts."""
        for env in self._members:
            with calling(self._reference, KIND, "when it was closed"):
                env.close()

    def _refuse(self, what: str) -> ConfigError:
        return ConfigError(f"env.class {self._reference}: {self._windows[0].where}: {what}")

    def _reward(self, reward: Any) -> float:
        try:
            value = float(reward)
        except (TypeError, ValueError):
            raise self._refuse(f"step() must pay a number, got {_shape_of(reward)}") from None
        if not np.isfinite(value):
            raise self._refuse(
                f"step() {len(self._rewards) + 1} of an episode paid {value}, and a reward must be "
                "a finite number; look at what it divides by and takes the logarithm of"
            )
        return value

    def _observed(self, observation: Any, what: str) -> Any:
        return self._checked(observation, self.observation_space, what)

    def _checked(self, observation: Any, space: spaces.Space[Any], what: str) -> Any:
        if isinstance(space, spaces.Dict):
            if not isinstance(observation, dict) or set(observation) != set(space.spaces):
                raise self._refuse(
                    f"{what} must return a dict with {sorted(space.spaces)}, as its "
                    f"observation_space says, got {_shape_of(observation)}"
                )
            return {
                key: self._checked(observation[key], part, f"{what}[{key!r}]")
                for key, part in space.spaces.items()
            }
        if not isinstance(space, spaces.Box):
            return observation
        try:
            values = np.asarray(observation, dtype=space.dtype)
        except (TypeError, ValueError):
            raise self._refuse(
                f"{what} must return an array of numbers, got {_shape_of(observation)}"
            ) from None
        if values.shape != space.shape:
            raise self._refuse(
                f"{what} returned an observation of shape {values.shape}, and its "
                f"observation_space says {space.shape}"
            )
        if not bool(np.isfinite(values).all()):
            place = np.argwhere(~np.isfinite(values))[0].tolist()
            raise self._refuse(
                f"{what} {len(self._rewards)} of an episode returned an observation that is not "
                f"finite at {place}; fill what is missing, or leave such a column out"
            )
        return values

    # -- the account ------------------------------------------------------------------------------

    def _note(self, info: Any, what: str) -> None:
        if not isinstance(info, dict):
            raise self._refuse(f"the info of {what} must be a dict, got {_shape_of(info)}")
        inner = self.env.unwrapped
        if self._adapter is not None:
            with calling(self._reference, KIND):
                self._adapter.note(inner, self._rows)
            return
        value = info.get("account_value", getattr(inner, "account_value", None))
        if isinstance(value, int | float | np.number | np.ndarray) and np.size(value) == 1:
            self._values.append(float(np.asarray(value).item()))
            if "date" in info:
                self._dates.append(noted_date(info["date"]))

    def _last_info(self, info: dict[str, Any], *, terminated: bool) -> dict[str, Any]:
        given = self._account(info)
        history = self._windows[self._part].history(
            given,
            self._rewards,
            whole=not self._training,
            ended=terminated and not self._whole_only,
        )
        length = len(self._rewards)
        seconds = round(time.time() - self._built_at, 6)
        total = round(sum(self._rewards), 6)
        return {HISTORY_KEY: history, "episode": {"r": total, "l": length, "t": seconds}}

    def _account(self, info: dict[str, Any]) -> Any:
        """Return what is known of the episode's account, by the first way in which any is."""
        inner, window = self.env.unwrapped, self._windows[self._part]
        if info.get(HISTORY_KEY) is not None:
            return info[HISTORY_KEY]
        if self._adapter is not None:
            with calling(self._reference, KIND):
                return self._adapter.history(inner, self._rows, window.market, window.config)
        if self._values:
            return self._noted_account()
        memory = getattr(inner, "asset_memory", None)
        if memory is not None and len(memory):
            return {"account_value": memory, "dates": getattr(inner, "date_memory", None)}
        raise self._refuse(NO_ACCOUNT)

    def _noted_account(self) -> dict[str, Any]:
        values, steps = list(self._values), len(self._rewards)
        start = getattr(self.env.unwrapped, "initial_amount", None)
        if len(values) == steps and isinstance(start, int | float):
            values.insert(0, float(start))
        if len(values) != steps + 1:
            raise self._refuse(
                f"account_value was said {len(values)} times in an episode of {steps} steps; say "
                "it in the info of reset too, and in that of every step"
            )
        dates = self._dates if len(self._dates) == len(values) else None
        number = next((date for date in dates or () if not isinstance(date, str)), None)
        if number is not None:
            raise self._refuse(
                f"info['date'] must be a day, such as '2020-01-31' or a time stamp, got the number "
                f"{number!r}, which could be days or nanoseconds; leave it out where account_value "
                "is said on each day of the window"
            )
        return {"account_value": values, "dates": dates}

    @property
    def covered(self) -> tuple[int, int]:
        """Rows that the latest episode's account was about; see `AccountWindow`."""
        return self._windows[self._part].covered

    # -- saving and restoring ---------------------------------------------------------------------

    @property
    def state_missing(self) -> str:
        """Why there is no exact state; empty where there is one."""
        if self._adapter is not None:
            return ""
        where = self._windows[0].where
        for env in self._members:
            wrapped = isinstance(env, gym.Wrapper)
            # a wrapper has a state beside the env's, so one that only passes names on does not do
            owner: Any = type(env) if wrapped else env
            lacks = [
                name
                for name in ("get_state", "set_state")
                if not callable(getattr(owner, name, None))
            ]
            if lacks:
                who = f"the wrapper {type(env).__name__} of {where}" if wrapped else where
                return f"{who} has no {' and no '.join(lacks)}"
        return ""

    def get_state(self) -> dict[str, Any]:
        """Return everything that the rest of the episode, and later ones, depend on.

        Only where `state_missing` is empty.
        """
        state: dict[str, Any] = {"part": self._part, "next": self._next}
        if self._adapter is not None:
            actions = np.array(self._actions) if self._actions else None
            return {**state, "start": self._start, "actions": actions}
        members: list[Any] = self._members  # all of which have these methods
        with calling(self._reference, KIND):
            inner = [saved.get_state() for saved in members]
        noted = {"rewards": list(self._rewards), "values": list(self._values)}
        return {**state, **noted, "dates": list(self._dates), "members": inner}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where `get_state` was called, in an env built alike."""
        self._part, self._next = int(state["part"]), int(state["next"])
        self.env = self._members[self._part]
        if self._adapter is not None:
            self._repeat(state)
        else:
            with calling(self._reference, KIND):
                members: list[Any] = self._members
                for saved, inner in zip(members, state["members"], strict=True):
                    saved.set_state(inner)
            self._begin()
            self._rewards, self._values = list(state["rewards"]), list(state["values"])
            self._dates = list(state["dates"])

    def _streams_at_start(self, seed: int | None, options: Any) -> dict[str, Any]:
        """Return what the episode that is about to begin will draw from."""
        own = getattr(self.env.unwrapped, "_np_random", None)
        return {
            "seed": seed,
            "options": options,
            "generator": None if own is None else own.bit_generator.state,
            "global": global_streams(),
        }

    def _repeat(self, state: dict[str, Any]) -> None:
        """Take the steps of a saved episode again."""
        start, actions = state["start"], state["actions"]
        inner = self.env.unwrapped
        if start["generator"] is not None:
            inner._np_random = np.random.Generator(np.random.PCG64())
            inner._np_random.bit_generator.state = start["generator"]
        kept, part = self._next, self._part
        own = global_streams()
        training, self._training = self._training, True  # streams as they were, not seeded anew
        try:
            set_global_streams(start["global"])
            self._next = part
            self.reset(seed=start["seed"], options=start["options"])
            for action in () if actions is None else actions:
                self.step(action)
        finally:
            self._training = training
            set_global_streams(own)
        self._next, self._start = kept, start


def _shape_of(value: Any) -> str:
    if isinstance(value, tuple):
        return f"{len(value)} values"
    return f"a {type(value).__name__}"


def history_in(info: dict[str, Any]) -> AccountHistory | None:
    """Return the account in an info, if there is one."""
    found = info.get(HISTORY_KEY)
    return found if isinstance(found, AccountHistory) else None
