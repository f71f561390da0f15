"""The market entries of observations: rows of a market, found by what an observation shows."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from finrl_ray._typing import AnyArray
from finrl_ray.agents.replay.kernel import row_hashes, same_market
from finrl_ray.env.kernel.arrays import as_read_only
from finrl_ray.env.market_table import MarketTable


def describe_market(table: MarketTable) -> dict[str, Any]:
    """Return what tells one market from another, as plain values."""
    return {
        "hash": table.observation_hash,
        "n_periods": table.n_periods,
        "n_assets": table.n_assets,
        "first": str(table.dates[0])[:10],
        "last": str(table.dates[-1])[:10],
    }


def market_words(description: Mapping[str, Any]) -> str:
    """Return a description as part of a sentence."""
    return (
        f"{description['n_assets']} tickers, {description['n_periods']} periods from "
        f"{description['first']} to {description['last']}, {description['hash'][:12]}"
    )


class MarketRows:
    """The rows that places point to: those of markets traded before, then those of a table.

    Parameters
    ----------
    table : the market that is traded
    history : array of shape (H, M), int32
        Rows of markets traded before; None for none.
    """

    def __init__(self, table: MarketTable, history: AnyArray | None = None) -> None:
        self.table = table
        self.description = describe_market(table)
        self.n_assets = table.n_assets
        current = as_read_only(table.market.table.view(np.int32))
        self.n_earlier = 0 if history is None else len(history)
        if history is not None and len(history):
            current = as_read_only(np.concatenate([history, current]))
        self.bits: AnyArray = current

    @property
    def history(self) -> AnyArray:
        """Rows (H, M) of markets traded before."""
        return self.bits[: self.n_earlier]

    def is_of(self, table: MarketTable) -> bool:
        """Return whether `table` is the market that is traded."""
        return bool(self.description["hash"] == table.observation_hash)

    def followed_by(self, table: MarketTable) -> "MarketRows":
        """Return these rows as history, and the table's after them."""
        return MarketRows(table, self.bits)

    def find(self, observation: AnyArray) -> int | None:
        """Return the row that an observation (S,) of int32 words shows, None if there is none."""
        n = self.n_assets
        entries = market_entries(observation, n)
        wanted = row_hashes(as_read_only(entries[np.newaxis]))[0]
        hashes, rows = self._sorted_hashes
        at = int(np.searchsorted(hashes, wanted))
        if at == len(hashes) or hashes[at] != wanted:
            return None
        row = int(rows[at])
        # two rows of one hash are possible; the observation is then kept whole
        return row if same_market(observation, self.bits[row], n) else None

    @cached_property
    def _sorted_hashes(self) -> tuple[AnyArray, AnyArray]:
        hashes = row_hashes(self.bits)
        order = np.argsort(hashes, kind="stable")
        return hashes[order], order


class RowPool:
    """Rows of int32 words that come and go, in an array that grows.

    Parameters
    ----------
    width : words per row
    """

    def __init__(self, width: int) -> None:
        self.load(np.zeros((0, width), dtype=np.int32))

    def load(self, rows: AnyArray) -> None:
        """Hold these rows alone, under the numbers 0, 1, ..."""
        self._rows = np.array(rows, dtype=np.int32)
        self.used = len(rows)
        self._free: list[int] = []
        self.rows = as_read_only(self._rows)

    def clear(self) -> None:
        """Forget every row."""
        self.load(self._rows[:0])

    def put(self, row: AnyArray) -> int:
        """Keep a copy of a row, and return its number."""
        index = self._free.pop() if self._free else self.used
        if index == self.used:
            self.used += 1
            if self.used > len(self._rows):
                self._grow()
        self._rows[index] = row
        return index

    def drop(self, index: int) -> None:
        """Let the number of a row be given to another."""
        self._free.append(index)

    def _grow(self) -> None:
        larger = np.zeros((max(16, 2 * len(self._rows)), self._rows.shape[1]), dtype=np.int32)
        larger[: len(self._rows)] = self._rows
        self._rows = larger
        self.rows = as_read_only(larger)

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return int(self._rows.nbytes)


def market_entries(observation: AnyArray, n_assets: int) -> AnyArray:
    """Return the market entries (M,) of an observation (S,)."""
    return np.concatenate((observation[1 : 1 + n_assets], observation[1 + 2 * n_assets :]))


def compact_records(
    ring: AnyArray, pending: AnyArray, extra: AnyArray, whole: AnyArray
) -> dict[str, AnyArray]:
    """Return copies that hold what is pointed to alone, numbered in the order of the ring.

    So two buffers with the same transitions are equal, whatever they held before.

    Parameters
    ----------
    ring, pending, extra, whole : as in `gather_observations`

    Returns
    -------
    dict
        The four arrays, under these names.
    """
    ring, pending = ring.copy(), pending.copy()
    links = ring[..., -1]
    linked = links > 0
    held = extra[links[linked] - 1]
    links[linked] = np.arange(1, 1 + len(held))
    kept: list[AnyArray] = []
    n_kept = 0
    for places in (ring[..., -2], held[:, -1], pending[:, -1]):
        unknown = places < 0
        kept.append(whole[-1 - places[unknown]])
        places[unknown] = -1 - np.arange(n_kept, n_kept + len(kept[-1]))
        n_kept += len(kept[-1])
    return {"ring": ring, "pending": pending, "extra": held, "whole": np.concatenate(kept)}
