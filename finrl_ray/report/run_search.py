"""A search from Python that ends as one from the command line does: with its report."""

import logging
from collections.abc import Sequence
from pathlib import Path

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import FinRLRayError
from finrl_ray.report.write import write_report
from finrl_ray.search.run import runner
from finrl_ray.search.run.prepare import PreparedSearch
from finrl_ray.search.run.runner import SearchResult, ViewFactory

logger = logging.getLogger(__name__)


def run_search(
    config: ExperimentConfig | PreparedSearch,
    *,
    base_dir: Path = Path(),
    market_data: MarketData | None = None,
    make_view: ViewFactory | None = None,
    address: str | None = None,
    dashboard: bool = False,
    report: bool = True,
) -> SearchResult:
    """Run a whole search, write its folder and, into it, the HTML report.

    Parameters
    ----------
    config, base_dir, market_data, make_view, address, dashboard : as for
        `finrl_ray.search.run.runner.run_search`
    report : write `report.html`; where that fails the log says why, and the result stands

    Raises
    ------
    ConfigError, DataError
        Before anything is started or written.
    SearchError
        If the search's folder cannot be written or Ray fails.
    """
    result = runner.run_search(
        config,
        base_dir=base_dir,
        market_data=market_data,
        make_view=make_view,
        address=address,
        dashboard=dashboard,
    )
    return _reported(result, wanted=report)


def resume_search(
    path: str | Path,
    *,
    add_trials: int | None = None,
    overrides: Sequence[str] = (),
    make_view: ViewFactory | None = None,
    address: str | None = None,
    dashboard: bool = False,
    report: bool = True,
    trust: bool = False,
) -> SearchResult:
    """Go on with an interrupted search and write its report.

    Parameters
    ----------
    path, add_trials, overrides, make_view, address, dashboard, trust : as for
        `finrl_ray.search.run.runner.resume_search`
    report : as for `run_search`

    Raises
    ------
    SearchError
        If the folder is no search's, what it needs is damaged beyond its copies, or Ray fails.
    """
    result = runner.resume_search(
        path,
        add_trials=add_trials,
        overrides=overrides,
        make_view=make_view,
        address=address,
        dashboard=dashboard,
        trust=trust,
    )
    return _reported(result, wanted=report, trust=trust)


def _reported(result: SearchResult, *, wanted: bool, trust: bool = False) -> SearchResult:
    if wanted:
        try:
            write_report(result.path, trust=trust)
        except FinRLRayError as error:
            logger.warning("no report was written: %s", error)
    return result
