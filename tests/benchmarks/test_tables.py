"""The pages' tables are those of the results, and results of another run are not lost."""

import json
from pathlib import Path

import measuring
import pytest
import tables
from repository import REPOSITORY

TEXTS = {name: (REPOSITORY / name).read_text(encoding="utf-8") for name in tables.PAGES}


@pytest.mark.parametrize("page", tables.PAGES)
def test_a_page_has_what_was_measured(page: str) -> None:
    assert tables.with_tables(TEXTS[page]) == TEXTS[page], "run python benchmarks/tables.py"


def test_each_table_stands_in_a_page() -> None:
    placed = [found[1] for text in TEXTS.values() for found in tables.BLOCK.findall(text)]
    assert sorted(placed) == sorted(tables.TABLES)


def result(path: Path, kind: str, **row: object) -> None:
    folder = path / kind
    versions = {"measured": "2026-11-30T12:00:00+00:00", "cpu": f"{kind}(R) Processor"}
    measuring.write_results("training", [row], versions, folder, same=["algorithm"])


def test_a_column_for_each_kind_and_an_empty_cell_for_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    speeds = {"finrl": {"median": 10.0}, "sb3_free": 20.0, "finrl_ray": 1234.5}
    result(tmp_path, "intel", algorithm="ppo", steps_per_cpu_s=speeds)
    result(tmp_path, "amd", algorithm="a2c", steps_per_cpu_s={**speeds, "finrl": 30.0})
    lines = tables.training().splitlines()
    assert lines[0].startswith("| steps per CPU second | FinRL + SB3, Intel | FinRL + SB3, AMD |")
    assert lines[2] == "| ppo | 10 |  | 20 |  | 1,234 |  |"
    assert lines[3] == "| a2c |  | 30 |  | 20 |  | 1,234 |"
    assert lines[5] == "Intel: intel, 2026-11-30; AMD: amd, 2026-11-30."


def test_a_table_has_as_many_cells_in_each_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    versions = {"measured": "2026-11-30T12:00:00+00:00", "cpu": "AMD EPYC"}
    row = {"algorithm": "a2c", "earlier": "28bc43c", "times": {"median": 2.5}}
    measuring.write_results("against_checkout", [row], versions, tmp_path / "amd")
    lines = tables.earlier().splitlines()
    assert lines[:3] == [
        "|  | commit | times, AMD |",
        "| --- | --- | --- |",
        "| a2c | 28bc43c | 2.50 |",
    ]


@pytest.mark.parametrize("page", tables.PAGES)
def test_the_lines_of_a_pages_tables_have_as_many_cells(page: str) -> None:
    for block in tables.BLOCK.finditer(TEXTS[page]):
        lines = [line for line in block[0].splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1, block[2]


def test_a_run_of_one_algorithm_leaves_the_others(tmp_path: Path) -> None:
    result(tmp_path, "amd", algorithm="ppo", speed=1)
    result(tmp_path, "amd", algorithm="a2c", speed=2)
    result(tmp_path, "amd", algorithm="ppo", speed=3)
    kept = json.loads((tmp_path / "amd" / "training.json").read_text(encoding="utf-8"))
    assert [(row["algorithm"], row["speed"]) for row in kept["rows"]] == [("a2c", 2), ("ppo", 3)]
    # of the run that it is from
    assert "versions" in kept["rows"][0]
    assert "versions" not in kept["rows"][1]


@pytest.mark.parametrize(
    ("model", "machine", "kind"),
    [
        ("Intel(R) Xeon(R) Processor", "x86_64", "intel"),
        ("AMD EPYC", "x86_64", "amd"),
        ("Neoverse-N1", "aarch64", "arm"),
    ],
)
def test_the_kind_of_a_processor(
    monkeypatch: pytest.MonkeyPatch, model: str, machine: str, kind: str
) -> None:
    monkeypatch.setattr(measuring, "cpu_model", lambda: model)
    monkeypatch.setattr(measuring.platform, "machine", lambda: machine)
    assert measuring.processor_kind() == kind
