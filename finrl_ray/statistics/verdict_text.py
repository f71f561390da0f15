"""A verdict in words that a portfolio manager understands, with the figures under them."""

import math

from finrl_ray.statistics.cscv import MIN_TRIALS
from finrl_ray.statistics.detectable_sharpe import (
    DSR_LEAST,
    MIN_PERIODS,
    P_BELOW,
    P_BELOW_EACH,
    DetectableSharpe,
)
from finrl_ray.statistics.verdict import EVIDENCE, FORMER_RULE, PBO_MOST, WEAK, Verdict
from finrl_ray.support.text import counted

_MEANING = {
    EVIDENCE: "the winner earned more beside the market than the luck of {trials} explains",
    WEAK: "the winner may be more than luck, but not every test agrees",
}
_FORMER_MEANING = {
    **_MEANING,
    EVIDENCE: "the winner did better against buy & hold than the luck of {trials} explains",
}
_NO_SKILL = "{best} without any skill would often have done as well"
_SERIES = "judged on returns less beta times those of buy & hold"
_FORMER_SERIES = (
    "judged by the rule of an earlier version: on returns less those of buy & hold (beta taken as "
    f"1), with the luck read from the spread of the trials, and weak evidence at {P_BELOW} for "
    "either p-value"
)


def headline(verdict: Verdict) -> str:
    """Return the verdict in one sentence."""
    return f"{verdict.kind}: {meaning_of(verdict)}"


def meaning_of(verdict: Verdict) -> str:
    """Return what the word of a verdict says."""
    if math.isnan(verdict.sharpe_annual):
        return "there is nothing to judge"
    n = verdict.n_trials
    meanings = _FORMER_MEANING if verdict.rule == FORMER_RULE else _MEANING
    return meanings.get(verdict.kind, _NO_SKILL).format(
        trials=_trials(n), best="an agent" if n == 1 else f"the best of {n:,} agents"
    )


def ratio_name(verdict: Verdict) -> str:
    """Return what the ratio is called that a verdict is about."""
    former = verdict.rule == FORMER_RULE
    return "Sharpe ratio beyond buy & hold" if former else "appraisal ratio"


def series_name(verdict: Verdict) -> str:
    """Return what the returns are called that a verdict rests on."""
    former = verdict.rule == FORMER_RULE
    return "returns beyond those of buy & hold" if former else "returns beside the market"


def verdict_sentences(
    verdict: Verdict, n_started: int | None = None, *, with_ensemble: bool = False
) -> list[str]:
    """Return the headline and, line by line, what it rests on and by which rule.

    Parameters
    ----------
    verdict : with its figures
    n_started : trials that were started, where not each of them is one of `verdict.n_trials`
    with_ensemble : whether one of `verdict.n_trials` is several trials together
    """
    former = verdict.rule == FORMER_RULE
    lines = [headline(verdict)]
    if not math.isnan(verdict.dsr):
        each = "" if former else f", {P_BELOW_EACH} for weak evidence"
        lines += [
            f"annual {ratio_name(verdict)} {_two(verdict.sharpe_annual)} (standard error "
            f"{_two(verdict.standard_error_annual)}) on {counted(verdict.n_periods, 'day')}; the "
            "best of "
            f"{_trials(verdict.n_trials)} without skill shows {_two(verdict.luck_annual)}",
            f"deflated Sharpe ratio {_two(verdict.dsr)} (evidence: at least {DSR_LEAST}); p-values "
            f"SPA {_p(verdict.spa_p)}, Sidak {_p(verdict.sidak_p)} (below {P_BELOW}{each}); PBO "
            f"{_two(verdict.pbo)} (at most {PBO_MOST})",
        ]
    if not math.isnan(verdict.needed_evidence_annual):
        lines.append(f"{_started(verdict, n_started, with_ensemble)}; {_needed(verdict)}")
    return [*lines, _FORMER_SERIES if former else _SERIES, *verdict.notes]


def _own_need(verdict: Verdict) -> str:
    own = _two(verdict.needed_by_winner_annual)
    if math.isnan(verdict.needed_by_winner_annual) or own == _two(verdict.needed_evidence_annual):
        return ""
    return f" ({own} for evidence, with the skewness, fat tails and autocorrelation of the winner)"


def _needed(verdict: Verdict) -> str:
    former = verdict.rule == FORMER_RULE
    weak = _two(verdict.needed_weak_annual)
    few = "" if former else _too_few(verdict.n_with_returns, verdict.n_periods)
    if few:
        return f"{few}; an appraisal ratio of about {weak} would have been needed for weak evidence"
    what = "a Sharpe ratio" if former else "an appraisal ratio"
    return (
        f"with so many {what} of about {_two(verdict.needed_evidence_annual)} would have been "
        f"needed for evidence, {weak} for weak evidence{_own_need(verdict)}"
    )


def _too_few(n_series: int, n_periods: int) -> str:
    """Return why nothing can be called evidence, whatever it shows; empty where something can."""
    if n_series < MIN_TRIALS:
        return f"evidence takes a PBO, and that {MIN_TRIALS} trials with returns"
    return f"evidence takes {MIN_PERIODS} returns" if n_periods < MIN_PERIODS else ""


def detectable_sentence(
    needed: DetectableSharpe, n_periods: int, n_trials: int, n_series: int | None = None
) -> str:
    """Return before a search what it would have to show.

    Parameters
    ----------
    needed : of `detectable_sharpe`
    n_periods : T
    n_trials : N of the statistics
    n_series : trials, where not each of them is one of N
    """
    few = _too_few(n_trials if n_series is None else n_series, n_periods)
    evidence, weak = _two(needed.evidence), _two(needed.weak)
    must = f"{weak} for weak evidence ({few})" if few else f"{evidence} ({weak} for weak evidence)"
    return (
        f"to be told from luck, the best of {_trials(n_trials)} on {counted(n_periods, 'return')} "
        f"must earn an annual appraisal ratio (beside buy & hold) of about {must}"
    )


def _started(verdict: Verdict, n_started: int | None, with_ensemble: bool) -> str:
    n, returns = verdict.n_trials, f"of which {verdict.n_with_returns} left returns"
    ensemble = " and their ensemble" if with_ensemble else ""
    alone = n - 1 if with_ensemble else n
    if n_started is None or n_started == alone:
        return f"started: {_trials(alone)}{ensemble}, {returns}"
    return (
        f"started: {_trials(n_started)}{ensemble}, {returns}; they count as {n:,}, one for each "
        "set of hyperparameters or evaluation that could have won"
    )


def _trials(count: int) -> str:
    return counted(count, "trial")


def _two(value: float) -> str:
    if math.isinf(value):
        return "more than can be shown"
    return "not known" if math.isnan(value) else f"{value:.2f}"


def _p(value: float) -> str:
    if math.isnan(value):
        return "not known"
    return "below 0.001" if value < 0.001 else f"{value:.3f}"
