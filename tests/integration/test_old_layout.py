"""Searches that were made before the modules moved: they are read, and none of them goes on."""

import json
import shutil
import sys
import tarfile
from pathlib import Path

import pandas as pd
import pytest
from repository import REPOSITORY

from finrl_ray.agents.models import load_model
from finrl_ray.cli.main import main
from finrl_ray.errors import SearchError
from finrl_ray.search.folder.folder import open_folder
from finrl_ray.search.reproduce.replay import replay
from finrl_ray.search.reproduce.reproduce import reproduce
from finrl_ray.search.results.table import trial_table
from finrl_ray.search.run.runner import resume_search

FIXTURES = REPOSITORY / "tests" / "fixtures" / "old_layout"
REFUSED = r"another version of finrl_ray began it.* kept in format 2.* Finish it with the version"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    for name in ("finished", "interrupted"):
        with tarfile.open(FIXTURES / f"{name}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def finished(unpacked: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unpacked / "finished", tmp_path / "runs" / "finished"))


@pytest.fixture
def interrupted(unpacked: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unpacked / "interrupted", tmp_path / "runs" / "interrupted"))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["finrl-ray", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_a_finished_search_is_shown(finished, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "show", finished) == 0
    assert "no evidence of skill" in capsys.readouterr().out
    assert run(monkeypatch, "show", finished, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert len(shown["trials"]) == 3


def test_its_verdict_says_by_which_rule_it_was_made(finished, monkeypatch, capsys) -> None:
    run(monkeypatch, "show", finished)
    said = " ".join(capsys.readouterr().out.split())
    assert "judged by the rule of an earlier version: on returns less those of buy & hold" in said
    assert "best first by Sharpe ratio" in said
    config = open_folder(finished).config
    assert config.search.rank_by == "objective"


def test_it_is_ranked_as_it_was(finished) -> None:
    folder = open_folder(finished)
    table = trial_table(folder.records().in_order(), folder.config)
    was = pd.read_csv(finished / "trials.csv")
    assert table["trial"].tolist() == was["trial"].tolist()
    assert table["score"].tolist() == was["objective"].tolist()


def test_a_verdict_that_is_lost_is_made_again_by_the_rule_of_this_version(finished) -> None:
    (finished / "verdict.json").unlink()
    judged = resume_search(finished).judged
    assert judged is not None
    assert judged.verdict.rule == "residual"
    assert judged.ranked_by == "Sharpe ratio"
    assert "the winner is first by its Sharpe ratio" in judged.sentences()
    assert judged.earnings is not None
    assert (
        "how much of the account was invested over that time is not known" in judged.sentences()[1]
    )
    assert (finished / "residual_returns.parquet").is_file()
    assert not (finished / "active_returns.parquet").exists()


def test_both_are_listed(finished, interrupted, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "ls", finished.parent, "--json") == 0
    rows = {Path(row["path"]).name: row for row in json.loads(capsys.readouterr().out)}
    assert sorted(rows) == ["finished", "interrupted"]


def test_both_have_a_report_and_are_compared(finished, interrupted, monkeypatch, capsys) -> None:
    for folder in (finished, interrupted):
        assert run(monkeypatch, "report", folder) == 0
        page = folder / "report.html"
        assert "small" in page.read_text(encoding="utf-8")
    assert run(monkeypatch, "compare", finished, interrupted) == 0
    assert capsys.readouterr().out


def test_the_test_window_of_a_finished_search_is_opened(finished, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "backtest", finished) == 0
    assert "buy" in capsys.readouterr().out
    assert any((finished / "backtest").iterdir())


def test_the_best_model_of_a_finished_search_is_loaded(finished) -> None:
    model = load_model("ppo", finished / "best_model" / "model.zip")
    assert model.num_timesteps > 0


@pytest.mark.slow
def test_the_winner_of_a_finished_search_is_trained_again(finished) -> None:
    found = reproduce(finished)
    assert found.evaluations > 0
    assert found.agreement == "exact" or found.elsewhere or found.changed


@pytest.mark.slow
def test_a_trial_of_a_finished_search_is_replayed(finished) -> None:
    found = replay(finished, 0)
    assert found.recorded["timesteps"] == found.replayed["timesteps"]
    assert not found.differences or found.elsewhere


def test_a_finished_search_is_resumed_as_what_it_is(finished) -> None:
    result = resume_search(finished)
    assert result.finished
    assert len(result.table) == 3


def test_an_unfinished_search_is_shown(interrupted, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "show", interrupted, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [trial["state"] for trial in shown["trials"]] == ["interrupted"] * 2


def test_an_unfinished_search_is_refused_in_words(interrupted, monkeypatch, capsys) -> None:
    before = (interrupted / "journal.jsonl").read_bytes()
    assert run(monkeypatch, "resume", interrupted) == 2
    assert "kept in format 2" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(SearchError, match=REFUSED):
        resume_search(interrupted, trust=True)
    assert (interrupted / "journal.jsonl").read_bytes() == before


def test_a_finished_search_is_given_no_more_trials(finished) -> None:
    with pytest.raises(SearchError, match="kept in format 2"):
        resume_search(finished, add_trials=1, trust=True)
