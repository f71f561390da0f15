"""Mappings of trials to numbers that grow, and whose pickles cost the same however large they are.

A scheduler's memory of thousands of trials is pickled with every event of a search. Here each entry
is packed once, when it is made.
"""

from array import array
from collections.abc import Mapping
from typing import Any


class PackedFloatMap(dict[str, float]):
    """Real numbers by trial id; ids hold no line break, and no entry is deleted.

    Parameters
    ----------
    entries : to begin with
    """

    typecode = "d"

    def __init__(self, entries: Mapping[str, float] | None = None) -> None:
        super().__init__(entries or {})
        self._pack()

    def _pack(self) -> None:
        self._names = bytearray("".join(f"{name}\n" for name in self).encode())
        self._numbers = array(self.typecode, self.values())

    def __setitem__(self, name: str, number: float) -> None:
        is_new = name not in self
        super().__setitem__(name, number)
        if is_new:
            self._names += f"{name}\n".encode()
            self._numbers.append(number)
        else:
            self._pack()

    def __reduce__(self) -> Any:
        if len(self._numbers) != len(self):
            self._pack()  # what dict does by itself, as in `update`, passes `__setitem__` by
        return _unpacked, (type(self), bytes(self._names), self._numbers.tobytes())


class PackedIntMap(PackedFloatMap):
    """Whole numbers below 2**63 by trial id."""

    typecode = "q"


def _unpacked(kind: type[PackedFloatMap], names: bytes, numbers: bytes) -> PackedFloatMap:
    return kind(dict(zip(names.decode().splitlines(), array(kind.typecode, numbers), strict=True)))
