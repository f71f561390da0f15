"""A product of two matrices in tiles of a few rows times a block of columns, summed in registers.

Numba's own loops cannot be made to keep a block of sums in vector registers, so these are written
in LLVM's language, from which Numba compiles everything; they are the same for all processors but
for the width of a vector. Goto and van de Geijn, "Anatomy of high-performance matrix
multiplication" (2008), section 4.

Each number of a product is one sum, added up along the depth from its first entry to its last,
whatever the shapes and addresses; so it does not depend on which rows are computed beside it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from finrl_ray.learners.products.vector_code import VECTOR, WHOLE, VectorCode
from finrl_ray.learners.products.vectors import BLOCK, SHAPE

_no_types: Any = cgutils  # Numba is not typed
_AVX_LANES = 8
_FEWER_ROWS = (4, 2, 1)
"""Tiles for the rows that are left, fewer than 8, as the digits of a binary number."""


def _intrinsic(function: Callable[..., Any]) -> Any:
    """Return the function that compiled code calls in the place of `function`."""
    return intrinsic(function)


class _Product:
    """Writes the code of c = a b, or c += a b, for float32 matrices anywhere in memory.

    Parameters
    ----------
    builder : llvmlite's
    arguments : see `tiled_product`
    """

    def __init__(self, builder: Any, arguments: Sequence[Any]) -> None:
        self.builder, self.code = builder, VectorCode(builder)
        (self.n_rows, self.n_columns, self.depth, self.a, self.a_row, self.a_step,
         self.b, self.b_row, self.b_block, self.c, self.c_row, onto) = arguments  # fmt: skip
        self.is_onto = builder.icmp_signed("!=", onto, WHOLE(0))
        zeros = ir.ArrayType(ir.FloatType(), BLOCK)
        held = _no_types.global_constant(builder, "no_sums", ir.Constant(zeros, None))
        self.zeros = builder.ptrtoint(held, WHOLE)

    def write(self) -> None:
        """Write the code for all blocks of columns."""
        builder = self.builder
        n_blocks = builder.sdiv(self.n_columns, WHOLE(BLOCK))
        with _no_types.for_range(builder, n_blocks) as loop:
            self._block(loop.index, SHAPE.vectors, None)
        left = builder.sub(self.n_columns, builder.mul(n_blocks, WHOLE(BLOCK)))
        for n_vectors in range(1, SHAPE.vectors + 1):
            before = (n_vectors - 1) * SHAPE.lanes
            some = builder.icmp_signed(">", left, WHOLE(before))
            no_more = builder.icmp_signed("<=", left, WHOLE(before + SHAPE.lanes))
            with builder.if_then(builder.and_(some, no_more)):
                mask = self.code.first_lanes(builder.sub(left, WHOLE(before)))
                self._block(n_blocks, n_vectors, mask)

    def _block(self, index: Any, n_vectors: int, mask: Any) -> None:
        builder, code = self.builder, self.code
        b = code.at(self.b, builder.mul(index, self.b_block))
        c = code.at(self.c, builder.mul(index, WHOLE(BLOCK)))
        n_tiles = builder.sdiv(self.n_rows, WHOLE(SHAPE.rows))
        with _no_types.for_range(builder, n_tiles) as loop:
            row = builder.mul(loop.index, WHOLE(SHAPE.rows))
            self._tile(row, b, c, SHAPE.rows, n_vectors, mask)
        row = builder.mul(n_tiles, WHOLE(SHAPE.rows))
        left = builder.sub(self.n_rows, row)
        for n_rows in _FEWER_ROWS:
            taken = builder.and_(left, WHOLE(n_rows))
            with builder.if_then(builder.icmp_signed("!=", taken, WHOLE(0))):
                self._tile(row, b, c, n_rows, n_vectors, mask)
            row = builder.add(row, taken)

    def _tile(self, row: Any, b: Any, c: Any, n_rows: int, n_vectors: int, mask: Any) -> None:
        """Write the code of a tile; `mask` is that of its last vector."""
        builder, code = self.builder, self.code
        places = [(i, j) for i in range(n_rows) for j in range(n_vectors)]
        masks = [None] * (n_vectors - 1) + [mask]
        c = code.at(c, builder.mul(row, self.c_row))
        start = builder.select(self.is_onto, c, self.zeros)
        start_row = builder.select(self.is_onto, self.c_row, WHOLE(0))

        def address(first: Any, row: Any, i: int, j: int) -> Any:
            return code.at(code.at(first, builder.mul(row, WHOLE(i))), j * SHAPE.lanes)

        begin = [code.load(address(start, start_row, i, j), masks[j]) for i, j in places]
        sums = self._sums(code.at(self.a, builder.mul(row, self.a_row)), b, begin, n_rows, masks)
        for (i, j), total in zip(places, sums, strict=True):
            code.store(total, address(c, self.c_row, i, j), masks[j])

    def _sums(self, a: Any, b: Any, begin: list[Any], n_rows: int, masks: list[Any]) -> list[Any]:
        """Write the loop along the depth; return the sums after it."""
        builder, code = self.builder, self.code
        offsets = [builder.mul(self.a_row, WHOLE(i)) for i in range(n_rows)]
        before = builder.block
        loop = builder.append_basic_block("along_depth")
        after = builder.append_basic_block("summed")
        builder.cbranch(builder.icmp_signed(">", self.depth, WHOLE(0)), loop, after)
        builder.position_at_end(loop)
        counters = [builder.phi(WHOLE) for _ in range(3)]
        sums = [builder.phi(VECTOR) for _ in begin]
        for phi, value in zip([*counters, *sums], [WHOLE(0), a, b, *begin], strict=True):
            phi.add_incoming(value, before)
        k, a_at, b_at = counters
        columns = [code.load(code.at(b_at, j * SHAPE.lanes), mask) for j, mask in enumerate(masks)]
        new: list[Any] = []
        for offset in offsets:
            number = code.in_all_lanes(code.at(a_at, offset))
            for column in columns:
                new.append(code.multiply_add(number, column, sums[len(new)]))
        following = builder.add(k, WHOLE(1))
        moved = [following, code.at(a_at, self.a_step), code.at(b_at, self.b_row)]
        for phi, value in zip([*counters, *sums], [*moved, *new], strict=True):
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, self.depth), loop, after)
        builder.position_at_end(after)
        totals = [builder.phi(VECTOR) for _ in begin]
        for total, first, last in zip(totals, begin, new, strict=True):
            total.add_incoming(first, before)
            total.add_incoming(last, loop)
        return totals


@_intrinsic
def tiled_product(
    typingctx: Any, n_rows: Any, n_columns: Any, depth: Any, a: Any, a_row: Any, a_step: Any,
    b: Any, b_row: Any, b_block: Any, c: Any, c_row: Any, onto: Any,
) -> Any:  # fmt: skip
    """Set c to a b, or add a b to c, for addresses of float32 matrices.

    Parameters
    ----------
    n_rows, n_columns, depth : M, N and K
    a : entry (i, k) lies `i * a_row + k * a_step` numbers after this address
    b : entry (k, j) lies `j // BLOCK * b_block + k * b_row + j % BLOCK` numbers after this one
    c : entry (i, j) lies `i * c_row + j` numbers after this one
    onto : not 0: add to c
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _Product(builder, arguments).write()
        return context.get_dummy_value()

    return types.void(*([types.int64] * 12)), generate


