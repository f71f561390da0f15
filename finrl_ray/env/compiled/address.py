"""Compiled functions called by their address, so that a loop is compiled without them.

Where a compiled function calls another one, the code of both is compiled as one. The rules of
trading take seconds, again for each loop that steps accounts; called by its address, the code that
exists already is used. A function and its address belong together in one process only: loops are
given addresses as arguments.
"""

from typing import Any

import numba
from numba import types
from numba.core import cgutils as _cgutils
from numba.extending import intrinsic

cgutils: Any = _cgutils


def address_of(function: Any, arguments: tuple[Any, ...]) -> int:
    """Return where the code of a compiled function for the types of some arguments lies.

    Parameters
    ----------
    function : of `numba.njit`; it keeps the code
    arguments : with which it may be called there
    """
    typeof: Any = numba.typeof
    kinds = tuple(typeof(argument) for argument in arguments)
    function.compile(kinds)
    code = function.overloads[kinds]
    return int(code.library.get_pointer_to_function(code.fndesc.llvm_func_name))


def _caller(result: Any) -> Any:
    def call(typingctx: Any, address: Any, arguments: Any) -> tuple[Any, Any]:
        del typingctx, address
        kinds = tuple(arguments.types)

        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            del signature
            values = cgutils.unpack_tuple(builder, given[1], len(kinds))
            convention = context.call_conv
            kind = convention.get_function_type(result, kinds)
            place = builder.inttoptr(given[0], kind.as_pointer())
            status, answer = convention.call_function(builder, place, result, kinds, values)
            with cgutils.if_unlikely(builder, status.is_error):
                convention.return_status_propagate(builder, status)
            return answer

        return result(types.intp, arguments), generate

    return intrinsic(call)


call_for_number: Any = _caller(types.int64)
"""Call `(address, arguments)` where the function returns a whole number.

The arguments, a tuple, must be of the very types that `address_of` was told, arrays laid out alike.
"""
call_for_nothing: Any = _caller(types.none)
"""Call `(address, arguments)` where the function returns nothing; see `call_for_number`."""
call_for_truth: Any = _caller(types.boolean)
"""Call `(address, arguments)` where the function returns True or False; see `call_for_number`."""
