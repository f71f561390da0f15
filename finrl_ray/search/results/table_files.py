"""Reading the CSV and Parquet tables of a search's folder; a damaged one is a `SearchError`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from finrl_ray.errors import SearchError
from finrl_ray.files.bounded_reading import require_regular

if TYPE_CHECKING:
    import pandas as pd

_CELL_BYTES = 8
_PACKED_TIMES = 1000
_ALWAYS_FINE = 1 << 29
# what pandas and pyarrow raise, depending on where a file is damaged
_DAMAGES = (OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError)


def read_csv_table(path: Path, *, dates: bool = False) -> "pd.DataFrame":
    """Return a table of a search's folder that is CSV.

    Parameters
    ----------
    path : the file
    dates : whether its column `date` is read as dates

    Raises
    ------
    SearchError
        If it is missing, no regular file, or damaged.
    """
    import pandas as pd

    try:
        return pd.read_csv(require_regular(path), parse_dates=["date"] if dates else None)
    except _DAMAGES as error:
        raise _damaged(path, error) from error


def read_parquet_table(path: Path, **options: Any) -> "pd.DataFrame":
    """Return a table of a search's folder that is Parquet.

    Parameters
    ----------
    path : the file
    options : as `pandas.read_parquet` takes them

    Raises
    ------
    SearchError
        If it is missing, no regular file, damaged, or would unpack to far more than it should.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    try:
        found = pq.read_metadata(require_regular(path))
        whole = found.num_rows * found.num_columns * _CELL_BYTES
        if whole > max(_ALWAYS_FINE, _PACKED_TIMES * path.stat().st_size):
            raise ValueError(f"it says that it has {found.num_rows:,} rows")
        frame: pd.DataFrame = pd.read_parquet(path, **options)
        return frame
    except _DAMAGES as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: BaseException) -> SearchError:
    return SearchError(
        f"{path} is damaged or of another kind ({str(error).strip()[:300]}); delete it: `finrl-ray "
        "resume` of its search, or the command that made it, writes it again"
    )
