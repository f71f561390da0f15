"""Which arguments a user's function is called with: those it names, and keywords of the config.

What the package can tell such a function has names; the function gets what its signature names.
"""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from types import CodeType
from typing import Any

from finrl_ray.own_code.failures import OwnCodeError
from finrl_ray.own_code.finder import active_code
from finrl_ray.support.text import did_you_mean


def asked_arguments(
    function: Callable[..., Any],
    known: Collection[str],
    kwargs: Mapping[str, Any],
    *,
    who: str,
    key: str,
) -> tuple[str, ...]:
    """Return which of the known arguments a function's signature names; all for `**arguments`.

    Parameters
    ----------
    function : the user's
    known : names of what it can be told
    kwargs : further keywords that it is called with
    who : the function and its place, as a message begins
    key : where `kwargs` stand in the config, such as `env.reward_kwargs`

    Raises
    ------
    OwnCodeError
        If an argument is neither known nor in `kwargs` and has no default, can be given by position
        only, or if an entry of `kwargs` is no argument of the function, or is a known one.
    """
    parameters = parameters_of(function, who)
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
    for name in kwargs:
        if name in known:
            raise OwnCodeError(
                f"{who} is told {name!r} by finrl_ray, so {key} cannot hold it; give the keyword "
                "another name"
            )
        if name not in named and not takes_all:
            raise OwnCodeError(
                f"{who} takes no {name!r}, which {key} holds; its arguments are "
                f"{', '.join(named) or 'none'}.{did_you_mean(name, named)}"
            )
    for parameter in parameters:
        _check_parameter(parameter, known, kwargs, who, key)
    return tuple(known) if takes_all else tuple(name for name in named if name in known)


def _check_parameter(
    parameter: inspect.Parameter,
    known: Collection[str],
    kwargs: Mapping[str, Any],
    who: str,
    key: str,
) -> None:
    name = parameter.name
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise OwnCodeError(
            f"{who} takes {name!r} by position only, and is called by keywords; remove the / from "
            "its arguments"
        )
    if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
        return
    if name not in known and name not in kwargs and parameter.default is parameter.empty:
        raise OwnCodeError(
            f"{who} asks for {name!r}, which is neither known nor in {key}."
            f"{did_you_mean(name, list(known))} Known are {', '.join(known)}; give any other "
            f"argument a default, or an entry of {key}"
        )


def parameters_of(function: Callable[..., Any], who: str) -> list[inspect.Parameter]:
    """Return the parameters of a function.

    Raises
    ------
    OwnCodeError
        If Python does not know them, as of some functions that are written in C.
    """
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        raise OwnCodeError(
            f"{who} does not say which arguments it takes; call it in a function of your own, "
            "written with def"
        ) from None


def in_its_file(function: Callable[..., Any]) -> str:
    """Return ` (my_reward.py, line 4)`, where a function or class begins; empty if not known."""
    code = _code_of(function)
    if code is None:
        return ""
    name = active_code().name_of(code.co_filename) or code.co_filename
    return f" ({name}, line {code.co_firstlineno})"


def _code_of(function: Any) -> CodeType | None:
    """Return what a function, a class, or an object that can be called runs when it is called."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    called = "__init__" if inspect.isclass(function) else "__call__"
    for found in (function, getattr(function, called, None)):
        code = getattr(found, "__code__", None)
        if isinstance(code, CodeType):
            return code
    return None
