"""`write_report`: the report of one search, written into its folder."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from finrl_ray.report.pages.search import search_page
from finrl_ray.report.pages.write_page import write_page
from finrl_ray.report.read_search import read_search
from finrl_ray.support.progress import Progress, no_progress

REPORT_FILE = "report.html"
FIGURES_FOLDER = "report"


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
    with _copied_to(search.path, remote):
        return write_page(page, search.path / REPORT_FILE, search.path / FIGURES_FOLDER, progress)


def _copied_to(folder: Path, remote: str) -> AbstractContextManager[object]:
    """Copy what is written while the block runs to the store, where there is one."""
    if not remote:
        return nullcontext()
    # it imports Ray
    from finrl_ray.search.folder.mirror import FolderMirror

    return FolderMirror(folder, remote)
