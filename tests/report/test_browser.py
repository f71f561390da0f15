"""The page in a real browser without network: no error, every figure drawn, tables that sort."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_search import made_search

from finrl_ray.report.pages.comparison import read_searches, write_comparison
from finrl_ray.report.write import write_report

pytestmark = pytest.mark.slow

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
if BROWSER is None:
    pytest.skip("there is no Chromium on this machine", allow_module_level=True)

EVIL = "<script>alert('x')</script>"
# generous: other work may run beside the tests
PATIENCE_MS = 30_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        made = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("browser")
    return write_report(made_search(place, failed=[4], tickers=[EVIL, "BBB", "C" * 200]).path)


def opened(browser: Any, file: Path, width: int = 1280, scheme: str = "light") -> Any:
    """Return the page once all of it is drawn; errors and requests are noted on the way."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda m: page.complaints.append(f"{m.type}: {m.text}"))
    page.on("pageerror", lambda e: page.complaints.append(str(e)))
    page.on("requestfailed", lambda r: page.complaints.append(r.url))
    page.on("dialog", lambda d: (page.complaints.append("a dialog"), d.dismiss()))
    page.goto(file.as_uri())
    page.wait_for_function("document.documentElement.dataset.ready === 'yes'", timeout=PATIENCE_MS)
    return page


@pytest.mark.parametrize("width", [390, 1280, 1920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_drawn_without_a_complaint(browser, page_file: Path, width: int, scheme: str) -> None:
    page = opened(browser, page_file, width, scheme)
    assert page.complaints == []
    plots = page.locator(".plot")
    assert plots.count() == 9
    for index in range(plots.count()):
        drawn = plots.nth(index).locator("svg.main-svg").first
        box = drawn.bounding_box()
        assert box["width"] > 200
        assert box["height"] > 100
        paths = plots.nth(index).locator("path[d], .points path, image, rect.bg")
        assert paths.count() > 3
    # nothing sticks out: only tables and wide figures scroll, each in its own frame
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(246, 247, 249)", "dark": "rgb(17, 20, 24)"}[scheme]
    page.context.close()


def test_tables_sort_both_ways(browser, page_file: Path) -> None:
    page = opened(browser, page_file)
    table = page.locator("#trials table")

    def column(number: int) -> list[str]:
        return table.locator(f"tbody tr td:nth-child({number})").all_inner_texts()

    assert [text for text in column(1) if text != "-"] == [str(i) for i in range(1, 12)]
    header = table.locator("thead th", has_text="trial")
    header.locator("button").click()
    assert column(2) == [str(i) for i in range(12)]
    assert header.get_attribute("aria-sort") == "ascending"
    header.locator("button").press("Enter")
    assert column(2) == [str(i) for i in reversed(range(12))]
    sharpe = table.locator("thead th", has_text="Sharpe")
    sharpe.locator("button").click()
    values = [float(text) for text in column(4)]
    assert values == sorted(values)
    assert page.complaints == []
    page.context.close()


def test_light_and_dark_by_the_button(browser, page_file: Path) -> None:
    page = opened(browser, page_file)
    before = page.evaluate("document.querySelector('.plot').layout.font.color")
    page.locator("#theme").click()
    after = page.evaluate("document.querySelector('.plot').layout.font.color")
    assert (before, after) == ("#1b1f24", "#e6e9ed")
    page.emulate_media(media="print")
    assert page.locator("nav").is_visible() is False
    width = "document.querySelector('.plot svg.main-svg').clientWidth"
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function(f"{width} === 650")  # it fits on a sheet
    assert page.evaluate("document.querySelector('.plot').layout.font.color") == "#1b1f24"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.wait_for_function(f"{width} > 700")
    assert page.complaints == []
    page.context.close()


def test_a_thousand_trials(browser, tmp_path: Path) -> None:
    file = write_report(made_search(tmp_path, n_trials=1000).path)
    page = opened(browser, file)
    assert page.complaints == []
    assert page.locator("#trials tbody tr").count() == 1000
    page.context.close()


def test_compared(browser, tmp_path: Path) -> None:
    made = [made_search(tmp_path, n_trials=n, name=f"s{n}").path for n in (3, 5)]
    page = opened(browser, write_comparison(read_searches(made), tmp_path / "c.html"))
    assert page.complaints == []
    assert page.locator(".plot[data-drawn]").count() == 3
    page.context.close()
