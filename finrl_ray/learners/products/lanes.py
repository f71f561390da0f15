"""Arithmetic on vectors in the LLVM code that is written."""

from typing import Any

from llvmlite import ir

from finrl_ray.learners.products.vector_code import VECTOR, VectorCode
from finrl_ray.learners.products.vectors import SHAPE

LEAST, MOST = 1.2e-38, 3.4e38
"""Within float32's normal range, so that neither an estimate of an inverse root nor its square is
infinite."""


class Lanes:
    """A vector in the code that is written, with the signs of arithmetic."""

    def __init__(self, code: VectorCode, vector: Any) -> None:
        self.code, self.vector = code, vector

    def _with(self, name: str, other: "Lanes") -> "Lanes":
        operation = getattr(self.code.builder, name)
        return Lanes(self.code, operation(self.vector, other.vector, flags=("contract",)))

    def __add__(self, other: "Lanes") -> "Lanes":
        return self._with("fadd", other)

    def __sub__(self, other: "Lanes") -> "Lanes":
        return self._with("fsub", other)

    def __mul__(self, other: "Lanes") -> "Lanes":
        return self._with("fmul", other)

    def __truediv__(self, other: "Lanes") -> "Lanes":
        return self._with("fdiv", other)

    def within(self, least: float, most: float) -> "Lanes":
        """Return these, or a limit where they are beyond it; NaN stays NaN."""
        builder, vector = self.code.builder, self.vector
        for sign, number in (("<", least), (">", most)):
            limit = self.constant(number).vector
            beyond = builder.fcmp_ordered(sign, vector, limit)
            vector = builder.select(beyond, limit, vector)
        return Lanes(self.code, vector)

    def constant(self, number: float) -> "Lanes":
        """Return a number in all lanes."""
        return Lanes(self.code, ir.Constant(VECTOR, [number] * SHAPE.lanes))

    def inverse_root(self) -> "Lanes":
        """Return 1 / sqrt of numbers in the normal range."""
        estimate = self.code.estimate("rsqrt", self.vector)
        if estimate is None:
            return self.constant(1.0) / Lanes(self.code, self.code.root(self.vector))
        found = Lanes(self.code, estimate)
        half = self.constant(0.5) * self * found
        return found * (self.constant(1.5) - half * found)

    def inverse(self) -> "Lanes":
        """Return 1 / x of numbers in the normal range."""
        estimate = self.code.estimate("rcp", self.vector)
        if estimate is None:
            return self.constant(1.0) / self
        found = Lanes(self.code, estimate)
        return found * (self.constant(2.0) - self * found)

    def root(self) -> "Lanes":
        """Return the square root of numbers >= 0; of numbers below the normal range, nearly 0."""
        return self * self.within(LEAST, MOST).inverse_root()

    def where_above_zero(self, other: "Lanes") -> "Lanes":
        """Return others where these are not <= 0, else 0."""
        builder, nothing = self.code.builder, self.constant(0.0).vector
        below = builder.fcmp_ordered("<=", self.vector, nothing)
        return Lanes(self.code, builder.select(below, nothing, other.vector))

    def fenced(self) -> "Lanes":
        """Return these, made for themselves: what follows is not merged with what they came of."""
        return Lanes(self.code, self.code.fence(self.vector))
