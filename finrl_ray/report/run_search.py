"""A search from Python that ends as one from the command line does: with its report."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import FinRLRayError
from finrl_ray.report.write import write_report
from finrl_ray.search.run import runner
from finrl_ray.search.run.prepare import PreparedSearch
from finrl_ray.search.run.runner import SearchResult, ViewFactory
from finrl_ray.support.signatures import with_keywords_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

logger = logging.getLogger(__name__)


class RunOptions(TypedDict, total=False):
    """The keywords of `runner.run_search` that `run_search` passes on; the text is there."""

    base_dir: Path
    market_data: MarketData | None
    make_view: ViewFactory | None
    address: str | None
    dashboard: bool


class ResumeOptions(TypedDict, total=False):
    """The keywords of `runner.resume_search`, all of which are passed on; the text is there."""

    add_trials: int | None
    overrides: Sequence[str]
    make_view: ViewFactory | None
    address: str | None
    dashboard: bool
    trust: bool


@with_keywords_of(runner.run_search, without=("kind", "code"))
def run_search(
    config: ExperimentConfig | PreparedSearch,
    *,
    report: bool = True,
    **options: "Unpack[RunOptions]",
) -> SearchResult:
    """Run a whole search, write its folder and, into it, the HTML report.

    It takes the arguments of `finrl_ray.search.run.runner.run_search`, except `kind` and `code`,
    and raises the same errors.

    Parameters
    ----------
    report : write `report.html`; where that fails the log says why, and the result stands
    """
    return _reported(runner.run_search(config, **options), wanted=report)


@with_keywords_of(runner.resume_search)
def resume_search(
    path: str | Path, *, report: bool = True, **options: "Unpack[ResumeOptions]"
) -> SearchResult:
    """Go on with an interrupted search and write its report.

    It takes the arguments of `finrl_ray.search.run.runner.resume_search`, and raises the same
    errors.

    Parameters
    ----------
    report : as for `run_search`
    """
    trust = options.get("trust", False)
    return _reported(runner.resume_search(path, **options), wanted=report, trust=trust)


def _reported(result: SearchResult, *, wanted: bool, trust: bool = False) -> SearchResult:
    if wanted:
        try:
            write_report(result.path, trust=trust)
        except FinRLRayError as error:
            logger.warning("no report was written: %s", error)
    return result
