"""The sources of prices by name; any other value of `data.source` is own code, or a file's path.

A source is a file of this folder with a `Source` in it, and its line below.
"""

from pathlib import Path

import pandas as pd

from finrl_ray.config.data import FILE_ENDINGS, DataConfig
from finrl_ray.data.sources.big_tech import BIG_TECH
from finrl_ray.data.sources.bundled import BUNDLED
from finrl_ray.data.sources.files import read_file
from finrl_ray.data.sources.generated import NOISE, PLANTED
from finrl_ray.data.sources.own_source import own_source, read_own_source
from finrl_ray.data.sources.source import Source
from finrl_ray.data.sources.sp500 import FACTORS, SP500, SP500_INDEX
from finrl_ray.data.sources.sp500_vix import SP500_VIX
from finrl_ray.data.sources.yahoo import YAHOO
from finrl_ray.errors import ConfigError
from finrl_ray.own_code.arguments import in_its_file
from finrl_ray.own_code.reference import is_reference
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
    config : `source` is a name in `SOURCES`, the reference of a function of the user's, or a path
    base_dir : folder from which a relative path is looked up
    progress : told of a download

    Raises
    ------
    DataError
        If there is no such source, or it cannot be read.
    ConfigError
        If the source needs an extra that is not installed, `yahoo` lacks tickers or dates, or a
        function of the user's fails or returns something else than prices.
    """
    if is_own_source(config):
        return read_own_source(config)
    if config.source_kwargs:
        raise ConfigError(
            f"data.source_kwargs {config.source_kwargs} are keywords of a function of your own, "
            f"such as data.source 'my_source:read', got data.source {config.source!r}; delete "
            "data.source_kwargs, or name the function"
        )
    source = SOURCES.get(config.source)
    if source is not None:
        return source.read(config, progress)
    return read_file(config.source, base_dir, known=tuple(SOURCES))


def source_description(config: DataConfig) -> str:
    """Return how the report of the data calls the source."""
    source = SOURCES.get(config.source)
    if source is not None:
        return source.description
    return f"{'Own source' if is_own_source(config) else 'The file'} {config.source}"


def source_notes(config: DataConfig) -> list[str]:
    """Return what a reader of the report should know of the source."""
    source = SOURCES.get(config.source)
    return [] if source is None else source.notes(config)


def is_own_source(config: DataConfig) -> bool:
    """Return whether the source is a function of the user's; nothing is imported."""
    if config.source in SOURCES or config.source.lower().endswith(FILE_ENDINGS):
        return False
    return is_reference(config.source, "source")


def source_place(config: DataConfig) -> str:
    """Return the file and line of a function of the user's for a message; else the source's name.

    Where its code cannot be loaded, as in a process that was given the rows, it has no line.
    """
    if not is_own_source(config):
        return repr(config.source)
    try:
        return config.source + in_its_file(own_source(config).function)
    except ConfigError:
        return config.source
