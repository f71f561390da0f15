"""The section on costs as a reader sees it: sealed, of an earlier version, and with its tables."""

import dataclasses
import html.parser
import json
from pathlib import Path

from made_costs import made_costs
from made_search import made_search

from finrl_ray.report.pages.blocks import TableBlock
from finrl_ray.report.pages.html import render
from finrl_ray.report.pages.search import search_page
from finrl_ray.report.pages.trading import FORMER, SEALED, trading_section
from finrl_ray.report.read_search import read_search
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.folder.names import BACKTEST_FOLDER
from finrl_ray.workflows.backtest_files import RESULT_FILE
from finrl_ray.workflows.costs_table import TradingCosts


class Texts(html.parser.HTMLParser):
    """What is written on a page, without its scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tag, self.texts = "", list[str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tag = tag

    def handle_data(self, data: str) -> None:
        if self.tag not in ("script", "style") and data.strip():
            self.texts.append(" ".join(data.split()))


def opened(place: Path, trading: TradingCosts | None) -> SearchFolder:
    """Return a made search whose test window was opened with this result."""
    folder = made_search(place, n_trials=3)
    content = {
        "trial": 0,
        "model_hash": "",
        "window": ["2021-02-01", "2021-07-14"],
        "measures": {"agent": {"total_return": 0.1, "sharpe_ratio": 1.0}},
        **({} if trading is None else {"trading": trading.to_dict()}),
    }
    (folder.path / BACKTEST_FOLDER).mkdir()
    file = folder.path / BACKTEST_FOLDER / RESULT_FILE
    file.write_text(json.dumps(content), encoding="utf-8")
    return folder


def page_of(folder: SearchFolder) -> list[str]:
    return Texts(render(search_page(read_search(folder.path)), {})).texts


def test_the_page_has_both_tables(tmp_path: Path) -> None:
    texts = page_of(opened(tmp_path, made_costs(notes=("a <i>note</i>",))))
    start = texts.index("The same agent at other costs")
    # each row: its costs, what the agent had, what buy & hold had
    row = texts.index("2 x costs", start)
    assert texts[row : row + 14] == [
        "2 x costs", "0.200%", "0.400%", "0",
        "8.9%", "0.89", "-", "-12.3%", "0.50", "5.0%", "2.50%", "12.50",
        "7.7%", "0.88",
    ]  # fmt: skip
    assert texts.index("slippage 0.1", row) > texts.index("3 x costs", row)
    assert texts[texts.index("slippage 0.1", row) + 3] == "0.1"
    assert any("0.1000% of what is bought, 0.2000% of what is sold" in text for text in texts)
    for label, value in (
        ("turnover, times the account a year", "12.50"),
        ("positions opened", "4"),
        ("of these, open at the end", "1"),
        ("days a position was held, mean", "12.5"),
        ("days a position was held, median", "8.0"),
        ("days that money stayed in a position, mean", "3.2"),
        ("largest order of the median day, of the volume", "0.200%"),
        ("largest order of the worst day (<b>A</b>, 2021-03-01), of the volume", "4.000%"),
        ("starting amount above which the median day's order is over 1% of it", "5,000,000"),
        ("starting amount above which the worst day's order is over 1% of it", "250,000"),
        ("starting amount above which the median day's order is over 5% of it", "25,000,000"),
        ("starting amount above which the worst day's order is over 5% of it", "1,250,000"),
        ("orders in rows without a volume", "3"),
    ):
        assert texts[texts.index(label) + 1] == value, label
    assert "a <i>note</i>" in texts


def test_what_is_not_known_has_no_row(tmp_path: Path) -> None:
    unknown = dataclasses.replace(made_costs(), turnover=float("nan"), holding=None, capacity=None)
    section = trading_section(read_search(opened(tmp_path, unknown).path))
    _, positions = section.blocks
    assert isinstance(positions, TableBlock)
    ((label, value),) = [row.cells for row in positions.rows]
    assert (label.text, value.text) == ("turnover, times the account a year", "-")


def test_a_sealed_window_says_so(tmp_path: Path) -> None:
    folder = made_search(tmp_path, n_trials=3)
    assert SEALED in page_of(folder)
    assert trading_section(read_search(folder.path)).blocks == ()


def test_a_result_of_an_earlier_version_is_shown_without(tmp_path: Path) -> None:
    folder = opened(tmp_path, None)
    texts = page_of(folder)
    assert FORMER in texts
    assert "The same agent at other costs" not in texts
    assert read_search(folder.path).backtest.trading is None
