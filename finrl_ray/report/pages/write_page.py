"""A page as a file: the HTML, and every figure as PNG, SVG and CSV beside it."""

from collections.abc import Sequence
from pathlib import Path

from finrl_ray.errors import SearchError
from finrl_ray.files.atomic import atomic_path
from finrl_ray.report.charts.matplotlib import draw_files
from finrl_ray.report.charts.model import FigureData
from finrl_ray.report.pages.blocks import Page
from finrl_ray.report.pages.html import render
from finrl_ray.support.progress import Progress, no_progress

KINDS = ("png", "svg", "csv")
"""The files of each figure, by their endings."""


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


def _write_figure(figure: FigureData, folder: Path) -> Sequence[str]:
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
