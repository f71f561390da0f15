"""What a trial reports, kept by a test in the place of Ray."""

from collections.abc import Callable
from pathlib import Path
from typing import Any


class Reports:
    """Keeps what a run reports, and the checkpoint of each report."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metrics: list[dict[str, Any]] = []

    def __call__(self, metrics: dict[str, Any], save: Callable[[Path], None]) -> None:
        place = self.folder / str(metrics["timesteps"])
        place.mkdir(parents=True)
        save(place)
        self.metrics.append(metrics)
