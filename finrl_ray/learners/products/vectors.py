"""How wide this processor's vector registers are, and how many of them there are.

Read from the features that Numba compiles for, which are in the key of what it keeps on disk: code
that was kept on another kind of processor, or under NUMBA_CPU_FEATURES, is never taken for this.
"""

from typing import NamedTuple

from numba.core.registry import cpu_target


class VectorShape(NamedTuple):
    """The block of sums that a tile holds in registers, beside its operands."""

    lanes: int
    """float32 numbers in one register."""
    vectors: int
    """Registers side by side: a tile is `lanes * vectors` columns wide."""
    rows: int


def enabled_features() -> frozenset[str]:
    """Return what Numba compiles for, as LLVM writes it, with a plus in front."""
    return frozenset(_magic()[2].split(","))


def _magic() -> tuple[str, str, str]:
    magic: tuple[str, str, str] = cpu_target.target_context.codegen().magic_tuple()
    return magic


def vector_shape() -> VectorShape:
    """Return the shape for the processor that Numba compiles for."""
    enabled = enabled_features()
    # 24 sums of 32 registers, or 12 of 16; 8 x 3 is measured to be quicker than 6 x 4 and 12 x 2,
    # as a block of three vectors times 256 rows stays in the first cache
    if "+avx512f" in enabled:
        return VectorShape(lanes=16, vectors=3, rows=8)
    if _magic()[0].startswith(("aarch64", "arm64")):
        return VectorShape(lanes=4, vectors=3, rows=8)
    return VectorShape(lanes=8 if "+avx" in enabled else 4, vectors=2, rows=6)


SHAPE = vector_shape()
BLOCK = SHAPE.lanes * SHAPE.vectors
"""Columns of a tile."""
