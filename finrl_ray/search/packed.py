"""Mappings of trials to numbers that are pickled as two blocks instead of entry by entry.

A scheduler's memory of thousands of trials is pickled with every event of a search; so it takes a
quarter of the time.
"""

from array import array
from typing import Any


class PackedFloats(dict[str, float]):
    """Real numbers by trial id; ids hold no line break."""

    typecode = "d"

    def __reduce__(self) -> Any:
        numbers = array(self.typecode, self.values()).tobytes()
        return _unpacked, (type(self), "\n".join(self), numbers)


class PackedInts(PackedFloats):
    """Whole numbers below 2**63 by trial id."""

    typecode = "q"


def _unpacked(kind: type[PackedFloats], names: str, numbers: bytes) -> PackedFloats:
    values = array(kind.typecode, numbers)
    return kind(zip(names.split("\n"), values, strict=True)) if values else kind()
