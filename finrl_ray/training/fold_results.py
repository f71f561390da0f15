"""`FoldResult`: what a training has come to on its judged rows, and the file of a trial's."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from finrl_ray._typing import AnyArray, DateArray, FloatArray
from finrl_ray.files.bounded_reading import read_arrays

FOLDS_FILE = "folds.npz"
_OWN = "own_"


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldResult:
    """What one training has come to on its judged rows.

    Parameters
    ----------
    fold : its number in the plan
    seed : of the training
    timesteps : that it took
    dates : array of shape (R,), the days on which returns were earned
    returns : array of shape (R,), the account's simple returns; one fewer per segment than rows
    active : array of shape (R,), `returns` less those of buy & hold on the same days
    turnover : per year, the mean over the segments; NaN where an env of the user's does not say it
    exposure : mean share of the account that was invested; NaN where an earlier version has not
        kept it, or an env of the user's does not say it
    own : values of the user's metrics by name, means over the segments by their returns
    """

    fold: int
    seed: int
    timesteps: int
    dates: DateArray
    returns: FloatArray
    active: FloatArray
    turnover: float
    exposure: float = math.nan
    own: Mapping[str, float] = field(default_factory=dict)

    @property
    def benchmark(self) -> FloatArray:
        """Simple returns of buy & hold on the same days, shape (R,)."""
        return self.returns - self.active


def write_folds(done: Sequence[FoldResult], folder: Path) -> None:
    """Write the folds that are done into a checkpoint's folder."""
    lengths = [len(result.returns) for result in done]
    arrays: dict[str, Any] = {
        "seed": np.array([result.seed for result in done]),
        "timesteps": np.array([result.timesteps for result in done]),
        "turnover": np.array([result.turnover for result in done]),
        "exposure": np.array([result.exposure for result in done]),
        "length": np.array(lengths),
        "dates": np.concatenate([result.dates for result in done]),
        "returns": np.concatenate([result.returns for result in done]),
        "active": np.concatenate([result.active for result in done]),
    }
    for name in done[0].own:
        arrays[f"{_OWN}{name}"] = np.array([result.own[name] for result in done])
    np.savez(folder / FOLDS_FILE, **arrays)


def read_folds(folder: Path) -> list[FoldResult]:
    """Return the folds of a checkpoint's folder, in order."""
    return folds_of((folder / FOLDS_FILE).read_bytes())


def folds_of(content: bytes) -> list[FoldResult]:
    """Return the folds that `write_folds` wrote, from the content of the file."""
    arrays: dict[str, AnyArray] = read_arrays(io.BytesIO(content))
    bounds = np.cumsum(arrays["length"])[:-1]
    # kept since the measure is there
    invested = arrays.get("exposure", np.full(len(arrays["length"]), np.nan))
    series = {name: np.split(arrays[name], bounds) for name in ("dates", "returns", "active")}
    own = {key.removeprefix(_OWN): arrays[key] for key in arrays if key.startswith(_OWN)}
    return [
        FoldResult(
            fold=number,
            seed=int(arrays["seed"][number]),
            timesteps=int(arrays["timesteps"][number]),
            turnover=float(arrays["turnover"][number]),
            exposure=float(invested[number]),
            own={name: float(values[number]) for name, values in own.items()},
            **{name: parts[number] for name, parts in series.items()},
        )
        for number in range(len(arrays["length"]))
    ]
