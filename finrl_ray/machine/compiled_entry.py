"""Compiled code called without Numba's look-up of the types of its arguments.

At each call Numba looks at every array among the arguments to find the code that was compiled for
such. Of the hundred arrays that a rollout or an update works with, that takes longer than a short
piece of work itself.
"""

from collections.abc import Callable
from typing import Any

import numba

typeof: Any = numba.typeof


def entry_for(function: Any, arguments: tuple[Any, ...]) -> Callable[..., Any]:
    """Return the code of a compiled function for the types of some arguments, to be called often.

    Parameters
    ----------
    function : of `numba.njit`; it keeps the code
    arguments : as they will be given; later ones must be of the very same types, arrays as many
        dimensions and laid out alike, which nothing checks
    """
    kinds = tuple(typeof(argument) for argument in arguments)
    function.compile(kinds)
    entry: Callable[..., Any] = function.overloads[kinds].entry_point
    return entry
