"""Compiled code called without Numba's look-up of the types of its arguments.

At each call Numba looks at every array among the arguments to find the code that was compiled for
such. Of the hundred arrays that a rollout or an update works with, that takes longer than a short
piece of work itself.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numba

from finrl_ray._typing import AnyArray

typeof: Any = numba.typeof


class EntryCalls:
    """Calls of compiled functions, each function always with arguments of the same types.

    Nothing checks that: arrays must be of the type, of as many dimensions and laid out as those of
    the first call.
    """

    def __init__(self) -> None:
        self._entries: dict[Any, Callable[..., Any]] = {}
        self._kinds: dict[Any, list[Any]] = {}

    def for_arrays(self, function: Any, arrays: Iterable[AnyArray]) -> Callable[..., Any]:
        """Return what calls a function that is given these arrays, which others may have made.

        These calls, while the arrays are of the kinds of the first time; else Numba's look-up.
        """
        kinds = [(array.dtype, array.ndim, array.flags.c_contiguous) for array in arrays]
        return self if kinds == self._kinds.setdefault(function, kinds) else _call_by_type

    def __call__(self, function: Any, *arguments: Any) -> Any:
        """Return what `function(*arguments)` returns."""
        entry = self._entries.get(function)
        if entry is None:
            kinds = tuple(typeof(argument) for argument in arguments)
            function.compile(kinds)
            entry = self._entries[function] = function.overloads[kinds].entry_point
        return entry(*arguments)

    def __deepcopy__(self, memo: dict[int, Any]) -> "EntryCalls":
        """Return a new one: compiled code is found again."""
        del memo
        return EntryCalls()

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave out what no other process can call."""
        return EntryCalls, ()


def _call_by_type(function: Any, *arguments: Any) -> Any:
    return function(*arguments)
