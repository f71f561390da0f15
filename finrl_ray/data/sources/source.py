"""`Source`: what each file of this folder says of its source, and the registry lists."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from finrl_ray.config.data import DataConfig
from finrl_ray.support.progress import Progress


def _no_notes(config: DataConfig) -> list[str]:
    return []


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A place that prices come from, known by a name in `data.source`.

    Parameters
    ----------
    name : as `data.source` gives it
    description : how the report of the data calls it
    read : returns its rows in FinRL's long format, given the `data` section and whom to tell of
        the progress of a download; raises DataError where it cannot be read, ConfigError where it
        needs a package that is not installed, or keys that are not set
    notes : returns sentences for the report of the data
    """

    name: str
    description: str
    read: Callable[[DataConfig, Progress], pd.DataFrame]
    notes: Callable[[DataConfig], list[str]] = _no_notes
