"""Bars that an agent has seen since it was deployed: `paper/bars.parquet`, which only grows."""

from pathlib import Path

import numpy as np
import pandas as pd

from finrl_ray.config.data import DataConfig
from finrl_ray.data.labels import date_label
from finrl_ray.deployment.agent_folder import BARS_FILE, PAPER_FOLDER
from finrl_ray.deployment.bars import plain_bars, read_bars, write_bars
from finrl_ray.deployment.forward_record import sole_writer
from finrl_ray.errors import DataError
from finrl_ray.files.atomic import atomic_path


def seen_until(folder: Path) -> np.datetime64 | None:
    """Return the date of the last bar that was seen since deployment; None if none was.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    seen = folder / PAPER_FOLDER / BARS_FILE
    if not seen.is_file():
        return None
    dates = read_bars(seen)["date"].to_numpy().astype("datetime64[ns]")
    last: np.datetime64 = dates.max()
    return last


def add_seen_bars(folder: Path, rows: pd.DataFrame, config: DataConfig) -> None:
    """Keep new bars in an agent's folder, after those that it has seen; whole or not at all.

    Parameters
    ----------
    folder : of the agent
    rows : from `read_new_bars`
    config : its `data` section

    Raises
    ------
    DataError
        If a row is not after the last one that was seen, or the file cannot be written.
    SearchError
        As `sole_writer`.
    """
    if rows.empty:
        return
    added = plain_bars(rows, config)
    with sole_writer(folder):
        _add(folder / PAPER_FOLDER / BARS_FILE, added, seen_until(folder))


def _add(path: Path, added: pd.DataFrame, before: np.datetime64 | None) -> None:
    first = added["date"].to_numpy().astype("datetime64[ns]").min()
    if before is not None and first <= before:
        raise DataError(
            f"bars can only be added to {path} after {date_label(before)}, the last one in it, got "
            f"one of {date_label(first)}; another program may have added it: ask again"
        )
    whole = added if before is None else pd.concat([read_bars(path), added], ignore_index=True)
    try:
        with atomic_path(path) as temporary:
            write_bars(whole, temporary)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error}") from error
