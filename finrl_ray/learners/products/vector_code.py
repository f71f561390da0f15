"""LLVM's instructions on vectors of float32, at addresses that are whole numbers."""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from finrl_ray.learners.products.vectors import SHAPE

WHOLE = ir.IntType(64)
_FLOAT, _SHORT = ir.FloatType(), ir.IntType(32)
VECTOR = ir.VectorType(_FLOAT, SHAPE.lanes)
_WHOLES = ir.VectorType(WHOLE, SHAPE.lanes)
_SHORTS = ir.VectorType(_SHORT, SHAPE.lanes)
_BYTES = 4
_AVX512_LANES, _AVX_LANES = 16, 8
_no_types: Any = cgutils  # Numba is not typed


class VectorCode:
    """Writes instructions where a builder stands.

    Parameters
    ----------
    builder : llvmlite's
    """

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def at(self, address: Any, n_floats: Any) -> Any:
        """Return the address `n_floats` after another."""
        distance = WHOLE(n_floats) if isinstance(n_floats, int) else n_floats
        return self.builder.add(address, self.builder.shl(distance, WHOLE(2)))

    def in_all_lanes(self, address: Any) -> Any:
        """Return a vector with the number at an address in each lane."""
        pointer = self.builder.inttoptr(address, _FLOAT.as_pointer())
        return self.spread(self.builder.load(pointer))

    def spread(self, number: Any, kind: Any = VECTOR) -> Any:
        """Return a number in all lanes."""
        undefined = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(undefined, number, _SHORT(0))
        lanes = ir.Constant(_SHORTS, [0] * SHAPE.lanes)
        return self.builder.shuffle_vector(first, undefined, lanes)

    def first_lanes(self, count: Any) -> Any:
        """Return a mask of the first `count` lanes."""
        lanes = ir.Constant(_WHOLES, list(range(SHAPE.lanes)))
        return self.builder.icmp_signed("<", lanes, self.spread(count, _WHOLES))

    def load(self, address: Any, mask: Any = None) -> Any:
        """Return a vector; lanes that the mask leaves out are not read, and 0."""
        pointer = self.builder.inttoptr(address, VECTOR.as_pointer())
        if mask is None:
            return self.builder.load(pointer, align=_BYTES)
        arguments = [pointer, _SHORT(_BYTES), mask, ir.Constant(VECTOR, None)]
        return self._call("masked.load", arguments, VECTOR, ".p0")

    def store(self, vector: Any, address: Any, mask: Any = None) -> None:
        """Write a vector; lanes that the mask leaves out are not written."""
        pointer = self.builder.inttoptr(address, VECTOR.as_pointer())
        if mask is None:
            self.builder.store(vector, pointer, align=_BYTES)
            return
        arguments = [vector, pointer, _SHORT(_BYTES), mask]
        self._call("masked.store", arguments, ir.VoidType(), ".p0")

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """Return a * b + c, rounded once where the processor can."""
        return self._call("fmuladd", [a, b, c], VECTOR)

    def sum_of_lanes(self, a: Any) -> Any:
        """Return the sum of all lanes, in an order that depends on their number alone."""
        kind = ir.FunctionType(_FLOAT, [_FLOAT, VECTOR])
        name = f"llvm.vector.reduce.fadd.v{SHAPE.lanes}f32"
        function = _no_types.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, [_FLOAT(-0.0), a], fastmath=("reassoc",))

    def root(self, a: Any) -> Any:
        """Return square roots, rounded once."""
        return self._call("sqrt", [a], VECTOR)

    def fence(self, a: Any) -> Any:
        """Return a vector that LLVM takes as it comes."""
        return self._call("arithmetic.fence", [a], VECTOR)

    def estimate(self, what: str, a: Any) -> Any:
        """Return the processor's estimate of 1 / sqrt ("rsqrt") or 1 / x ("rcp"), or None."""
        if SHAPE.lanes == _AVX512_LANES:
            nothing, all_lanes = ir.Constant(VECTOR, None), ir.IntType(16)(-1)
            name, arguments = f"llvm.x86.avx512.{what}14.ps.512", [a, nothing, all_lanes]
        elif SHAPE.lanes == _AVX_LANES:
            name, arguments = f"llvm.x86.avx.{what}.ps.256", [a]
        else:
            return None
        kind = ir.FunctionType(VECTOR, [argument.type for argument in arguments])
        function = _no_types.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, arguments)

    def _call(self, name: str, arguments: Sequence[Any], result: Any, place: str = "") -> Any:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        full = f"llvm.{name}.v{SHAPE.lanes}f32{place}"
        function = _no_types.get_or_insert_function(self.builder.module, kind, full)
        return self.builder.call(function, arguments)

    def interleaved(self, a: Any, b: Any, n_together: int = SHAPE.lanes) -> tuple[Any, Any]:
        """Return a0, b0, a1, b1 and so on as two vectors.

        Parameters
        ----------
        n_together : lanes that each vector is cut into, each part interleaved by itself
        """
        lanes = range(SHAPE.lanes)
        parts = [lanes[k : k + n_together] for k in lanes[::n_together]]
        half = n_together // 2
        first = [lane for part in parts for lane in part[:half]]
        second = [lane for part in parts for lane in part[half:]]
        return self.chosen(a, b, _pairs(first)), self.chosen(a, b, _pairs(second))

    def chosen(self, a: Any, b: Any, lanes: Sequence[int]) -> Any:
        """Return some lanes of two vectors, counted through both."""
        return self.builder.shuffle_vector(a, b, ir.Constant(_SHORTS, list(lanes)))


def _pairs(lanes: Sequence[int]) -> list[int]:
    return [lane + add for lane in lanes for add in (0, SHAPE.lanes)]
