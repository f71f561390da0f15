"""How far a day's features lie outside those that an agent was trained on."""

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import DataError
from finrl_ray.files.bounded_reading import read_arrays

CLOSE = "close"
"""Stands beside the features where observations show prices as they are."""
_MOMENTS = ("mean", "std", "least", "most")


@dataclass(frozen=True, kw_only=True)
class UnfamiliarFeature:
    """One feature of a day that lies outside its range over the rows of training.

    Parameters
    ----------
    name : of the feature
    share : of the tickers for which it is below the least or above the most of training
    ticker : for which it lies farthest outside
    value : of that ticker
    least, most : of that ticker in training
    z_score : of that ticker, in standard deviations of training from the mean of training; infinite
        where the feature never changed in training
    """

    name: str
    share: float
    ticker: str
    value: float
    least: float
    most: float
    z_score: float


@dataclass(frozen=True, eq=False, kw_only=True)
class FeatureRanges:
    """Mean, standard deviation, least and most of each feature of each ticker over some rows.

    Parameters
    ----------
    names : F names
    tickers : N names
    mean, std, least, most : arrays of shape (N, F), in the feature's unit
    """

    names: tuple[str, ...]
    tickers: tuple[str, ...]
    mean: FloatArray
    std: FloatArray
    least: FloatArray
    most: FloatArray

    def outside(self, market: MarketData, row: int) -> tuple[UnfamiliarFeature, ...]:
        """Return the features of a row that lie outside, the farthest first.

        Raises
        ------
        DataError
            If the market has other tickers, or lacks a feature.
        """
        if market.tickers != self.tickers:
            raise DataError(f"the market has the tickers {market.tickers}, not {self.tickers}")
        values = observed_features(market.rows(row, row + 1), self.names)[0]
        beyond = (values < self.least) | (values > self.most)
        with np.errstate(divide="ignore", invalid="ignore"):
            z_scores = np.where(values == self.mean, 0.0, (values - self.mean) / self.std)
        found = []
        for k in np.flatnonzero(beyond.any(axis=0)).tolist():
            i = int(np.where(beyond[:, k], np.abs(z_scores[:, k]), -1.0).argmax())
            found.append(
                UnfamiliarFeature(
                    name=self.names[k],
                    share=float(beyond[:, k].mean()),
                    ticker=self.tickers[i],
                    value=float(values[i, k]),
                    least=float(self.least[i, k]),
                    most=float(self.most[i, k]),
                    z_score=float(z_scores[i, k]),
                )
            )
        return tuple(sorted(found, key=lambda one: -abs(one.z_score)))

    def write(self, path: Path) -> None:
        """Write an npz file without Python objects."""
        buffer = io.BytesIO()
        moments = {name: getattr(self, name) for name in _MOMENTS}
        names = np.array(self.names, dtype=np.str_), np.array(self.tickers, dtype=np.str_)
        np.savez(buffer, names=names[0], tickers=names[1], **moments)
        path.write_bytes(buffer.getvalue())

    @classmethod
    def read(cls, path: Path) -> "FeatureRanges":
        """Return what `write` wrote.

        Raises
        ------
        DataError
            If the file is missing or damaged.
        """
        try:
            arrays = read_arrays(path)
            names, tickers = (
                tuple(str(one) for one in arrays[name]) for name in ("names", "tickers")
            )
            moments = {name: np.asarray(arrays[name], dtype=np.float64) for name in _MOMENTS}
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{path} cannot be read as ranges of features: {error}") from error
        shapes = {array.shape for array in moments.values()}
        if shapes != {(len(tickers), len(names))}:
            raise DataError(f"{path} cannot be read as ranges of features: shapes {shapes}")
        return cls(names=names, tickers=tickers, **moments)


def feature_ranges(market: MarketData, *, with_close: bool) -> FeatureRanges:
    """Return the ranges over all rows of a market.

    Parameters
    ----------
    market : the rows of training, without warm-up rows
    with_close : whether observations show prices as they are
    """
    own = market.feature_names
    names = (CLOSE, *own) if with_close and CLOSE not in own else own
    values = observed_features(market, names)
    return FeatureRanges(
        names=names,
        tickers=market.tickers,
        mean=values.mean(axis=0),
        std=values.std(axis=0),
        least=values.min(axis=0),
        most=values.max(axis=0),
    )


def observed_features(market: MarketData, names: Sequence[str]) -> FloatArray:
    """Return features, the close among them where it is named first, of shape (T, N, F).

    Raises
    ------
    DataError
        If the market lacks one.
    """
    own = [name for name in names if name in market.feature_names]
    if len(own) == len(names):
        return market.with_features(own).features
    others = [name for name in names if name != CLOSE]
    features = market.with_features(others).features
    return np.concatenate([market.close[:, :, None], features], axis=2)


def in_words(outside: Sequence[UnfamiliarFeature], n_features: int) -> str:
    """Return in one sentence how far features lie outside what was trained on.

    Parameters
    ----------
    outside : from `FeatureRanges.outside`
    n_features : F, of which these are some
    """
    if not outside:
        return "All of today's features lie within what the agent was trained on."
    first = outside[0]
    far = (
        f"{abs(first.z_score):.1f} standard deviations from its mean there"
        if np.isfinite(first.z_score)
        else "where it never changed there"
    )
    return (
        f"{len(outside)} of today's {n_features} features lie outside what the agent was trained "
        f"on for some tickers; the farthest is {first.name} of {first.ticker}, {far} "
        f"({first.value:.4g}, trained on {first.least:.4g} to {first.most:.4g}; outside for "
        f"{first.share:.0%} of the tickers)."
    )
