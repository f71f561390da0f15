"""Paired differences of searches, their standard errors and the table, worked out by hand."""

import math
from typing import Any

import pytest
from search_comparison import as_markdown, compared


def row(
    setup: str, law: str, seed: int, ranked: float, cpu: float, **readings: float
) -> dict[str, Any]:
    return {
        "setup": setup,
        "law": law,
        "seed": seed,
        "share": ranked,
        "readings": {"ranked": ranked, **readings},
        "cpu_s": cpu,
        "timesteps": 1_000 * seed,
    }


ROWS = [
    row("defaults", "weak", 1, 0.5, 20.0, ensemble_3=0.75),
    row("defaults", "weak", 2, 1.0, 40.0, ensemble_3=0.75),
    row("defaults", "pairs", 1, 0.25, 30.0, ensemble_3=0.5),
    row("optuna", "weak", 2, 1.5, 10.0),
    row("optuna", "weak", 1, 0.75, 20.0),
    row("optuna", "weak", 9, 5.0, 20.0),
]


def test_a_reading_is_compared_with_the_winner_of_its_own_search() -> None:
    found = {(one.setup, one.reading, one.law): one for one in compared(ROWS)}
    weak = found["defaults", "ensemble_3", "weak"]
    assert (weak.searches, weak.share, weak.difference) == (2, 0.75, 0.0)
    assert (weak.won, weak.lost) == (1, 1)
    # differences .25 and -.25: deviation .25 sqrt(2), over sqrt(2)
    assert weak.error == pytest.approx(0.25)
    assert math.isnan(found["defaults", "ensemble_3", "pairs"].error)
    every = found["defaults", "ensemble_3", "all"]
    assert (every.searches, every.won) == (3, 2)
    assert every.difference == pytest.approx(0.25 / 3)
    # .25, -.25 and .25 about .25 / 3: squares sum to 1/6, over 2, over 3
    assert every.error == pytest.approx(1 / 6)


def test_a_setup_is_compared_seed_by_seed_where_both_were_run() -> None:
    found = {(one.setup, one.reading, one.law): one for one in compared(ROWS)}
    weak = found["optuna", "ranked", "weak"]
    # 1.5 - 1 and .75 - .5; seed 9 has no search of the defaults
    assert (weak.searches, weak.won) == (2, 2)
    assert weak.difference == pytest.approx(0.375)
    assert weak.error == pytest.approx(0.125)
    assert (weak.cpu_s, weak.timesteps) == (15.0, 1_500.0)
    assert ("optuna", "ranked", "pairs") not in found


def test_rows_without_readings_and_laws_without_an_edge_are_left_out() -> None:
    earlier = {"setup": "defaults", "law": "weak", "seed": 1, "share": 9.0, "timesteps": 1}
    none = {**row("defaults", "none", 1, 0.0, 1.0), "share": None}
    assert compared([earlier, none]) == []
    assert as_markdown(compared([*ROWS, earlier, none])) == as_markdown(compared(ROWS))


def test_the_table_has_a_column_per_market() -> None:
    lines = as_markdown(compared(ROWS)).splitlines()
    assert lines[0] == "| setup | who trades | weak | pairs | all | CPU seconds | timesteps |"
    # one row for each: 3 searches of the defaults on 2 markets, 2 of the other on 1
    assert lines[2:] == [
        "| `defaults` | `ranked` | 75 % (2) | 25 % (1) | 58 % (3) | 30 | 1,333 |",
        "| `defaults` | `ensemble_3` | 75 %, +0 ± 25 (1 won, 1 lost) | 50 %, +25 ± nan "
        "(1 won, 0 lost) | 67 %, +8 ± 17 (2 won, 1 lost) | 30 | 1,333 |",
        "| `optuna` | `ranked` | 112 %, +38 ± 12 (2 won, 0 lost) |  | 112 %, +38 ± 12 "
        "(2 won, 0 lost) | 15 | 1,500 |",
    ]
