"""What an algorithm of the user's own has counted, beyond what SB3's classes keep.

It is asked for by `get_state()` and `set_state(state)` where the class has them. Else it is every
attribute that no class of SB3, sb3-contrib or this package has or stores.
"""

import copy
import dis
import logging
from collections.abc import Iterator
from functools import cache
from types import CodeType, FunctionType
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from finrl_ray.agents.state.plain_file import split_plain

logger = logging.getLogger(__name__)

_KNOWN_PACKAGES = ("stable_baselines3", "sb3_contrib", "finrl_ray", "builtins", "abc")


def capture_own(model: BaseAlgorithm) -> dict[str, Any]:
    """Return the state of a class of the user's own; empty for other models.

    Attributes that a file cannot keep are named in the log once a model.
    """
    if not _is_own(type(model)):
        return {}
    if hasattr(model, "get_state"):
        return {"own": copy.deepcopy(model.get_state())}
    of_sb3 = _names_of_sb3(type(model))
    kept, lost = split_plain({n: value for n, value in vars(model).items() if n not in of_sb3})
    if lost:
        logger.warning(
            "%s: a checkpoint cannot keep %s, which begin anew in a resumed training: give the "
            "class get_state() and set_state(state) with plain values",
            type(model).__name__,
            ", ".join(lost),
        )
    return {"attributes": kept} if kept else {}


def restore_own(model: BaseAlgorithm, state: dict[str, Any]) -> None:
    """Undo `capture_own`."""
    if "own" in state:
        model.set_state(copy.deepcopy(state["own"]))  # type: ignore[attr-defined]  # see capture_own
    for name, value in state.get("attributes", {}).items():
        setattr(model, name, copy.deepcopy(value))


def _is_own(kind: type[Any]) -> bool:
    return kind.__module__.partition(".")[0] not in _KNOWN_PACKAGES


@cache
def _names_of_sb3(kind: type[Any]) -> frozenset[str]:
    """Return the names of attributes that the code of what a class is derived from stores."""
    names: set[str] = set()
    for one in kind.__mro__:
        if _is_own(one):
            continue
        names |= set(vars(one))
        for value in vars(one).values():
            if isinstance(value, FunctionType):
                names |= {
                    str(step.argval)
                    for code in _codes(value.__code__)
                    for step in dis.get_instructions(code)
                    if step.opname == "STORE_ATTR"
                }
    return frozenset(names)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)
