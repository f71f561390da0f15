"""How an agent has done since its deployment: what `finrl-ray forward` shows."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray._typing import DateArray
from finrl_ray.data.labels import date_label
from finrl_ray.data.periods_per_year import periods_per_year
from finrl_ray.deployment.agent import DeployedAgent
from finrl_ray.deployment.forward_account import ForwardAccount, forward_account
from finrl_ray.deployment.forward_entry import find_changed_bars
from finrl_ray.deployment.forward_record import (
    Entry,
    Record,
    date_of,
    find_gaps,
    find_head,
    read_record,
)
from finrl_ray.metrics.earnings import Earnings, earnings_of
from finrl_ray.metrics.performance import sharpe_ratio
from finrl_ray.statistics.always_valid import (
    WARM_UP,
    AlwaysValid,
    beats_at_equal_risk,
    years_to_alarm,
)
from finrl_ray.support.progress import Progress, no_progress
from finrl_ray.support.text import counted
from finrl_ray.support.values import to_json

FEW_DAYS = 60
"""Priced days below which nothing is said but how many there are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Expectation:
    """What was seen before deployment.

    Parameters
    ----------
    ratio : annual appraisal ratio, what is earned beside the market per risk
    source : where it was seen, in words
    """

    ratio: float
    source: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Forward:
    """The account since the first entry of a forward record, and whether the record is whole.

    Parameters
    ----------
    agent : the folder
    entries : of the record that are whole
    problems : tampering, gaps and what does not fit, each with its line; empty if all is well
    notes : what a reader should know besides, in sentences
    head : SHA-256 that stands for the whole record, to be published
    account : day by day; None without a priced day
    earnings : of the account beside buy & hold; None without a priced day
    sharpe, benchmark_sharpe : annual; NaN where there are too few days
    ratio : annual mean of the daily differences at equal risk per deviation; NaN as above
    test : of whether the account beats buy & hold at equal risk; None where it cannot be made
    expectation : what was seen before; None where nothing is known of this agent
    sentence : what all of this comes to
    """

    agent: Path
    entries: tuple[Entry, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    head: str
    account: ForwardAccount | None
    earnings: Earnings | None
    sharpe: float
    benchmark_sharpe: float
    ratio: float
    test: AlwaysValid | None
    expectation: Expectation | None
    sentence: str

    @property
    def n_days(self) -> int:
        """Days that are priced."""
        return 0 if self.account is None else len(self.account.returns)

    def lines(self) -> list[str]:
        """Return the figures in words, line by line, and the notes."""
        found = []
        if self.entries:
            first, last = self.entries[0]["date"], self.entries[-1]["date"]
            found.append(
                f"{counted(len(self.entries), 'entry', 'entries')}, {first} to {last}; "
                f"{counted(self.n_days, 'day')} priced"
            )
        if self.earnings is not None:
            found.append(self.earnings.sentence("the account"))
        if not (math.isnan(self.sharpe) or math.isnan(self.benchmark_sharpe)):
            found.append(
                f"annual Sharpe ratio {self.sharpe:.2f}, of buy & hold {self.benchmark_sharpe:.2f}"
            )
        found += self._tested()
        if self.expectation is not None:
            found.append(
                f"expected was an annual ratio of {self.expectation.ratio:.2f} beside the market, "
                f"as in {self.expectation.source}"
            )
        return [*found, *self.notes]

    def _tested(self) -> list[str]:
        test = self.test
        if test is None or not test.n_bets:
            return []
        found = [
            f"beside buy & hold at equal risk: evidence {test.evidence[-1]:.3g}, and an alarm "
            f"takes {1 / test.level:g}"
        ]
        if not math.isnan(self.ratio):
            found.append(f"annual ratio of these daily differences so far: {self.ratio:.2f}")
        within = "nothing is ruled out yet"
        if math.isfinite(test.score_low) or math.isfinite(test.score_high):
            within = (
                f"within {_bound(test.score_low)} to {_bound(test.score_high)} with "
                f"{1 - test.level:.0%} confidence for all looks together"
            )
        found.append(
            "mean daily score (the difference in units of its capped risk, no annual ratio) "
            f"{test.mean_score:.3f}: {within}"
        )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        test, account = self.test, self.account
        content = {
            "agent": str(self.agent),
            "whole": not self.problems,
            "sentence": self.sentence,
            "entries": len(self.entries),
            "days": self.n_days,
            "problems": self.problems,
            "notes": self.notes,
            "head": self.head,
            "sharpe": self.sharpe,
            "benchmark_sharpe": self.benchmark_sharpe,
            "ratio": self.ratio,
            "earnings": None if self.earnings is None else self.earnings.to_dict(),
            "expectation": None if self.expectation is None else asdict(self.expectation),
            "test": None if test is None else _test_dict(test, account),
            "daily": None if account is None else _daily_dict(account, test),
        }
        result: dict[str, Any] = to_json(content)
        return result


def forward(
    agent: DeployedAgent, *, published: str | None = None, progress: Progress = no_progress
) -> Forward:
    """Return how an agent has done since the first entry of its forward record.

    The record is checked line by line, its bars against those in the agent's folder, and its orders
    against those that the agent gives on these bars.

    Parameters
    ----------
    agent : from `load_agent`
    published : hash of a line that was published: up to that line the record must be the same
    progress : told of each entry

    Raises
    ------
    SearchError, DataError
        If the record or the bars cannot be read at all.
    """
    record = read_record(agent.path)
    market = agent.market_of()
    entries = [one for one in record.entries if date_of(one) in market.dates]
    problems = _problems(agent, record, market.dates, published)
    account, notes = None, _notes(record, market.dates)
    if entries:
        account = forward_account(agent, entries, market, progress=progress)
        problems += account.disagreements
        if account.disagreements:
            notes.append(
                "orders are compared bit for bit: another processor, or other versions of packages "
                "than at the time, can be the reason where they differ a little"
            )
        notes += _about(account, len(entries))
    if account is not None and not len(account.returns):
        account = None
    yearly = agent.config.evaluation.periods_per_year or _yearly(market.dates)
    return _judged(agent, record, problems, notes, account, yearly)


def _judged(
    agent: DeployedAgent,
    record: Record,
    problems: list[str],
    notes: list[str],
    account: ForwardAccount | None,
    yearly: float,
) -> Forward:
    earned, test = None, None
    sharpe = held_sharpe = ratio = math.nan
    if account is not None:
        own, held, exposure = account.returns, account.benchmark_returns, account.exposure
        mean_exposure = float(np.abs(exposure).mean())
        earned = earnings_of(own, held, mean_exposure)
        sharpe = sharpe_ratio(own, periods_per_year=yearly)
        held_sharpe = sharpe_ratio(held, periods_per_year=yearly)
        if np.isfinite(exposure).all():
            test = beats_at_equal_risk(own, held, exposure=exposure, periods_per_year=yearly)
            ratio = _ratio(test, yearly)
        else:
            notes.append(
                "the env of this agent does not say how much is invested, without which there is "
                "no test of whether it beats buy & hold at equal risk"
            )
    expectation = expectation_of(agent.facts)
    return Forward(
        agent=agent.path,
        entries=record.entries,
        problems=tuple(problems),
        notes=tuple(notes),
        head=record.head,
        account=account,
        earnings=earned,
        sharpe=sharpe,
        benchmark_sharpe=held_sharpe,
        ratio=ratio,
        test=test,
        expectation=expectation,
        sentence=_sentence(record, account, test, yearly),
    )


def expectation_of(facts: Mapping[str, Any]) -> Expectation | None:
    """Return what the search saw of an agent: in its backtest, or where its verdict was found."""
    try:
        seen = facts.get("backtest")
        if seen:
            first, end = seen["window"]
            ratio = float(seen["measures"]["appraisal_ratio"])
            return Expectation(ratio=ratio, source=f"the backtest of {first} to {end}")
        verdict = facts.get("verdict") or {}
        figures = verdict.get("figures") or {}
        if verdict.get("applies") and figures.get("sharpe_annual") is not None:
            source = "the validation window, as the best of the search's trials"
            return Expectation(ratio=float(figures["sharpe_annual"]), source=source)
    except (KeyError, TypeError, ValueError, AttributeError):
        pass  # facts of another version
    return None


def _problems(
    agent: DeployedAgent, record: Record, dates: DateArray, published: str | None
) -> list[str]:
    found = [record.problem] if record.problem else []
    entries = record.entries
    found += [
        f"line {one['n']}: the bar of {one['date']} is not among those that the agent knows"
        for one in entries
        if date_of(one) not in dates
    ]
    if not record.problem:
        found += find_gaps(entries, list(dates))
    bars = agent.known_bars
    trained = agent.bars["date"].to_numpy().astype("datetime64[ns]").max()
    found += find_changed_bars(entries, bars, trained)
    if published is not None and find_head(entries, published) is None:
        found.append(
            f"no line has the published hash {published.strip()}: the record was written anew, or "
            "cut off before it"
        )
    return found


def _notes(record: Record, dates: DateArray) -> list[str]:
    found = [record.cut_short] if record.cut_short else []
    late = sum(_is_late(entry, dates) for entry in record.entries)
    if late:
        found.append(
            f"{late} of {counted(len(record.entries), 'entry', 'entries')} "
            f"{'was' if late == 1 else 'were'} written when the next bar could be known already: "
            "of these days nothing was said in advance"
        )
    return found


def _is_late(entry: Entry, dates: DateArray) -> bool:
    """Return whether an entry was written after the bar that follows its own was complete."""
    later = dates[dates > date_of(entry)]
    if not later.size:
        return False
    step = min(np.median(np.diff(dates)), np.timedelta64(1, "D")) if len(dates) > 1 else 0
    try:
        written = pd.Timestamp(str(entry["written"])).tz_convert("UTC").tz_localize(None)
    except (ValueError, TypeError):
        return True
    return bool(written.to_datetime64() >= later[0] + step)


def _about(account: ForwardAccount, n_entries: int) -> list[str]:
    if not account.given:
        return ["the account is the agent's own paper account, traded by the rules of its env"]
    return [
        f"{account.given} of {counted(n_entries, 'entry', 'entries')} "
        f"{'is' if account.given == 1 else 'are'} for holdings that were given: these days are "
        "priced as if the orders had been filled by the rules of the env, which is not what a "
        "broker has done, and money that was paid in or out does not count"
    ]


def _yearly(dates: DateArray) -> float:
    return periods_per_year(dates)


def _ratio(test: AlwaysValid, yearly: float) -> float:
    placed = test.bets.difference[test.bets.placed]
    if len(placed) < WARM_UP or not np.std(placed) > 0.0:
        return math.nan
    return float(np.mean(placed) / np.std(placed, ddof=1) * math.sqrt(yearly))


def _sentence(
    record: Record, account: ForwardAccount | None, test: AlwaysValid | None, yearly: float
) -> str:
    if record.problem:
        return (
            "The forward record is not what was written: no result that rests on it is worth "
            "anything."
        )
    if not record.entries:
        return "Nothing has been said yet: `finrl-ray signal` writes the first entry."
    days = 0 if account is None else len(account.returns)
    one, two = (_time(years_to_alarm(edge)) for edge in (1.0, 2.0))
    takes = f"an edge of 2 a year takes about {two} to be seen, one of 1 about {one}"
    if days < FEW_DAYS:
        return f"Too few bars to say anything: {counted(days, 'day')} can be priced, and {takes}."
    if test is None:
        return f"{counted(days, 'day')} are priced; whether that is more than luck is not tested."
    if test.alarm is not None and account is not None:
        on = date_label(account.dates[test.alarm + 1])
        return (
            "The account beats buy & hold at equal risk: without an edge such a record comes in at "
            f"most {test.level:.0%} of cases, however often one looks (since {on}, p "
            f"{test.p_value:.2g})."
        )
    return (
        f"There is no evidence yet that the account beats buy & hold at equal risk (p "
        f"{test.p_value:.2g}, an alarm takes {test.level:g}): {takes}."
    )


def _bound(score: float) -> str:
    return f"{score:.3f}" if math.isfinite(score) else str(score)


def _time(years: float) -> str:
    return counted(round(years), "year")


def _test_dict(test: AlwaysValid, account: ForwardAccount | None) -> dict[str, Any]:
    on = None
    if test.alarm is not None and account is not None:
        on = date_label(account.dates[test.alarm + 1])
    return {
        "evidence": float(test.evidence[-1]) if len(test.evidence) else 1.0,
        "p_value": test.p_value,
        "level": test.level,
        "alarm": on,
        "n_bets": test.n_bets,
        "mean_score": test.mean_score,
        "score_low": test.score_low,
        "score_high": test.score_high,
    }


def _daily_dict(account: ForwardAccount, test: AlwaysValid | None) -> dict[str, Any]:
    return {
        "date": [date_label(one) for one in account.dates[1:]],
        "return": account.returns.tolist(),
        "buy_and_hold": account.benchmark_returns.tolist(),
        "exposure": account.exposure.tolist(),
        "evidence": None if test is None else test.evidence.tolist(),
    }
