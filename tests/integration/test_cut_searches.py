"""A report of every kind of search, in the state after each of its events."""

import html
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from made_journals import KINDS, N_TRIALS, cut, made_folder
from rich.console import Console
from small_search import small_config

from finrl_ray.cli import results as cli_results
from finrl_ray.report import terminal_tables
from finrl_ray.report.as_json import json_text, search_json
from finrl_ray.report.listing import list_searches
from finrl_ray.report.pages import comparison
from finrl_ray.report.pages.html import render
from finrl_ray.report.pages.search import search_page
from finrl_ray.report.read_search import SearchReport, read_search
from finrl_ray.report.write import write_report
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.journal.events import append_event
from finrl_ray.search.journal.lines import JOURNAL_FILE
from finrl_ray.search.run import outputs, runner
from finrl_ray.search.run.interruption import end_trials

# beside the others they find nothing of their own soon
_LONG = (
    "asha", "hyperband", "median", "rejected", "walk_forward", "seeds", "select_mean",
)  # fmt: skip
_KEPT = ("config.yaml", "experiment.json", "market_data.npz", "whole.jsonl", "ray")


@pytest.fixture(autouse=True)
def _baselines_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute the baselines once per folder: they follow from its data alone."""
    found: dict[Path, Any] = {}
    original = outputs.baseline_tables

    def once(folder: SearchFolder) -> Any:
        if folder.path not in found:
            found[folder.path] = original(folder)
        return found[folder.path]

    monkeypatch.setattr(outputs, "baseline_tables", once)
    monkeypatch.setattr(outputs, "write_baselines", lambda folder: None)


def interrupted(folder: SearchFolder, length: int) -> runner.SearchResult | None:
    """Let a search be as Ctrl-C after `length` events leaves it; None if it had not begun."""
    for path in folder.path.iterdir():
        if path.name not in _KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    cut(folder, length)
    records = folder.records()
    if not records.searches:
        return None
    end_trials(folder.path, records, "")
    append_event(folder.path, records, "search", state="interrupted", ended_by="")
    outputs.write_outputs(folder, records.in_order())
    return runner._result(folder, records)


def printed(renderable: object) -> str:
    screen = Console(file=io.StringIO(), width=80)
    screen.print(renderable)
    return screen.file.getvalue()  # type: ignore[attr-defined]


def events_of(folder: SearchFolder) -> int:
    return len((folder.path / "whole.jsonl").read_text(encoding="utf-8").splitlines())


def look_at(search: SearchReport, other: SearchReport, *, whole: bool) -> None:
    """Make everything that is said of a search; its page as HTML where it should be `whole`."""
    page = search_page(search)
    if whole:
        assert search.state_sentence() in render(page, {})
    content = json.loads(json_text(search_json(search)))
    assert len(content["trials"]) == len(search.trials)
    if len(search.table):
        assert printed(terminal_tables.ranking(search.table)).count("\n") > len(search.trials)
    both = comparison.comparison_table([search, other])
    assert printed(terminal_tables.comparison_view(both))
    if whole:
        comparison.comparison_page([search, other])
    (listed,) = list_searches(search.path)
    assert listed.problem == ""
    assert listed.ended == search.n_ended


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.long] * (kind in _LONG)) for kind in KINDS]
)
def test_a_search_cut_after_any_event_is_shown(kind: str, tmp_path: Path, capsys) -> None:
    folder = made_folder(tmp_path / "runs", kind)
    other = made_folder(tmp_path / "other", "one_window")
    cut(other, 9)
    beside = read_search(other.path)
    total = events_of(folder)
    # the whole journal belongs to a finished search, of which other tests are
    for length in range(total - 1):
        ended = interrupted(folder, length)
        search = read_search(folder.path)
        assert search.state in ("interrupted", "finished")
        assert sum(record.started for record in search.records.trials.values()) <= N_TRIALS
        # of each kind the last, and that with one result
        look_at(search, beside, whole=length in (6, total - 2))
        if ended is not None and not ended.finished:
            with pytest.raises(typer.Exit) as exit_code:
                cli_results.show_result(ended, with_backtest=False, with_report=False)
            assert exit_code.value.exit_code == cli_results.EXIT_INTERRUPTED
            assert f"finrl-ray resume {folder.path}" in capsys.readouterr().out.replace("\n", "")


@pytest.mark.parametrize("kind", ["walk_forward"])
def test_a_killed_search_has_no_tables_of_its_own(kind: str, tmp_path: Path) -> None:
    folder = made_folder(tmp_path, kind)
    for length in range(events_of(folder) - 1):
        cut(folder, length)
        look_at(read_search(folder.path), read_search(folder.path), whole=False)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["one_window", "pbt", "walk_forward"])
def test_a_trained_search_cut_after_any_event_has_a_report(kind: str, tmp_path: Path) -> None:
    """As a disk leaves it that lost the end of the journal: what was written later is there."""
    sections = dict(KINDS[kind])
    interval = {"scheduler": {"type": "pbt", "perturbation_interval": 512}}
    search = {"num_samples": 3, "keep_checkpoints": 99, **(interval if kind == "pbt" else {})}
    ended = runner.run_search(small_config(tmp_path, **{**sections, "search": search}))
    journal = ended.path / JOURNAL_FILE
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    for length in range(len(lines) + 1):
        journal.write_text("".join(lines[:length]), encoding="utf-8")
        page = write_report(ended.path).read_text(encoding="utf-8")
        assert html.escape(read_search(ended.path).state_sentence(), quote=False) in page


def test_a_search_interrupted_in_its_first_path_ends_with_130_and_a_report(tmp_path: Path) -> None:
    folder = made_folder(tmp_path, "walk_forward")
    ended = interrupted(folder, 6)  # one trial has trained one of three windows
    assert ended is not None
    search = read_search(folder.path)
    assert search.fold_returns is not None
    assert search.fold_returns["fold"].unique().tolist() == [0]
    with pytest.raises(typer.Exit) as exit_code:
        cli_results.show_result(ended, with_backtest=False)
    assert exit_code.value.exit_code == cli_results.EXIT_INTERRUPTED
    assert (folder.path / "report.html").is_file()


def test_windows_that_are_not_trained_yet_are_empty_cells(tmp_path: Path) -> None:
    from finrl_ray.report.figures.luck import seeds_and_windows

    folder = made_folder(tmp_path, "walk_forward")
    interrupted(folder, 6)
    table = seeds_and_windows(read_search(folder.path)).table
    assert table is not None
    first, *rest = [name for name in table if name[0].isdigit()]
    assert first.startswith("1: 2020-07 to")
    assert rest == ["2: not trained yet", "3: not trained yet"]
    values = table[[first, *rest]].to_numpy(dtype=float)
    assert np.isnan(values).tolist() == [[False, True, True]]


def test_a_result_without_its_checkpoint_yet_leaves_tables(tmp_path: Path) -> None:
    folder = made_folder(tmp_path, "asha")
    events = cut(folder, 5)
    assert [event["event"] for event in events[-2:]] == ["start", "result"]
    ended = interrupted(folder, 5)
    assert ended is not None
    assert not ended.finished
    assert (folder.path / "trials.csv").is_file()
    assert not (folder.path / "final_model").exists()


def test_a_fault_of_the_report_leaves_the_exit_code(tmp_path: Path, monkeypatch, capsys) -> None:
    folder = made_folder(tmp_path, "asha")
    ended = interrupted(folder, 6)
    assert ended is not None

    def broken(*args: object, **keywords: object) -> Path:
        raise ValueError("a figure is at fault")

    monkeypatch.setattr("finrl_ray.report.write.write_report", broken)
    with pytest.raises(typer.Exit) as exit_code:
        cli_results.show_result(ended, with_backtest=False)
    assert exit_code.value.exit_code == cli_results.EXIT_INTERRUPTED
    said = capsys.readouterr().err
    assert "no report was written: unexpected ValueError: a figure is at fault" in said
    assert f"finrl-ray report {folder.path} --debug" in said
