"""What a backtest has shown, and the file that it is read from again.

A report reads it without what trains and trades.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from finrl_ray.errors import SearchError
from finrl_ray.files.bounded_reading import read_json
from finrl_ray.metrics.earnings import Earnings
from finrl_ray.search.folder.names import BACKTEST_FOLDER
from finrl_ray.search.folder.test_openings import Opening, read_openings
from finrl_ray.statistics.verdict import FORMER_RULE, RULE, Rule
from finrl_ray.support.text import and_list
from finrl_ray.workflows.costs_table import TradingCosts

RESULT_FILE = "backtest.json"
TRADES_FILE = "trades.csv"


@dataclass(frozen=True, kw_only=True)
class Backtest:
    """The result of opening the test window.

    Parameters
    ----------
    trial : the winner's number
    window : first date and date after the last, ISO
    measures : per name (`agent`, `buy_and_hold` and the other baselines) the performance measures
        on the test window, and the Sharpe ratio beyond buy & hold
    openings : how often the test window has been opened so far, this time included
    opened : each of these, with its window, its config and its model
    repeated : whether this is an earlier result shown again, without opening the window
    notes : baselines that are missing, and why
    psr : probability that the true Sharpe ratio of the returns of `rule` is above 0; NaN where it
        is not defined
    rule : which returns these are, as in `finrl_ray.statistics.verdict.Verdict`
    earnings : what the winner has earned; None in results of earlier versions
    ensemble : numbers of the trials that acted together; empty where it was `trial` alone
    difference_p : p-value that agent and buy & hold have the same Sharpe ratio (Ledoit and Wolf);
        NaN for fewer than 20 returns, or where one does not move
    trading : the winner at other costs, its capacity, turnover and holding periods; None in results
        of earlier versions
    """

    trial: int
    window: tuple[str, str]
    measures: Mapping[str, Mapping[str, float]]
    openings: int
    repeated: bool
    opened: tuple[Opening, ...] = ()
    notes: tuple[str, ...] = ()
    psr: float = math.nan
    difference_p: float = math.nan
    rule: Rule = RULE
    earnings: Earnings | None = None
    ensemble: tuple[int, ...] = ()
    trading: TradingCosts | None = None

    @property
    def who(self) -> str:
        """What acted, in words: `trial 3`, or `the ensemble of trials 3 and 5`."""
        if not self.ensemble:
            return f"trial {self.trial}"
        return f"the ensemble of trials {and_list(self.ensemble)}"


def read_backtest(path: Path) -> Backtest | None:
    """Return what the last opening of a search's test window has shown; None if there was none.

    Raises
    ------
    SearchError
        If the file is damaged.
    """
    file = path / BACKTEST_FOLDER / RESULT_FILE
    return read_result(file, read_openings(path)) if file.is_file() else None


def read_result(file: Path, opened: Sequence[Opening], model_hash: str | None = None) -> Backtest:
    """Return what a file of an earlier backtest holds.

    Parameters
    ----------
    file : `backtest.json`
    opened : every opening of the test window
    model_hash : of the winner's model of today, which it must be of; None: of any

    Raises
    ------
    SearchError
        If the file is damaged, or was measured with another model.
    """
    try:
        content = read_json(file)
        if model_hash is not None and content["model_hash"] != model_hash:
            raise SearchError(
                f"{file} was measured with another model than today's winner; --again opens the "
                "test window once more, for this one"
            )
        start, end = content["window"]
        earned, traded = content.get("earnings"), content.get("trading")
        return Backtest(
            trial=content["trial"],
            window=(start, end),
            measures=content["measures"],
            openings=len(opened),
            repeated=True,
            opened=tuple(opened),
            notes=tuple(content.get("notes", ())),
            psr=_number(content.get("psr")),
            difference_p=_number(content.get("difference_p")),
            rule=content.get("rule", FORMER_RULE),
            earnings=None if earned is None else Earnings.from_dict(earned),
            ensemble=tuple(content.get("ensemble", ())),
            trading=None if traded is None else TradingCosts.from_dict(traded),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SearchError(
            f"{file} is damaged ({error!r}); --again opens the test window once more"
        ) from error


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
