"""Searches side by side, and when their numbers must not be compared."""

import json
import math
import shutil
from pathlib import Path

import pytest
from made_search import made_search

from finrl_ray.errors import SearchError
from finrl_ray.report.pages.comparison import (
    cautions,
    comparison_table,
    config_differences,
    labels,
    read_searches,
    write_comparison,
)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place = tmp_path_factory.mktemp("compared")
    return [
        made_search(place, n_trials=6, name="one").path,
        made_search(place, n_trials=4, planned=9, name="two").path,
        made_search(place, n_trials=3, name="three", tickers=["AAA", "<i>Z</i>"]).path,
    ]


def test_one_row_each(paths: list[Path]) -> None:
    searches = read_searches(paths)
    table = comparison_table(searches).set_index("search")
    assert table.index.tolist() == ["one", "two", "three"]
    assert table["trials"].tolist() == [6, 4, 3]
    assert table["tickers"].tolist() == [3, 3, 2]
    assert table.loc["two", "state"] == "interrupted"
    assert table.loc["two", "verdict"] == ""
    assert math.isnan(table.loc["two", "judged_ratio"])
    verdict = searches[0].verdict.verdict
    assert table.loc["one", "judged_ratio"] == verdict.sharpe_annual
    assert table.loc["one", "validation"] == "2020-07-01 to 2021-02-01"
    held = searches[0].baselines.set_index("strategy").loc["buy_and_hold", "total_return"]
    assert table.loc["one", "total_return"] == searches[0].winner_row["total_return"]
    assert table.loc["one", "benchmark_return"] == held
    assert table.loc["one", "verdict_says"] in searches[0].verdict.sentences()[0]


def test_what_differs_and_what_must_not_be_compared(paths: list[Path]) -> None:
    first, second, third = read_searches(paths)
    same = cautions([first, second])
    assert not any("prices or features" in line for line in same)
    assert any("Without a verdict yet: two" in line for line in same)
    assert any("prices or features" in line for line in cautions([first, third]))
    different = config_differences([first, second]).set_index("setting")
    assert different.loc["search.num_samples"].tolist() == ["6", "9"]
    assert "name" not in different.index


def test_settings_are_written_as_in_a_config(tmp_path: Path) -> None:
    sections = [{}, {"env": {"parity": True}, "agent": {"model_kwargs": {"gamma": 0.9}}}]
    made = [
        made_search(tmp_path, n_trials=1, name=f"s{i}", **one).path
        for i, one in enumerate(sections)
    ]
    different = config_differences(read_searches(made))
    values = different.drop(columns="setting").to_numpy().ravel().tolist()
    assert {"true", "false"} <= {*values}
    assert not {"True", "False", "None"} & {*values}
    assert not any("'" in value for value in values)


def test_verdicts_by_different_rules_are_said(paths: list[Path], tmp_path: Path) -> None:
    """That of an earlier version names no rule and rests on returns less those of buy & hold."""
    former = Path(shutil.copytree(paths[0], tmp_path / "former"))
    content = json.loads((former / "verdict.json").read_text())
    del content["figures"]["rule"], content["earnings"]
    (former / "verdict.json").write_text(json.dumps(content))
    said = "The verdicts were made by different rules"
    assert any(said in line for line in cautions(read_searches([paths[0], former])))
    assert not any(said in line for line in cautions(read_searches([paths[0], paths[2]])))
    table = comparison_table(read_searches([paths[0], former]))
    assert table["judged_on"].tolist() == [
        "returns beside the market",
        "returns beyond those of buy & hold",
    ]


def test_the_page(paths: list[Path], tmp_path: Path) -> None:
    target = write_comparison(read_searches(paths), tmp_path / "compared.html")
    text = target.read_text(encoding="utf-8")
    assert "<i>Z</i>" not in text
    for name in ("compared_best_so_far", "compared_accounts", "compared_judged_ratio"):
        assert f'id="figure-{name}"' in text
        for kind in ("png", "svg", "csv"):
            assert (tmp_path / "compared" / f"{name}.{kind}").is_file()


def test_searches_of_one_name_are_told_apart(paths: list[Path], tmp_path: Path) -> None:
    again = made_search(tmp_path, n_trials=1, name="one").path
    names = labels(read_searches([paths[0], again, paths[1]]))
    assert names == [paths[0].name, again.name, "two"]


def test_refusals(paths: list[Path]) -> None:
    with pytest.raises(SearchError, match="two or more searches to compare, got 1"):
        read_searches(paths[:1])
    with pytest.raises(SearchError, match="given once, twice"):
        read_searches([paths[0], paths[0]])
