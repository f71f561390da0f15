"""A layer's activation, forward and back, a vector of columns at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from finrl_ray.learners.products.lanes import Lanes
from finrl_ray.learners.products.vector_code import VECTOR, WHOLE, VectorCode
from finrl_ray.learners.products.vectors import SHAPE

LINEAR, RELU, TANH = range(3)
"""What follows a layer's sums."""

_no_types: Any = cgutils  # Numba is not typed
_types: Any = types
_FAR = 9.02
"""For inputs of this size and beyond, tanh is 1 or -1 in float32."""
_ABOVE = (1.0, 4095.0, 2552550.0, 523783260.0, 41247931725.0, 1159525191825.0, 7905853580625.0)
_BELOW = (
    *(91.0, 120120.0, 41351310.0, 5237832600.0, 252070693875.0, 3794809718700.0),
    7905853580625.0,
)


class _Columns:
    """Writes loops over the columns of a layer, a vector of them at a time, for each activation.

    Parameters
    ----------
    builder : llvmlite's
    n_columns, activation : of the layer
    """

    n_rows: Any
    row: Any

    def __init__(self, builder: Any, n_columns: Any, activation: Any) -> None:
        self.builder, self.code = builder, VectorCode(builder)
        self.n_columns, self.activation = n_columns, activation

    def write(self) -> None:
        """Write the code for each activation."""
        builder, lanes = self.builder, WHOLE(SHAPE.lanes)
        n_whole = builder.sdiv(self.n_columns, lanes)
        first = builder.mul(n_whole, lanes)
        left = builder.sub(self.n_columns, first)
        for activation in (LINEAR, RELU, TANH):
            with builder.if_then(builder.icmp_signed("==", self.activation, WHOLE(activation))):
                self.whole(n_whole, activation)
                with builder.if_then(builder.icmp_signed(">", left, WHOLE(0))):
                    self.rest(first, self.code.first_lanes(left), activation)

    def whole(self, n_whole: Any, activation: int) -> None:
        """Write the loops over whole vectors, row by row: walks down long columns are slow."""
        raise NotImplementedError

    def rest(self, first: Any, mask: Any, activation: int) -> None:
        """Write the loop down the last columns, fewer than a vector has lanes."""
        raise NotImplementedError

    @contextmanager
    def each_row(self) -> Iterator[Any]:
        """Write a loop over rows; yield the place of the row."""
        with _no_types.for_range(self.builder, self.n_rows) as loop:
            yield self.builder.mul(loop.index, self.row)

    @contextmanager
    def each_vector(self, n_whole: Any) -> Iterator[Any]:
        """Write a loop over whole vectors of columns; yield the first column."""
        with _no_types.for_range(self.builder, n_whole) as loop:
            yield self.builder.mul(loop.index, WHOLE(SHAPE.lanes))

    def load(self, address: Any, place: Any, mask: Any) -> Lanes:
        return Lanes(self.code, self.code.load(self.code.at(address, place), mask))


class _Forward(_Columns):
    def __init__(self, builder: Any, arguments: Sequence[Any]) -> None:
        self.n_rows, n_columns, self.sums, self.row, self.bias, activation = arguments
        super().__init__(builder, n_columns, activation)

    def whole(self, n_whole: Any, activation: int) -> None:
        with self.each_row() as row, self.each_vector(n_whole) as first:
            self.vector(row, first, None, self.load(self.bias, first, None), activation)

    def rest(self, first: Any, mask: Any, activation: int) -> None:
        bias = self.load(self.bias, first, mask)
        with self.each_row() as row:
            self.vector(row, first, mask, bias, activation)

    def vector(self, row: Any, first: Any, mask: Any, bias: Lanes, activation: int) -> None:
        place = self.builder.add(row, first)
        output = self.load(self.sums, place, mask) + bias
        if activation == RELU:
            output = output.where_above_zero(output)
        elif activation == TANH:
            output = _tanh(output)
        self.code.store(output.vector, self.code.at(self.sums, place), mask)


