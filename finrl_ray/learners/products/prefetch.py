"""Memory that is brought near before it is read."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from finrl_ray.learners.products.vector_code import WHOLE

_no_types: Any = cgutils  # Numba is not typed
_LINE = 64
_TO_READ, _KEPT_NEAR, _DATA = 0, 3, 1
"""LLVM's words for what a prefetch is for."""


def _typed(typingctx: Any, address: Any, n_floats: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, n_floats = arguments
        place, short = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place, short, short, short])
        function = _no_types.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        n_bytes = builder.mul(n_floats, WHOLE(4))
        n_lines = builder.sdiv(builder.add(n_bytes, WHOLE(_LINE - 1)), WHOLE(_LINE))
        with _no_types.for_range(builder, n_lines) as loop:
            line = builder.add(address, builder.mul(loop.index, WHOLE(_LINE)))
            purposes = [short(number) for number in (_TO_READ, _KEPT_NEAR, _DATA)]
            builder.call(function, [builder.inttoptr(line, place), *purposes])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


prefetch: Any = intrinsic(_typed)
"""Ask the processor for this many float32 numbers from an address on; nothing is read."""
