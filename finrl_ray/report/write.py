"""Writing a report: the page, and every figure as PNG, SVG and CSV beside it."""

from collections.abc import Sequence
from pathlib import Path

from finrl_ray.errors import SearchError
from finrl_ray.files.atomic import atomic_path
from finrl_ray.report.charts.matplotlib import draw_files
from finrl_ray.report.charts.model import Figure
from finrl_ray.report.pages.blocks import Page
from finrl_ray.report.pages.html import render
from finrl_ray.report.pages.search import search_page
from finrl_ray.report.read_search import read_search
from finrl_ray.search.folder.mirror import FolderMirror
from finrl_ray.support.progress import Progress, no_progress

REPORT_FILE = "report.html"
FIGURES_FOLDER = "report"
KINDS = ("png", "svg", "csv")


def write_report(
    path: str | Path, *, progress: Progress = no_progress, trust: bool = False
) -> Path:
    """Write the report of a search: running, interrupted, failed or finished.

    Parameters
    ----------
    path : the search's folder, or the URL of one; then the report is put there too
    progress : told of each figure
    trust : run code that is in the winner's model, where it is not one that this package has
        written; see docs/trust.md

    Returns
    -------
    Path
        `report.html` in the folder; the figures are in the folder `report` beside it.

    Raises
    ------
    SearchError
        If it is no search's folder, what it needs is damaged, or nothing can be written.
    ConfigError
        If the winner's model is damaged, or needs `trust`.
    """
    search = read_search(path, trust=trust)
    page = search_page(search, progress)
    # a search that runs copies its folder itself
    remote = "" if search.state == "running" else search.folder.remote
    with FolderMirror(search.path, remote):
        return write_page(page, search.path / REPORT_FILE, search.path / FIGURES_FOLDER, progress)


def write_page(page: Page, target: Path, folder: Path, progress: Progress = no_progress) -> Path:
    """Write a page to `target` and its figures into `folder`, which lies beside it.

    Raises
    ------
    SearchError
        If nothing can be written there.
    """
    figures = page.figures()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = {}
        for done, figure in enumerate(figures):
            progress(f"drawing {figure.title.lower()}", done, len(figures))
            names[figure.name] = _write_figure(figure, folder)
        progress("writing the page", len(figures), len(figures))
        with atomic_path(target) as temporary:
            temporary.write_text(render(page, names), encoding="utf-8")
    except OSError as error:
        raise SearchError(f"the report {target} cannot be written: {error}") from error
    return target


def _write_figure(figure: Figure, folder: Path) -> Sequence[str]:
    """Write one figure's files, if there is something to show; return their names."""
    paths = {kind: folder / f"{figure.name}.{kind}" for kind in KINDS}
    if figure.empty:
        for path in paths.values():  # of an earlier report, when there was something
            path.unlink(missing_ok=True)
        return ()
    draw_files(figure, [paths["png"], paths["svg"]])
    with atomic_path(paths["csv"]) as temporary:
        figure.table.to_csv(temporary, index=False)
    return [f"{folder.name}/{path.name}" for path in paths.values()]
