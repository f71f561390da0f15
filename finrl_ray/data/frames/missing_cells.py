"""Which values in the cells of a frame mean that there is no value."""

from typing import Any

import numpy as np
import pandas as pd


def is_missing(value: Any) -> bool:
    """Return whether a cell holds None, NaN, NaT or pandas' NA."""
    return (
        value is None
        or value is pd.NaT
        or value is pd.NA
        or (isinstance(value, (float, np.floating)) and bool(np.isnan(value)))
    )
