"""`CompiledSteps`: the accounts of a vec env, ready to be stepped inside a compiled loop.

A loop steps them by `take_step`. Of its last step, and of any that ends an episode, Python takes
over what is left to do: `hand_over` makes the env's next `step_wait` give that step, infos and
resets included, through every wrapper around the env.
"""

from collections.abc import MutableMapping
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from finrl_ray._typing import AnyArray, BoolArray, Float32Array
from finrl_ray.env.accounts import Accounts
from finrl_ray.env.compiled.address import address_of
from finrl_ray.env.compiled.step import UNITS, Sizing, Stepping
from finrl_ray.env.kernel.short_weights import plan_short_orders
from finrl_ray.env.kernel.sorting_network import sorting_network
from finrl_ray.env.kernel.step import step_accounts
from finrl_ray.env.kernel.target_weights import plan_orders
from finrl_ray.env.orders.refused import raise_status
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.machine.compiled_cache import compiler_is_off

_OBSERVATIONS: Float32Array = np.empty((1, 1), dtype=np.float32)
"""An array like those that loops hand over."""
_known: MutableMapping[Accounts, tuple[int, int]] = WeakKeyDictionary()
"""The addresses for accounts, in this process only: what is pickled has none."""


def reason_against_steps(env: VecEnv) -> str:
    """Return why accounts cannot be stepped in compiled code, or an empty text.

    Parameters
    ----------
    env : without the wrappers around it
    """
    if compiler_is_off():
        return "Numba's compiler is switched off"
    traded = _traded_env(env)
    if traded is None:
        inside = [type(one).__name__ for one in getattr(env, "envs", [])]
        of = f" of {', '.join(inside)}" if type(env) is DummyVecEnv else ""
        return f"the env is a {type(env).__name__}{of} and no StockTradingVecEnv"
    if traded.choices is not None:
        return "the env has discrete_actions"
    if traded.accounts.payments is not None:
        return "the env pays an own reward"
    if traded.accounts.rules.ties == "argsort":
        return "ties among orders are left to numpy.argsort, as FinRL's (parity)"
    return ""


def _traded_env(env: VecEnv) -> StockTradingVecEnv | StockTradingEnv | None:
    """Return the env that holds the accounts: a vec env itself, or the one in a DummyVecEnv."""
    if type(env) is StockTradingVecEnv:
        return env
    if type(env) is DummyVecEnv and len(env.envs) == 1:
        inside = env.envs[0]
        # exactly this class: another one may step otherwise
        return inside if type(inside) is StockTradingEnv else None
    return None


class CompiledSteps:
    """The accounts of a vec env for which there is no `reason_against_steps`.

    Parameters
    ----------
    env : without the wrappers around it
    """

    def __init__(self, env: VecEnv) -> None:
        traded = _traded_env(env)
        assert traded is not None, "see reason_against_steps"
        self.env = env
        self._traded = traded

    @property
    def _accounts(self) -> Accounts:
        return self._traded.accounts

    def arguments(self) -> tuple[Any, ...]:
        """Return the fields of `Stepping` as they are now; settings may change between loops."""
        accounts = self._accounts
        rules = accounts.rules
        given = accounts.in_kernel(
            sorting_network(accounts.table.n_assets),
            tuple(
                Sizing(
                    unit=UNITS[rules.hmax_unit],
                    narrow=not accounts.settings.hmax_is_wide,
                    fractional=bool(rules.fractional_shares),
                )
            ),
        )
        found = _known.get(accounts)
        if found is None:
            found = _known[accounts] = _addresses(Stepping(*(*given, 0, 0)))
        return (*given, *found)

    def steps_left(self) -> int:
        """Return the number of steps after which the next episode ends; 1 or more.

        An account that loses all ends earlier.
        """
        records = self._accounts.books.records
        left = int((records["last"] - records["day"]).min())
        return max(1, left + (self._accounts.rules.time_limit == "dummy_step"))

    def finished(self) -> BoolArray:
        """Return whose episodes the last step has ended, of shape (E,), as a view."""
        ended: BoolArray = self._accounts.books.records["finished"]
        return ended

    def hand_over(self, actions: Float32Array, observations: Float32Array) -> None:
        """Make the env's next `step_wait` give a step that has been taken already.

        Parameters
        ----------
        actions : array of shape (E, N), of the step
        observations : array of shape (E, S), which the env takes over
        """
        self.env.step_async(actions)
        self._traded.stepped = observations

    def refuse(self, status: int, actions: AnyArray) -> NoReturn:
        """Raise what `Accounts.step` raises where `take_step` has returned a status other than 0.

        Parameters
        ----------
        actions : array of shape (E, N), of the step

        Raises
        ------
        ValueError
            If an action is NaN or infinite.
        DataError
            If an account is beyond float32.
        """
        raise_status(self._accounts.table, self._accounts.books, status, actions)


def _addresses(stepping: Stepping) -> tuple[int, int]:
    """Return where the code that trades for accounts lies, and that which plans their orders."""
    s = stepping
    step_at = address_of(
        step_accounts,
        (
            *(s.orders, s.executed, s.sequence, s.network, _OBSERVATIONS),
            *(s.market, s.books, s.switches, s.margin, s.limits),
        ),
    )
    if s.weights is None:
        return step_at, 0
    plan = plan_orders if s.margin is None else plan_short_orders
    return step_at, address_of(plan, (s.orders, s.market, s.books, s.planning, s.weights))
