"""`OwnReward`: a user's reward function, what it asks for, and what it returns."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from finrl_ray._typing import AnyArray, FloatArray
from finrl_ray.env.kernel.rewards import REWARDS
from finrl_ray.env.own_reward.terms import (
    BENCHMARK_TERMS,
    TERMS,
    RewardedStep,
)
from finrl_ray.own_code.arguments import asked_arguments, in_its_file
from finrl_ray.own_code.failures import OwnCodeError, calling

_SHOWN_ENTRIES = 6


class OwnReward:
    """A user's reward function, with what it asks for.

    Parameters
    ----------
    function : called with the terms (see `TERMS`) that its signature names, as arrays that cannot
        be written to, and with `kwargs`; returns one number per account
    kwargs : `env.reward_kwargs`
    reference : what stands in `env.reward`

    Attributes
    ----------
    asked : names of the terms, in the order of the signature
    in_kernel : the number of the kernel's reward in whose place it stands: the `active` one, which
        keeps the value of buy & hold, where that is asked for; else `log_return`, from which a cash
        penalty is taken as a share of the account too

    Raises
    ------
    OwnCodeError
        If it is no function, or its arguments are not what it can be told.
    """

    def __init__(
        self, function: Callable[..., Any], kwargs: Mapping[str, Any], reference: str
    ) -> None:
        self.function, self.kwargs, self.reference = function, dict(kwargs), reference
        self.who = f"env.reward {reference}{in_its_file(function)}"
        if inspect.isclass(function) or not callable(function):
            raise OwnCodeError(
                f"{self.who} must be a function that returns one number per account, got "
                f"{function!r}; an own reward has no memory of its own and is no class"
            )
        self.asked = asked_arguments(
            function, TERMS, self.kwargs, who=self.who, key="env.reward_kwargs"
        )
        benchmark = not BENCHMARK_TERMS.isdisjoint(self.asked)
        self.in_kernel = REWARDS["active" if benchmark else "log_return"]

    def told(self, step: RewardedStep) -> dict[str, AnyArray]:
        """Return the arguments of a step by name, as arrays that cannot be written to."""
        return {name: _locked(TERMS[name].of(step)) for name in self.asked}

    def paid(self, told: Mapping[str, AnyArray], n_envs: int) -> FloatArray:
        """Return what the function pays when it is told this, of shape (E,), float64.

        Raises
        ------
        OwnCodeError
            If it raises, or returns no array of E numbers; NaN and infinity are left to the caller.
        """
        with calling(self.reference, "reward"):
            returned = self.function(**told, **self.kwargs)
        try:
            paid = np.asarray(returned)
        except ValueError:  # lists of different lengths
            paid = np.asarray(None)
        if paid.dtype.kind not in "biuf" or paid.shape != (n_envs,):
            got = f"{type(returned).__name__}" + (
                f" of shape {paid.shape} and {paid.dtype}" if paid.dtype.kind != "O" else ""
            )
            raise OwnCodeError(
                f"{self.who} must return one number per account, an array of shape ({n_envs},) and "
                f"float64, got {got}; work on whole arrays (sums over tickers: axis=1) and return "
                "one entry for each account"
            )
        result: FloatArray = paid.astype(np.float64)
        return result


REMEDY = (
    "Return finite numbers whatever the account: guard divisions and logarithms, for example with "
    "np.maximum(x, 1e-12)"
)


def _locked(values: AnyArray) -> AnyArray:
    view = np.ascontiguousarray(values).view()
    view.setflags(write=False)
    return view


def told_of(told: Mapping[str, AnyArray], account: int) -> str:
    """Return what a function was told of one account, in words that are short."""
    return ", ".join(f"{name} {_short(values[account])}" for name, values in told.items())


def _short(value: AnyArray) -> str:
    entries: Sequence[Any] = np.atleast_1d(value).tolist()
    shown = [f"{entry:.6g}" if isinstance(entry, float) else str(entry) for entry in entries]
    if np.ndim(value) == 0:
        return str(value) if np.asarray(value).dtype.kind == "M" else shown[0]
    dots = ["..."] if len(shown) > _SHOWN_ENTRIES else []
    return f"[{', '.join([*shown[:_SHOWN_ENTRIES], *dots])}]"
