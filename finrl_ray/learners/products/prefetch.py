"""Memory that is brought near before it is read."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from finrl_ray.learners.products.vector_code import WHOLE

_no_types: Any = cgutils  # Numba is not typed
_LINE = 64
_TO_READ, _DATA = 0, 1
_FIRST_CACHE, _SECOND_CACHE = 3, 2
"""LLVM's words for what a prefetch is for."""


def _prefetch(place: int) -> Any:
    """Return what compiled code calls with an address and a number of floats."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, n_floats = arguments
        pointer, short = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, short, short, short])
        function = _no_types.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        n_bytes = builder.mul(n_floats, WHOLE(4))
        n_lines = builder.sdiv(builder.add(n_bytes, WHOLE(_LINE - 1)), WHOLE(_LINE))
        with _no_types.for_range(builder, n_lines) as loop:
            line = builder.add(address, builder.mul(loop.index, WHOLE(_LINE)))
            purposes = [short(number) for number in (_TO_READ, place, _DATA)]
            builder.call(function, [builder.inttoptr(line, pointer), *purposes])
        return context.get_dummy_value()

    def typed(typingctx: Any, address: Any, n_floats: Any) -> Any:
        return types.void(types.int64, types.int64), generate

    return intrinsic(typed)


prefetch = _prefetch(_FIRST_CACHE)
"""Ask the processor for this many float32 numbers from an address on; nothing is read."""

prefetch_later = _prefetch(_SECOND_CACHE)
"""The same for numbers that are needed later than those that are used now."""
