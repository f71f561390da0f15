"""What the forward record keeps of a signal, and whether its bars are still the same."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from finrl_ray.deployment.forward_entry import (
    GIVEN,
    PAPER,
    find_changed_bars,
    hash_of_rows,
    record_signal,
)
from finrl_ray.deployment.forward_record import read
from finrl_ray.deployment.signal import Signal
from finrl_ray.errors import DataError
from finrl_ray.files.manifest import write_folder_manifest

TRAINED = np.datetime64("2020-01-03", "ns")


def bars(n_days: int = 8) -> pd.DataFrame:
    dates = pd.bdate_range("2020-01-01", periods=n_days)
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "date": np.repeat(dates.to_numpy(), 2),
            "tic": ["A", "B"] * n_days,
            "close": rng.uniform(10, 20, 2 * n_days),
            "volume": rng.integers(1, 9, 2 * n_days),
        }
    )


def signal(date: str, **changed: object) -> Signal:
    made = Signal(
        date=date,
        tickers=("A", "B"),
        action=np.array([0.1, -0.7], dtype=np.float32),
        planned=np.array([3.0, -2.0]),
        orders=np.array([3.0, 0.0]),
        reference_price=np.array([10.1, 1 / 3]),
        holdings_before=np.array([1.0, 0.0]),
        holdings_after=np.array([4.0, 0.0]),
        weight_before=np.array([0.1, 0.0]),
        weight_after=np.array([0.4, 0.0]),
        cost=0.03,
        borrow_fee=0.0,
        account_value=101.0,
        cash_before=90.9,
        cash_after=60.57,
        reasons=((), ("not_held",)),
        unfamiliar=(),
        unfamiliar_in_words="",
        fill="close",
    )
    return dataclasses.replace(made, **changed)  # type: ignore[arg-type]  # fields of it


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "agent.json").write_text("{}", encoding="utf-8")
    write_folder_manifest(tmp_path)
    return tmp_path


def test_all_that_was_said_is_kept(folder: Path) -> None:
    record_signal(folder, signal("2020-01-06"), account=PAPER, bars=bars(), trained=TRAINED)
    record_signal(folder, signal("2020-01-07"), account=GIVEN, bars=bars(), trained=TRAINED)
    first, second = read(folder)
    assert first["orders"] == [3.0, 0.0]
    assert first["reference_price"] == [10.1, 1 / 3]
    assert first["action"] == [float(np.float32(0.1)), float(np.float32(-0.7))]
    assert first["reasons"] == [[], ["not_held"]]
    assert first["account"]["kind"] == "paper"
    assert second["account"] == {
        "kind": "given",
        "cash": 90.9,
        "shares": [1.0, 0.0],
        "value": 101.0,
        "shares_after": [4.0, 0.0],
        "cash_after": 60.57,
        "cost": 0.03,
    }
    assert first["inputs"]["bars"]["rows"] == 2
    assert first["inputs"]["holdings"] == second["inputs"]["holdings"]
    assert find_changed_bars(read(folder), bars(), TRAINED) == []


def test_the_same_signal_again_is_no_second_entry(folder: Path) -> None:
    one = record_signal(folder, signal("2020-01-06"), account=PAPER, bars=bars(), trained=TRAINED)
    two = record_signal(folder, signal("2020-01-06"), account=PAPER, bars=bars(), trained=TRAINED)
    assert one == two
    assert len(read(folder)) == 1
    other = signal("2020-01-06", orders=np.array([2.0, 0.0]))
    with pytest.raises(DataError, match="what was said of a bar is never said again"):
        record_signal(folder, other, account=PAPER, bars=bars(), trained=TRAINED)


def test_bars_that_were_changed_are_shown_with_the_line(folder: Path) -> None:
    for date in ("2020-01-06", "2020-01-08", "2020-01-09"):
        record_signal(folder, signal(date), account=PAPER, bars=bars(), trained=TRAINED)
    entries = read(folder)
    assert [entry["inputs"]["bars"]["rows"] for entry in entries] == [2, 4, 2]
    changed = bars()
    changed.loc[changed["date"] == "2020-01-07", "close"] *= 1.0 + 1e-12
    assert find_changed_bars(entries, changed, TRAINED) == [
        "line 2: the bars up to 2020-01-08 are not those that the signal was made of"
    ]
    fewer = bars()[lambda frame: frame["date"] < "2020-01-09"]
    assert [line.split(":")[0] for line in find_changed_bars(entries, fewer, TRAINED)] == ["line 3"]


def test_rows_have_one_hash_in_any_order_and_type() -> None:
    rows = bars(3)
    known = hash_of_rows(rows)
    assert hash_of_rows(rows.iloc[::-1][["volume", "tic", "close", "date"]]) == known
    assert hash_of_rows(rows.astype({"volume": float}).assign(more=np.nan)) == known
    other = rows.copy()
    other.loc[2, "close"] = np.nextafter(other.loc[2, "close"], 100.0)
    assert hash_of_rows(other) != known
    assert hash_of_rows(rows.iloc[:2]) != known
    assert hash_of_rows(rows.assign(tradable=True)) != known
