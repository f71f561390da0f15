"""`DrawnSamples`: all samples of a random or grid search, drawn before its first trial."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any


class DrawnSamples:
    """Samples in the order in which they are given out; nothing changes them.

    Config and seed give them again, so that a search's state names them by their digest alone: the
    whole list in each state would make every event of a long search cost more.

    Parameters
    ----------
    samples : of plain values
    """

    def __init__(self, samples: Iterable[dict[str, Any]]) -> None:
        self._samples = list(samples)
        text = json.dumps(self._samples, default=repr)
        self.digest = hashlib.sha256(text.encode()).hexdigest()
        """SHA-256 of all samples."""

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._samples[index]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._samples)
