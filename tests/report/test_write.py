"""The page of searches in every state: what it says, that it is whole, and that it is escaped."""

import dataclasses
import html.parser
import json
import re
from pathlib import Path

import pytest
from made_search import made_search

from finrl_ray.errors import SearchError
from finrl_ray.report import figures
from finrl_ray.report.pages.html import render, script_json
from finrl_ray.report.pages.search import search_page
from finrl_ray.report.read_search import read_search
from finrl_ray.report.write import write_report
from finrl_ray.search.folder.folder import sole_driver
from finrl_ray.search.folder.names import VERDICT_FILE

EVIL = '<script>alert("x")</script>'
VOID = {"meta", "link", "br", "img", "input"}


class Page(html.parser.HTMLParser):
    """What a browser would see: elements that close, texts, and what is loaded from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.scripts = 0
        self.loaded: list[str] = []
        self.plots: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.scripts += tag == "script"
        for name in ("src", "href"):
            value = given.get(name) or ""
            if value and not value.startswith(("#", "data:")) and tag != "a":
                self.loaded.append(value)
        if "data-figure" in given:
            self.plots.append(str(given["data-figure"]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def shown(path: Path) -> Page:
    """Return the page without writing it, and without drawing its figures into files."""
    return Page(render(search_page(read_search(path)), {}))


def test_a_finished_search(tmp_path: Path) -> None:
    folder = made_search(tmp_path, failed=[4])
    told: list[tuple[str, int, int]] = []
    page = Page(write_report(folder.path, progress=lambda *t: told.append(t)).read_text("utf-8"))
    search = read_search(folder.path)
    assert search.state == "finished"
    # the verdict comes before everything else
    headline = search.verdict.sentences()[0]
    assert page.text.index(headline) < page.text.rindex("The best trial beside the baselines")
    assert page.loaded == []
    drawn = [figure for figure in (make(search) for make in figures.ALL) if not figure.empty]
    assert page.plots == [name for name in _order(search) if name in {f.name for f in drawn}]
    # Plotly, our own, and the data of each figure
    assert page.scripts == 2 + len(drawn)
    for figure in drawn:
        for kind in ("png", "svg", "csv"):
            assert (folder.path / "report" / f"{figure.name}.{kind}").stat().st_size > 50
    for fact in (
        search.facts["data_hash"],
        search.facts["versions"]["torch"],
        "finrl-ray reproduce",
        "num_samples: 12",
        "The test window is sealed",
        "buy & hold",
        "ValueError: <b>no</b>",
    ):
        assert fact in page.text, fact
    assert all(0 <= done <= total for _, done, total in told)
    assert told[-1][1] == told[-1][2]


def _order(search) -> list[str]:
    return [figure.name for figure in search_page(search).figures()]


def test_every_figure_is_on_the_page_once(tmp_path: Path) -> None:
    search = read_search(made_search(tmp_path, n_trials=3).path)
    assert sorted(_order(search)) == sorted(make.__name__ for make in figures.ALL)


def test_an_interrupted_search_has_no_verdict(tmp_path: Path) -> None:
    folder = made_search(tmp_path, n_trials=5, planned=12)
    page = shown(folder.path)
    assert "The search was interrupted: 5 of 12 trials have ended." in page.text
    assert f"finrl-ray resume {folder.path}" in page.text
    assert "no verdict yet" in page.text
    assert "evidence of skill" not in page.text
    assert "trial_sharpes" not in page.plots
    assert "learning_curves" in page.plots


def test_a_running_search_is_of_this_moment(tmp_path: Path) -> None:
    folder = made_search(tmp_path, n_trials=5, planned=12)
    with sole_driver(folder):
        page = shown(folder.path)
    assert "The search is running: 5 of 12 trials have ended." in page.text
    # what an earlier end has written may be of another winner
    assert "account_curves" not in page.plots
    assert "no verdict yet" in page.text
    assert "interrupted:" not in page.text


def test_trials_of_a_killed_search_do_not_run(tmp_path: Path) -> None:
    folder = made_search(tmp_path, n_trials=3, planned=5)
    start = {"event": "start", "n": 10_000, "time": 2_000.0, "trial_id": "00001"}
    with (folder.path / "journal.jsonl").open("a") as file:
        file.write(json.dumps(start) + "\n")
    with sole_driver(folder):
        assert read_search(folder.path).trials[1].state == "running"
    search = read_search(folder.path)
    assert (search.trials[1].state, search.state) == ("interrupted", "interrupted")
    assert search.trials[1].reason.startswith("interrupted after")


def test_a_search_that_holds_its_folder_while_it_ends_shows_no_verdict_yet(tmp_path: Path) -> None:
    folder = made_search(tmp_path, n_trials=3)
    with sole_driver(folder):
        search = read_search(folder.path)
    assert search.state == "running"
    assert search.verdict is None


def test_all_trials_failed(tmp_path: Path) -> None:
    folder = made_search(tmp_path, n_trials=4, failed=range(4))
    page = shown(folder.path)
    assert "The search has ended without a winner: 4 failed." in page.text
    assert "there is nothing to judge" in page.text
    assert "best trial" not in page.text.split("The best trial beside")[0]
    assert "account_curves" not in page.plots
    assert "parallel_coordinates" not in page.plots
    assert "ValueError" in page.text


def test_no_trial_was_started(tmp_path: Path) -> None:
    folder = made_search(tmp_path, n_trials=0, planned=4)
    page = shown(folder.path)
    assert "0 of 4 trials have ended" in page.text
    assert page.plots == []


def test_one_trial(tmp_path: Path) -> None:
    folder = made_search(tmp_path, n_trials=1)
    page = shown(folder.path)
    assert "1 of 1 trial has ended" in page.text
    assert "an agent without any skill" in page.text or "evidence" in page.text
    assert "it takes two trials that differ" in page.text
    assert {"account_curves", "learning_curves", "trial_sharpes"} <= set(page.plots)


def test_a_verdict_that_was_lost_is_said(tmp_path: Path) -> None:
    folder = made_search(tmp_path, n_trials=3)
    (folder.path / VERDICT_FILE).unlink()
    assert f"finrl-ray resume {folder.path}` writes it" in shown(folder.path).text


def test_figures_of_an_earlier_report_do_not_stay(tmp_path: Path) -> None:
    folder = made_search(tmp_path, n_trials=3)
    write_report(folder.path)
    assert (folder.path / "report" / "account_curves.png").is_file()
    (folder.path / "account_curves.parquet").unlink()
    page = Page(write_report(folder.path).read_text(encoding="utf-8"))
    assert "account_curves" not in page.plots
    assert not (folder.path / "report" / "account_curves.png").exists()


def test_tickers_of_every_kind(tmp_path: Path) -> None:
    names = [EVIL, "\"'`&$x$_{y}\\", "N" * 200, "_A", "ä€漢字", "</script>"]
    folder = made_search(tmp_path / "p", n_trials=3, tickers=names)
    page = Page(write_report(folder.path).read_text(encoding="utf-8"))
    assert page.scripts == 2 + len(page.plots)
    shown_names = page.text.replace(", ...", "")
    assert [name for name in names if name not in shown_names] == []
    assert EVIL not in (folder.path / "report.html").read_text(encoding="utf-8")


def test_reasons_and_folders_of_every_kind(tmp_path: Path) -> None:
    odd = tmp_path / '<script>alert("y")<'
    folder = made_search(odd, n_trials=3, failed=[1])
    text = write_report(folder.path).read_text(encoding="utf-8")
    assert Page(text).scripts == 2 + len(Page(text).plots)
    assert '<script>alert("y")' not in text
    assert "<b>no</b>" not in text


def test_figure_data_cannot_end_their_script_element() -> None:
    text = script_json({"a": "</script><!--", "b": [1.5, None]})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><!--", "b": [1.5, None]}


def test_labels_are_shown_as_they_are_in_plotly(tmp_path: Path) -> None:
    search = read_search(made_search(tmp_path, n_trials=4, failed=[1]).path)
    traces = figures.learning_curves(search).plotly().data
    texts = [text for trace in traces for text in trace.text or ()]
    assert any("&lt;b&gt;no&lt;/b&gt;" in text for text in texts)
    assert not any("<b>" in text for text in texts)


def test_a_thousand_trials_stay_small(tmp_path: Path) -> None:
    search = read_search(made_search(tmp_path, n_trials=1000).path)
    text = render(search_page(search), {})
    assert len(text.encode()) < 15e6
    rows = re.search(r"Every started trial</h2>.*?<tbody>(.*?)</tbody>", text, flags=re.DOTALL)
    assert rows[1].count("<tr") == 1000


def test_the_folder_of_a_training_is_refused(tmp_path: Path) -> None:
    folder = made_search(tmp_path, n_trials=2)
    facts = json.loads((folder.path / "experiment.json").read_text(encoding="utf-8"))
    (folder.path / "experiment.json").write_text(json.dumps({**facts, "kind": "train"}))
    with pytest.raises(SearchError, match="holds one training"):
        write_report(folder.path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    folder = made_search(tmp_path, n_trials=2)
    (folder.path / "report").write_text("a file")
    with pytest.raises(SearchError, match="cannot be written"):
        write_report(folder.path)


def test_the_page_is_plain_data(tmp_path: Path) -> None:
    page = search_page(read_search(made_search(tmp_path, n_trials=2).path))
    assert dataclasses.is_dataclass(page)
    anchors = [section.anchor for section in page.sections]
    assert len(set(anchors)) == len(anchors)


def test_dollars_are_no_formula_in_plotly() -> None:
    from finrl_ray.report.charts.plotly import plain_text

    assert plain_text("$x_{1}$ <b>") == "&#36;x_{1}&#36; &lt;b&gt;"
