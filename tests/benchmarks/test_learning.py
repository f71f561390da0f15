"""The parts of `learning.py` that need no search: its rows, and the configs of its setups."""

import json
from pathlib import Path

import pytest
from known_markets import known_market
from learning import SETUPS, kept_rows, last_of_each, search_config, without_replaced

from finrl_ray.search.sampling.domains import build_space
from finrl_ray.search.sampling.initial_points import check_points


def test_rows_that_were_not_measured_again_stay_and_are_marked() -> None:
    old = [{"setup": "a", "law": "weak", "seed": 1, "share": 0.1}]
    old.append({"setup": "a", "law": "weak", "seed": 2, "share": 0.2})
    new = [{"setup": "a", "law": "weak", "seed": 2, "share": 0.3}]
    assert without_replaced(old, new) == [{**old[0], "earlier": True}]


def test_of_a_search_that_was_repeated_the_last_row_counts() -> None:
    first = {"setup": "optuna", "law": "weak", "seed": 2, "share": 0.1}
    other = {"setup": "defaults", "law": "weak", "seed": 2, "share": 0.2}
    again = {**first, "share": 0.3}
    assert last_of_each([first, other, again]) == [other, again]


def test_rows_are_read_back_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert kept_rows(path) == []
    rows = [{"seed": 1}, {"seed": 2}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert kept_rows(path) == rows


@pytest.mark.parametrize("setup", SETUPS)
def test_each_setup_is_a_config_that_a_search_takes(setup: str, tmp_path: Path) -> None:
    config = search_config(setup, "weak", 3, known_market("weak", 3, 2_850), tmp_path)
    check_points(config, build_space(config))
    assert (config.seed, config.search.num_samples) == (3, 16)
    for section, values in SETUPS[setup][1].items():
        for name, value in values.items():
            if not isinstance(value, dict | list):
                assert getattr(getattr(config, section), name) == value
