"""`StepRing`: the latest steps of a run, in an array that does not grow."""

from typing import Any

import numpy as np

from finrl_ray._typing import AnyArray


class StepRing:
    """Keeps the last `capacity` arrays that were pushed.

    Parameters
    ----------
    capacity : steps, >= 1
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._rows: AnyArray | None = None
        self._pushed = 0

    def __len__(self) -> int:
        """Return the number of steps kept."""
        return min(self._pushed, self.capacity)

    def push(self, row: AnyArray) -> None:
        """Keep a copy of one step's array; all of one shape."""
        if self._rows is None:
            self._rows = np.empty((self.capacity, *row.shape), dtype=row.dtype)
        self._rows[self._pushed % self.capacity] = row
        self._pushed += 1

    def values(self) -> AnyArray:
        """Return the steps, oldest first, as an array of shape (steps, ...); (0,) if none."""
        if self._rows is None:
            return np.empty(0)
        if self._pushed <= self.capacity:
            return self._rows[: self._pushed].copy()
        return np.roll(self._rows, -(self._pushed % self.capacity), axis=0)

    def get_state(self) -> dict[str, Any]:
        """Return the steps as plain values."""
        return {"rows": None if self._rows is None else self.values()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo `get_state` on a ring of any capacity; of too many steps the latest stay."""
        self._rows, self._pushed = None, 0
        for row in () if state["rows"] is None else state["rows"][-self.capacity :]:
            self.push(row)
