"""The sources of prices by name; any other value of `data.source` is the path of a file.

A source is a file of this folder with a `Source` in it, and its line below.
"""

from pathlib import Path

import pandas as pd

from finrl_ray.config.data import DataConfig
from finrl_ray.data.sources.big_tech import BIG_TECH
from finrl_ray.data.sources.bundled import BUNDLED
from finrl_ray.data.sources.files import read_file
from finrl_ray.data.sources.generated import NOISE, PLANTED
from finrl_ray.data.sources.source import Source
from finrl_ray.data.sources.sp500 import FACTORS, SP500, SP500_INDEX
from finrl_ray.data.sources.sp500_vix import SP500_VIX
from finrl_ray.data.sources.yahoo import YAHOO
from finrl_ray.support.progress import Progress, no_progress

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        BUNDLED,
        SP500,
        SP500_INDEX,
        FACTORS,
        BIG_TECH,
        SP500_VIX,
        YAHOO,
        NOISE,
        PLANTED,
    )
}
"""In the order in which messages list them."""


def read_source(
    config: DataConfig, base_dir: Path, progress: Progress = no_progress
) -> pd.DataFrame:
    """Return the rows of `config.source` in FinRL's long format.

    Parameters
    ----------
    config : `source` is a name in `SOURCES` or a path
    base_dir : folder from which a relative path is looked up
    progress : told of a download

    Raises
    ------
    DataError
        If there is no such source, or it cannot be read.
    ConfigError
        If the source needs an extra that is not installed, or `yahoo` lacks tickers or dates.
    """
    source = SOURCES.get(config.source)
    if source is not None:
        return source.read(config, progress)
    return read_file(config.source, base_dir, known=tuple(SOURCES))


def source_description(config: DataConfig) -> str:
    """Return how the report of the data calls the source."""
    source = SOURCES.get(config.source)
    return f"The file {config.source}" if source is None else source.description


def source_notes(config: DataConfig) -> list[str]:
    """Return what a reader of the report should know of the source."""
    source = SOURCES.get(config.source)
    return [] if source is None else source.notes(config)
