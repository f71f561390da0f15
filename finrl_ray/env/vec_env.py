"""`StockTradingVecEnv`: E accounts as one SB3 VecEnv, stepped by one kernel call."""

import time
from collections.abc import Iterable, Sequence
from copy import deepcopy
from itertools import repeat
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from finrl_ray._typing import AnyArray, Float32Array
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.account_view import AccountView, env_spaces
from finrl_ray.env.constructor import DEFAULTS, build_accounts, build_table
from finrl_ray.env.rules import TradingRules
from finrl_ray.env.scaling import ObservationScaling
from finrl_ray.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

_INFO = {"TimeLimit.truncated": False}


class StockTradingVecEnv(VecEnv):
    """E accounts over one market, equal bit for bit to E `StockTradingEnv` in a DummyVecEnv.

    Beyond what DummyVecEnv's infos hold, the last info of an episode has `account_history` and
    Monitor's `episode` (r: summed rewards, l: steps, t: seconds since the env was built), so
    neither Monitor nor VecMonitor is needed, and `env_is_wrapped(Monitor)` says True.

    Parameters
    ----------
    market_data : MarketData, or a frame in FinRL's long format with `tech_indicator_list`
    n_envs : E
    hmax, buy_cost_pct, sell_cost_pct, num_stock_shares
        One value; N values, one per ticker; E values, one per account (if E is not N); or E rows
        of 1 or N. `hmax` may also be a mapping by ticker.
    initial_amount, turbulence_threshold, day : one value, or one per account
    previous_state : one state, or one per account; needs `initial=False`
    record_trades : keep executed shares per step (E * T * N numbers); False saves memory
    parity, observation_scaling, rules, and the others : as in `StockTradingEnv`

    Raises
    ------
    ConfigError
        If an argument does not fit the data or another argument.
    DataError
        If the data cannot be traded.
    """

    def __init__(
        self,
        market_data: "MarketData | pd.DataFrame",
        n_envs: int = 1,
        *,
        hmax: Any = None,
        initial_amount: Any = None,
        num_stock_shares: Any = None,
        buy_cost_pct: Any = None,
        sell_cost_pct: Any = None,
        reward_scaling: float | None = None,
        tech_indicator_list: Sequence[str] | None = None,
        turbulence_threshold: Any = None,
        risk_indicator_col: str = DEFAULTS.risk_indicator_col,
        day: Any = 0,
        initial: bool = True,
        previous_state: Sequence[Any] = (),
        parity: bool = DEFAULTS.parity,
        observation_scaling: ObservationScaling | None = None,
        record_trades: bool = True,
        **rules: Any,
    ) -> None:
        if not isinstance(n_envs, (int, np.integer)) or isinstance(n_envs, bool) or n_envs < 1:
            raise ConfigError(f"n_envs must be >= 1 and a whole number, got {n_envs!r}")
        n_envs = int(n_envs)
        chosen = TradingRules.from_options(rules, parity=parity)
        table = build_table(
            market_data,
            tech_indicator_list,
            chosen,
            scaling=observation_scaling,
            risk_name=risk_indicator_col,
        )
        self.accounts = build_accounts(
            table,
            chosen,
            n_envs=n_envs,
            reward_scaling=reward_scaling,
            record_trades=record_trades,
            values={
                "initial_amount": initial_amount,
                "num_stock_shares": num_stock_shares,
                "hmax": hmax,
                "buy_cost_pct": buy_cost_pct,
                "sell_cost_pct": sell_cost_pct,
                "turbulence_threshold": turbulence_threshold,
                "day": day,
                "initial": initial,
                "previous_state": previous_state,
            },
        )
        self.envs = [AccountView(self.accounts, index) for index in range(n_envs)]
        self._truncates = chosen.time_limit == "truncate"
        self._actions: AnyArray = np.zeros((n_envs, table.n_assets), dtype=np.float32)
        self.stepped: Float32Array | None = None
        """Observations of a step that compiled code has taken, for the next `step_wait` to give."""
        self._built_at = time.time()
        self.choices = self.envs[0].choices
        super().__init__(n_envs, *env_spaces(table, self.choices))

    # -- stepping -----------------------------------------------------------------------------

    def reset(self) -> Float32Array:
        """Reset every account with its pending seed and options; return observations (E, S)."""
        self.stepped = None  # a step of an interrupted rollout
        observations = np.empty((self.num_envs, *self._shape), dtype=np.float32)
        for index, view in enumerate(self.envs):
            options = self._options[index] or None
            observations[index], self.reset_infos[index] = view.reset(
                seed=self._seeds[index], options=options
            )
        self._reset_seeds()
        self._reset_options()
        return observations

    @property
    def _shape(self) -> tuple[int, ...]:
        assert self.observation_space.shape is not None
        return self.observation_space.shape

    def step_async(self, actions: AnyArray) -> None:
        """Keep the actions, of shape (E, N), for `step_wait`; or choices, as the space has them."""
        actions = np.asarray(actions)
        self._actions = actions if self.choices is None else self.choices.actions_of(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Step every account; those whose episode ends are reset, as in DummyVecEnv."""
        books = self.accounts.books
        observations, self.stepped = self.stepped, None
        if observations is None:
            observations = self.accounts.step(self._actions)
        rewards = books.records["reward"].astype(np.float32)
        dones = books.records["finished"].copy()
        # a dict of its own for each account, since callers may write into it
        infos: list[dict[str, Any]] = list(map(dict.copy, repeat(_INFO, self.num_envs)))
        if np.count_nonzero(dones):
            for index in np.flatnonzero(dones).tolist():
                infos[index] = self._end_episode(index, observations)
        return observations, rewards, dones, infos

    def _end_episode(self, index: int, observations: Float32Array) -> dict[str, Any]:
        """Return the last info of account `index`, and reset it."""
        history = self.accounts.history(index)
        rewards = self.accounts.scaled_rewards(index)
        lost = self.accounts.is_lost(index)
        if not self._truncates:
            rewards.append(rewards[-1])
        info = {
            "account_history": history,
            "episode": {
                "r": round(sum(rewards), 6),
                "l": len(rewards),
                "t": round(time.time() - self._built_at, 6),
            },
            "TimeLimit.truncated": self._truncates and not lost,
            "terminal_observation": observations[index].copy(),
        }
        observations[index], self.reset_infos[index] = self.envs[index].reset()
        return info

    def close(self) -> None:
        """Do nothing; there is nothing to release."""

    # -- access to single accounts ----------------------------------------------------------------

    def _views(self, indices: VecEnvIndices) -> list[AccountView]:
        chosen: Iterable[int] = self._get_indices(indices)
        return [self.envs[index] for index in chosen]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of the accounts, by the names of `AccountView`."""
        return [getattr(view, attr_name) for view in self._views(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the accounts, such as `turbulence_threshold` or `random_start`."""
        for view in self._views(indices):
            setattr(view, attr_name, value)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Call a method of the accounts, such as `get_state` or `save_asset_memory`."""
        return [
            getattr(view, method_name)(*method_args, **method_kwargs)
            for view in self._views(indices)
        ]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Return True for Monitor, whose `episode` entries this env makes itself."""
        return [issubclass(wrapper_class, Monitor) for _ in self._views(indices)]

    def get_images(self) -> Sequence[AnyArray | None]:
        """Return no images: accounts have none."""
        return [None for _ in range(self.num_envs)]

    # -- saving and restoring ---------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Return the states of all accounts and the pending seeds and options."""
        return {
            "accounts": [view.get_state() for view in self.envs],
            "seeds": list(self._seeds),
            "options": deepcopy(self._options),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue exactly where `get_state` was called, on an env built alike.

        Raises
        ------
        ConfigError
            If the number of accounts or the market differs.
        """
        if len(state["accounts"]) != self.num_envs:
            raise ConfigError(
                f"the state holds {len(state['accounts'])} accounts, this env has {self.num_envs}"
            )
        for view, account in zip(self.envs, state["accounts"], strict=True):
            view.set_state(account)
        self._seeds = list(state["seeds"])
        self._options = deepcopy(state["options"])
