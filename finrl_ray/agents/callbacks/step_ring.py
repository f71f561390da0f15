"""`StepRing`: the latest steps of a run."""

from collections import deque
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
        self._rows: deque[AnyArray] = deque(maxlen=capacity)

    def __len__(self) -> int:
        """Return the number of steps kept."""
        return len(self._rows)

    def push(self, row: AnyArray) -> None:
        """Keep a copy of one step's array; all of one shape."""
        self._rows.append(row.copy())

    def values(self) -> AnyArray:
        """Return the steps, oldest first, as an array of shape (steps, ...); (0,) if none."""
        return np.array(self._rows) if self._rows else np.empty(0)

    def get_state(self) -> dict[str, Any]:
        """Return the steps as plain values."""
        return {"rows": self.values() if self._rows else None}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo `get_state` on a ring of any capacity; of too many steps the latest stay."""
        self._rows.clear()
        for row in () if state["rows"] is None else state["rows"][-self.capacity :]:
            self.push(row)