def _tanh(x: Lanes) -> Lanes:
    """Return a quotient of polynomials: Lambert's continued fraction, cut after the term with 25.

    Relative error below 4e-7.
    """
    x = x.within(-_FAR, _FAR)
    y = x * x
    above, below = x.constant(_ABOVE[0]), x.constant(_BELOW[0])
    for number in _ABOVE[1:]:
        above = above * y + x.constant(number)
    for number in _BELOW[1:]:
        below = below * y + x.constant(number)
    return (x * above * below.inverse()).within(-1.0, 1.0)


class _Back(_Columns):
    def __init__(self, builder: Any, arguments: Sequence[Any]) -> None:
        (self.n_rows, n_columns, self.outputs, self.slopes, self.row, self.bias_slope,
         activation, onto) = arguments  # fmt: skip
        super().__init__(builder, n_columns, activation)
        self.is_onto = builder.icmp_signed("!=", onto, WHOLE(0))

    def whole(self, n_whole: Any, activation: int) -> None:
        code = self.code
        with self.each_vector(n_whole) as first:
            code.store(self.before(first, None), code.at(self.bias_slope, first))
        with self.each_row() as row, self.each_vector(n_whole) as first:
            total = self.load(self.bias_slope, first, None)
            total = total + self.vector(row, first, None, activation)
            code.store(total.vector, code.at(self.bias_slope, first))

    def rest(self, first: Any, mask: Any, activation: int) -> None:
        builder, code = self.builder, self.code
        total = _no_types.alloca_once_value(builder, self.before(first, mask))
        with self.each_row() as row:
            slope = self.vector(row, first, mask, activation)
            builder.store((Lanes(code, builder.load(total)) + slope).vector, total)
        code.store(builder.load(total), code.at(self.bias_slope, first), mask)

    def before(self, first: Any, mask: Any) -> Any:
        """Return what the slopes of the bias are added to."""
        before = self.load(self.bias_slope, first, mask).vector
        return self.builder.select(self.is_onto, before, ir.Constant(VECTOR, None))

    def vector(self, row: Any, first: Any, mask: Any, activation: int) -> Lanes:
        """Write the code for a vector of columns of a row; return its slopes."""
        place = self.builder.add(row, first)
        slope = self.load(self.slopes, place, mask)
        if activation == LINEAR:
            return slope
        output = self.load(self.outputs, place, mask)
        if activation == RELU:
            # the fence keeps LLVM from storing zeros alone, by a mask: slow on AMD's processors
            slope = output.where_above_zero(slope).fenced()
        else:
            slope = slope * (output.constant(1.0) - output * output)
        self.code.store(slope.vector, self.code.at(self.slopes, place), mask)
        return slope


def _intrinsic(kind: Any, n_arguments: int) -> Any:
    """Return what compiled code calls with whole numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind(builder, [builder.extract_value(arguments[0], k) for k in range(n_arguments)]).write()
        return context.get_dummy_value()

    def typed(typingctx: Any, arguments: Any) -> Any:
        return types.void(_types.UniTuple(types.int64, n_arguments)), generate

    return intrinsic(typed)


outputs_of_sums = _intrinsic(_Forward, 6)
"""Turn a layer's sums (B, O) into its outputs, in place. NaN stays NaN.

The argument is a tuple: B; O; the address of the sums; how many numbers their rows lie apart; the
address of the bias (O,); the activation."""

slopes_of_sums = _intrinsic(_Back, 8)
"""Turn slopes of a layer's outputs (B, O) into those of its sums, and fill those of its bias (O,).

The argument is a tuple: B; O; the addresses of outputs and slopes; how many numbers their rows lie
apart; the address of the slopes of the bias; the activation; and whether to add to these (not 0).
NaN stays NaN."""
