"""The product of a matrix and one row, for an account that acts alone.

Four outputs are summed up at a time, each in two vectors along its weights, as torch has them, so
that nothing has to be packed.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from finrl_ray.learners.products.vector_code import VECTOR, WHOLE, VectorCode
from finrl_ray.learners.products.vectors import SHAPE

_OUTPUTS, _VECTORS = 4, 2
_no_types: Any = cgutils  # Numba is not typed


class _Row:
    """Writes the loops of `row_product`."""

    def __init__(self, builder: Any, arguments: Sequence[Any]) -> None:
        self.builder, self.code = builder, VectorCode(builder)
        self.n_outputs, self.n_inputs, self.weights, self.seen, self.outputs = arguments

    def write(self) -> None:
        builder = self.builder
        whole = builder.sdiv(self.n_outputs, WHOLE(_OUTPUTS))
        with _no_types.for_range(builder, whole) as loop:
            self._outputs(builder.mul(loop.index, WHOLE(_OUTPUTS)), _OUTPUTS)
        first = builder.mul(whole, WHOLE(_OUTPUTS))
        with _no_types.for_range(builder, builder.sub(self.n_outputs, first)) as loop:
            self._outputs(builder.add(first, loop.index), 1)

    def _outputs(self, first: Any, n_outputs: int) -> None:
        """Write the code for some outputs from `first` on."""
        builder, code = self.builder, self.code
        rows = [
            code.at(self.weights, builder.mul(builder.add(first, WHOLE(i)), self.n_inputs))
            for i in range(n_outputs)
        ]
        zeros = ir.Constant(VECTOR, None)
        sums = [[zeros] * _VECTORS for _ in rows]
        stride = SHAPE.lanes * _VECTORS
        n_strides = builder.sdiv(self.n_inputs, WHOLE(stride))
        sums = self._loop(rows, sums, n_strides)
        left = builder.sub(self.n_inputs, builder.mul(n_strides, WHOLE(stride)))
        for j in range(_VECTORS):
            begin = builder.add(builder.mul(n_strides, WHOLE(stride)), WHOLE(j * SHAPE.lanes))
            mask = code.first_lanes(builder.sub(left, WHOLE(j * SHAPE.lanes)))
            seen = code.load(code.at(self.seen, begin), mask)
            for i, row in enumerate(rows):
                weights = code.load(code.at(row, begin), mask)
                sums[i][j] = code.multiply_add(weights, seen, sums[i][j])
        for i in range(n_outputs):
            total = builder.fadd(*sums[i])
            place = code.at(self.outputs, builder.add(first, WHOLE(i)))
            pointer = builder.inttoptr(place, ir.FloatType().as_pointer())
            builder.store(code.sum_of_lanes(total), pointer)

    def _loop(self, rows: list[Any], sums: list[list[Any]], n_strides: Any) -> list[list[Any]]:
        """Write the loop over whole strides of the inputs; return the sums after it."""
        builder, code = self.builder, self.code
        kept = [[_no_types.alloca_once_value(builder, one) for one in pair] for pair in sums]
        for pair, values in zip(kept, sums, strict=True):
            for place, value in zip(pair, values, strict=True):
                builder.store(value, place)
        with _no_types.for_range(builder, n_strides) as loop:
            begin = builder.mul(loop.index, WHOLE(SHAPE.lanes * _VECTORS))
            for j in range(_VECTORS):
                here = builder.add(begin, WHOLE(j * SHAPE.lanes))
                seen = code.load(code.at(self.seen, here))
                for row, pair in zip(rows, kept, strict=True):
                    weights = code.load(code.at(row, here))
                    total = code.multiply_add(weights, seen, builder.load(pair[j]))
                    builder.store(total, pair[j])
        return [[builder.load(place) for place in pair] for pair in kept]


def _typed(
    typingctx: Any, n_outputs: Any, n_inputs: Any, weights: Any, seen: Any, outputs: Any
) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _Row(builder, arguments).write()
        return context.get_dummy_value()

    return types.void(*([types.int64] * 5)), generate


row_product: Any = intrinsic(_typed)
"""Fill outputs (O,) with the products of weights (O, I) and what is seen (I,).

Arguments: O and I; the addresses of the weights, whose rows follow one another, of what is seen,
and of the outputs."""
