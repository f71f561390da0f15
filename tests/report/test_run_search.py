"""From Python a search ends with its report, and a report that fails leaves the result."""

import inspect
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

import pytest
from made_search import made_search

import finrl_ray
from finrl_ray.report import run_search
from finrl_ray.report.run_search import ResumeOptions, RunOptions
from finrl_ray.search.run import runner


def test_the_package_names_the_ones_with_a_report() -> None:
    assert finrl_ray.run_search is run_search.run_search
    assert finrl_ray.resume_search is run_search.resume_search


def test_the_report_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made_search(tmp_path, n_trials=2)
    ended = SimpleNamespace(path=folder.path)
    monkeypatch.setattr(runner, "run_search", lambda *a, **k: ended)
    monkeypatch.setattr(runner, "resume_search", lambda *a, **k: ended)
    assert run_search.run_search(folder.config, report=False) is ended
    assert not (folder.path / "report.html").exists()
    assert run_search.run_search(folder.config) is ended
    assert (folder.path / "report.html").is_file()
    (folder.path / "report.html").unlink()
    assert run_search.resume_search(folder.path) is ended
    assert (folder.path / "report.html").is_file()


def test_a_report_that_fails_is_said(tmp_path: Path, monkeypatch, caplog) -> None:
    folder = made_search(tmp_path, n_trials=2)
    (folder.path / "report").write_text("a file where the figures go")
    ended = SimpleNamespace(path=folder.path)
    monkeypatch.setattr(runner, "run_search", lambda *a, **k: ended)
    assert run_search.run_search(folder.config) is ended
    assert "no report was written" in caplog.text


@pytest.mark.parametrize(
    ("ours", "model", "options", "without"),
    [
        (run_search.run_search, runner.run_search, RunOptions, {"kind", "code"}),
        (run_search.resume_search, runner.resume_search, ResumeOptions, set()),
    ],
)
def test_the_keywords_are_the_runners(
    ours: Callable[..., Any], model: Callable[..., Any], options: Any, without: set[str]
) -> None:
    """At run time and for type checkers, with the same defaults and types."""
    own = dict(inspect.signature(ours).parameters)
    assert own.pop("report").default is True
    theirs = inspect.signature(model).parameters
    assert own == {name: p for name, p in theirs.items() if name not in without}
    keywords = [p.name for p in own.values() if p.kind is p.KEYWORD_ONLY]
    hints = get_type_hints(model)
    assert get_type_hints(options) == {name: hints[name] for name in keywords}


@pytest.mark.parametrize("name", ["kind", "adress"])
def test_a_keyword_that_is_not_passed_on_is_refused(name: str) -> None:
    wrong: Any = {name: "train"}
    message = rf"run_search\(\) got an unexpected keyword argument '{name}'"
    with pytest.raises(TypeError, match=message):
        run_search.run_search(finrl_ray.ExperimentConfig(), **wrong)
