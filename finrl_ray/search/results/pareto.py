"""The Pareto front: the results that no other is better than in all measures."""

import numpy as np

from finrl_ray._typing import BoolArray, FloatArray


def non_dominated(values: FloatArray) -> BoolArray:
    """Return which rows no other row dominates: at least as good in all columns, better in one.

    Parameters
    ----------
    values : array of shape (n, k)
        One row per result, one column per measure, all of which are maximised.

    Returns
    -------
    array of shape (n,)
        False for a row that holds NaN, which also dominates no other. Of equal rows, all.
    """
    known: BoolArray = np.logical_not(np.isnan(values).any(axis=1))
    front = known.copy()
    for row in np.flatnonzero(known):
        others = values[known]
        at_least = (others >= values[row]).all(axis=1)
        front[row] = not (at_least & (others > values[row]).any(axis=1)).any()
    return front