def _square_transposed(code: VectorCode, rows: list[Any]) -> list[Any]:
    """Return the columns of a square of vectors."""
    if SHAPE.lanes != _AVX_LANES:
        return _shuffled(code, rows, SHAPE.lanes)
    # AVX2 shuffles halves of a register by themselves, and moves numbers between them slowly, so
    # the halves are put where they belong first
    half = SHAPE.lanes // 2
    columns: list[Any] = []
    for first in (0, half):
        lanes = [first + lane + add for add in (0, SHAPE.lanes) for lane in range(half)]
        parts = [code.chosen(rows[i], rows[i + half], lanes) for i in range(half)]
        columns += _shuffled(code, parts, half)
    return columns


def _shuffled(code: VectorCode, rows: list[Any], n_together: int) -> list[Any]:
    """Return the columns of squares side by side: a perfect shuffle for each binary digit."""
    half = n_together // 2
    for _ in range(n_together.bit_length() - 1):
        pairs = [code.interleaved(rows[i], rows[i + half], n_together) for i in range(half)]
        rows = [vector for pair in pairs for vector in pair]
    return rows


@_intrinsic
def packed_transpose(
    typingctx: Any, n_rows: Any, n_columns: Any, a: Any, a_row: Any, packed: Any, block: Any
) -> Any:
    """Write the transpose of a matrix in blocks of columns, as `tiled_product` reads b.

    Parameters
    ----------
    n_rows, n_columns : of `a`
    a : entry (i, k) lies `i * a_row + k` numbers after this address
    packed : entry (k, i) comes to `i // BLOCK * block + k * BLOCK + i % BLOCK` after this one
    block : `BLOCK` times the number of columns, rounded up to whole vectors
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        n_rows, n_columns, a, a_row, packed, block = arguments
        code, lanes = VectorCode(builder), WHOLE(SHAPE.lanes)
        last_row = builder.sub(n_rows, WHOLE(1))
        whole = builder.sdiv(n_columns, lanes)
        left = builder.sub(n_columns, builder.mul(whole, lanes))

        def square(addresses: list[Any], target: Any, k: Any, mask: Any) -> None:
            column = builder.mul(k, lanes)
            rows = [code.load(code.at(address, column), mask) for address in addresses]
            for i, vector in enumerate(_square_transposed(code, rows)):
                entry = builder.mul(builder.add(column, WHOLE(i)), WHOLE(BLOCK))
                code.store(vector, code.at(target, entry))

        n_groups = builder.sdiv(builder.add(n_rows, WHOLE(SHAPE.lanes - 1)), lanes)
        with _no_types.for_range(builder, n_groups) as group:
            first = builder.mul(group.index, lanes)
            place = builder.sdiv(group.index, WHOLE(SHAPE.vectors))
            within = builder.srem(group.index, WHOLE(SHAPE.vectors))
            target = code.at(packed, builder.mul(place, block))
            target = code.at(target, builder.mul(within, lanes))
            addresses = []
            for i in range(SHAPE.lanes):
                # rows beyond the last are read as that: what they fill is never used
                row = builder.add(first, WHOLE(i))
                row = builder.select(builder.icmp_signed("<", row, last_row), row, last_row)
                addresses.append(code.at(a, builder.mul(row, a_row)))
            with _no_types.for_range(builder, whole) as loop:
                square(addresses, target, loop.index, None)
            with builder.if_then(builder.icmp_signed(">", left, WHOLE(0))):
                square(addresses, target, whole, code.first_lanes(left))
        return context.get_dummy_value()

    return types.void(*([types.int64] * 6)), generate


@_intrinsic
def address_of(typingctx: Any, array: Any) -> Any:
    """Return the address of the first entry of an array, which the caller must keep alive."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        made = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.ptrtoint(made.data, WHOLE)

    return types.int64(array), generate
