"""A verdict in words that a portfolio manager understands, with the figures under them."""

import math

from finrl_ray.statistics.detectable_sharpe import DetectableSharpe
from finrl_ray.statistics.verdict import DSR_LEAST, EVIDENCE, P_BELOW, PBO_MOST, WEAK, Verdict
from finrl_ray.support.text import counted

_MEANING = {
    EVIDENCE: "the winner did better against buy & hold than the luck of {trials} explains",
    WEAK: "the winner may be more than luck, but not every test agrees",
}
_NO_SKILL = "{best} without any skill would often have done as well"


def headline(verdict: Verdict) -> str:
    """Return the verdict in one sentence."""
    n = verdict.n_trials
    meaning = _MEANING.get(verdict.kind, _NO_SKILL).format(
        trials=_trials(n), best="an agent" if n == 1 else f"the best of {n:,} agents"
    )
    if math.isnan(verdict.sharpe_annual):
        meaning = "there is nothing to judge"
    return f"{verdict.kind}: {meaning}"


def verdict_sentences(verdict: Verdict, n_started: int | None = None) -> list[str]:
    """Return the headline and, line by line, what it rests on.

    Parameters
    ----------
    verdict : with its figures
    n_started : trials that were started, where not each of them is one of `verdict.n_trials`
    """
    lines = [headline(verdict)]
    if not math.isnan(verdict.dsr):
        lines += [
            f"annual Sharpe ratio beyond buy & hold {_two(verdict.sharpe_annual)} (standard error "
            f"{_two(verdict.standard_error_annual)}) on {counted(verdict.n_periods, 'day')}; the "
            "best of "
            f"{_trials(verdict.n_trials)} without skill shows {_two(verdict.luck_annual)}",
            f"deflated Sharpe ratio {_two(verdict.dsr)} (evidence: at least {DSR_LEAST}); p-values "
            f"SPA {_p(verdict.spa_p)}, Sidak {_p(verdict.sidak_p)} (below {P_BELOW}); PBO "
            f"{_two(verdict.pbo)} (at most {PBO_MOST})",
        ]
    if not math.isnan(verdict.needed_evidence_annual):
        evidence, weak = verdict.needed_evidence_annual, verdict.needed_weak_annual
        lines.append(
            f"{_started(verdict, n_started)}; with so many a Sharpe ratio of about "
            f"{_two(evidence)} would have been needed for evidence, {_two(weak)} for weak evidence"
        )
    return [*lines, *verdict.notes]


def detectable_sentence(needed: DetectableSharpe, n_periods: int, n_trials: int) -> str:
    """Return before a search what it would have to show."""
    return (
        f"to be told from luck, the best of {_trials(n_trials)} on {counted(n_periods, 'return')} "
        "must "
        f"beat buy & hold by an annual Sharpe ratio of about {_two(needed.evidence)} "
        f"({_two(needed.weak)} for weak evidence)"
    )


def _started(verdict: Verdict, n_started: int | None) -> str:
    n, returns = verdict.n_trials, f"of which {verdict.n_with_returns} left returns"
    if n_started is None or n_started == n:
        return f"started: {_trials(n)}, {returns}"
    return (
        f"started: {_trials(n_started)}, {returns}; they count as {n:,}, one for each set of "
        "hyperparameters or evaluation that could have won"
    )


def _trials(count: int) -> str:
    return counted(count, "trial")


def _two(value: float) -> str:
    return "not known" if math.isnan(value) else f"{value:.2f}"


def _p(value: float) -> str:
    if math.isnan(value):
        return "not known"
    return "below 0.001" if value < 0.001 else f"{value:.3f}"
