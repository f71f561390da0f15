"""`judge`: from the residual returns of all trials to one of three words.

`evidence`: the deflated Sharpe ratio is at least 0.95, the SPA test's p-value is below 0.05 and the
probability of backtest overfitting is at most 0.2. `weak evidence`: not that, but the p-value of
the SPA test or Sidak's is below 0.01, so that together they are a test at 5 %. Otherwise
`no evidence of skill`. All on residual returns, an account's less beta times those of buy & hold:
the raw returns of agents that only hold shares look like skill in every good year, and returns less
those of buy & hold like skill in every bad year for agents that hold little.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.errors import DataError
from finrl_ray.statistics.cscv import largest_even_blocks, probability_of_backtest_overfitting
from finrl_ray.statistics.dependence import dependence_factor
from finrl_ray.statistics.detectable_sharpe import (
    DSR_LEAST,
    MIN_PERIODS,
    P_BELOW,
    P_BELOW_EACH,
    detectable_sharpe,
)
from finrl_ray.statistics.overfitting import (
    deflated_sharpe_ratio,
    effective_number_of_trials,
    mean_correlation,
    minimum_backtest_length,
    sidak_p_value,
)
from finrl_ray.statistics.sharpe_inference import (
    SharpeEstimate,
    annual_standard_error,
    estimate_sharpe,
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
    probabilistic_sharpe_ratio_h0,
)
from finrl_ray.statistics.superior_ability import superior_predictive_ability
from finrl_ray.support.values import to_json

VerdictKind = Literal["evidence", "weak evidence", "no evidence of skill"]
EVIDENCE: VerdictKind
WEAK: VerdictKind
NONE: VerdictKind
EVIDENCE, WEAK, NONE = get_args(VerdictKind)
"""The three words."""
Rule = Literal["residual", "active"]
RULE: Rule = "residual"
"""By which rule `judge` judges."""
FORMER_RULE: Rule = "active"
"""By which earlier versions did, whose verdicts name none: on returns less those of buy & hold, and
with the luck read from the spread of the trials."""
PBO_MOST = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The word and every number that it rests on; NaN where one is not defined.

    Parameters
    ----------
    kind : the word
    n_trials : N, all that were started, stopped and failed ones too
    n_with_returns : those that left returns
    n_periods : T, days
    periods_per_year : periods/year
    rule : on which returns: `residual`, less beta times those of buy & hold; `active`, less those
        of buy & hold (earlier versions)
    sharpe_annual : of the winner's returns of the rule; of residual ones it is the appraisal ratio
    standard_error_annual : of it, for returns with the winner's skewness, kurtosis and dependence
    skew, kurtosis : of these returns (a normal distribution has kurtosis 3)
    dependence : f, by which their dependence on each other inflates the variance of their mean
    psr, psr_h0 : probability that its true Sharpe ratio is above 0, by the formulas of 2012 and
        of 2025
    luck_annual : what the best of N without skill is expected to show (SR0)
    dsr, dsr_calibrated : deflated Sharpe ratio, and its variant of 2025
    sidak_p, spa_p, reality_check_p : p-values
    pbo : probability of backtest overfitting
    pbo_blocks : S
    min_track_record_periods : days that it takes to tell the winner from SR0
    min_backtest_years : years below which luck alone shows such a ratio
    effective_trials : independent trials that N resemble; for display, in no formula here
    needed_weak_annual, needed_evidence_annual : ratios that N and T ask for, of normal and
        independent returns, as announced before the search
    needed_by_winner_annual : ratio for evidence with the winner's skewness, kurtosis and dependence
    seed : of the resamples
    notes : why a number is missing, or the word is not better
    """

    kind: VerdictKind
    n_trials: int
    n_with_returns: int
    n_periods: int
    periods_per_year: float
    rule: Rule = RULE
    sharpe_annual: float = math.nan
    standard_error_annual: float = math.nan
    skew: float = math.nan
    kurtosis: float = math.nan
    dependence: float = math.nan
    psr: float = math.nan
    psr_h0: float = math.nan
    luck_annual: float = math.nan
    dsr: float = math.nan
    dsr_calibrated: float = math.nan
    sidak_p: float = math.nan
    spa_p: float = math.nan
    reality_check_p: float = math.nan
    pbo: float = math.nan
    pbo_blocks: int = 0
    min_track_record_periods: float = math.nan
    min_backtest_years: float = math.nan
    effective_trials: float = math.nan
    needed_weak_annual: float = math.nan
    needed_evidence_annual: float = math.nan
    needed_by_winner_annual: float = math.nan
    seed: int = 0
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: NaN as None, infinity as the text "infinity"."""
        return {name: to_json(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Verdict":
        """Undo `to_dict`; of earlier versions too, which named no rule."""
        values: dict[str, Any] = {
            name: _FROM_JSON.get(value, value) if isinstance(value, str | None) else value
            for name, value in content.items()
        }
        values.setdefault("rule", FORMER_RULE)
        return cls(**{**values, "notes": tuple(content.get("notes") or ())})


_FROM_JSON = {None: math.nan, "infinity": math.inf, "-infinity": -math.inf}


def judge(
    residual_returns: FloatArray,
    winner: int | None,
    *,
    n_trials: int,
    periods_per_year: float = 252.0,
    seed: int = 0,
) -> Verdict:
    """Return the verdict on the winner of N trials.

    Parameters
    ----------
    residual_returns : array of shape (T, M), M <= N
        Out-of-sample returns less beta times those of buy & hold on the same T days, of all trials
        that left any (`finrl_ray.metrics.beside_benchmark.residual_returns`).
    winner : the winner's column; None if no trial can win or it has left no returns
    n_trials : N, every configuration that was started. Times the evaluations, if a trial is judged
        by its best one.
    periods_per_year : periods/year
    seed : of the resamples of the SPA test

    Raises
    ------
    DataError
        If the array is not 2-D or not finite, `winner` is no column, or N < 1 or < M.
    """
    values = np.asarray(residual_returns, dtype=np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise DataError(
            f"residual_returns must be of shape (T, M) and finite, got shape {values.shape}"
        )
    t, m = values.shape
    if n_trials < max(1, m):
        raise DataError(f"n_trials must be >= 1 and >= the {m} trials with returns, got {n_trials}")
    if winner is not None and not 0 <= winner < m:
        raise DataError(f"winner must be a column within 0..{m - 1}, got {winner}")
    blank = Verdict(
        kind=NONE,
        n_trials=n_trials,
        n_with_returns=m,
        n_periods=t,
        periods_per_year=periods_per_year,
        seed=seed,
    )
    if t >= 2:
        needed = detectable_sharpe(t, n_trials, periods_per_year)
        blank = replace(
            blank, needed_weak_annual=needed.weak, needed_evidence_annual=needed.evidence
        )
    if winner is None:
        return replace(blank, notes=("no trial that can win has left returns",))
    estimate = estimate_sharpe(values[:, winner])
    if estimate.flag:
        known = estimate.sharpe * math.sqrt(periods_per_year)
        return replace(blank, sharpe_annual=known, notes=(f"the winner: {estimate.reason}",))
    factor = dependence_factor(values[:, winner])
    return _concluded(_measured(blank, values, estimate, factor))


def _measured(
    blank: Verdict, values: FloatArray, estimate: SharpeEstimate, factor: float
) -> Verdict:
    """Return every number; the word is still to come."""
    year, n = math.sqrt(blank.periods_per_year), blank.n_trials
    moments = {"skew": estimate.skew, "kurtosis": estimate.kurtosis}
    own, t = estimate.sharpe, estimate.n_periods
    deflated = deflated_sharpe_ratio(own, t, n_trials=n, dependence=factor, **moments)
    psr = probabilistic_sharpe_ratio(own, t, dependence=factor, **moments)
    needed = detectable_sharpe(t, n, blank.periods_per_year, dependence=factor, **moments)
    ability = superior_predictive_ability(values, seed=blank.seed)
    overfitting = probability_of_backtest_overfitting(values, largest_even_blocks(t))
    notes = [
        f"deflated Sharpe ratio: {deflated.label}" if deflated.label else "",
        f"SPA test: {ability.reason}" if ability.reason else "",
        f"PBO: {overfitting.reason}" if overfitting.reason else "",
    ]
    return replace(
        blank,
        sharpe_annual=own * year,
        standard_error_annual=annual_standard_error(estimate, factor, blank.periods_per_year),
        skew=estimate.skew,
        kurtosis=estimate.kurtosis,
        dependence=factor,
        psr=psr,
        psr_h0=probabilistic_sharpe_ratio_h0(own, t, **moments),
        luck_annual=deflated.sr0 * year,
        dsr=deflated.dsr,
        dsr_calibrated=deflated.dsr_calibrated,
        sidak_p=sidak_p_value(psr, n),
        spa_p=ability.consistent,
        reality_check_p=ability.reality_check,
        pbo=math.nan if overfitting.pbo is None else overfitting.pbo,
        pbo_blocks=overfitting.n_blocks,
        min_track_record_periods=minimum_track_record_length(
            own, benchmark=deflated.sr0, dependence=factor, **moments
        ),
        min_backtest_years=minimum_backtest_length(own * year, n),
        effective_trials=effective_number_of_trials(mean_correlation(values), n),
        needed_by_winner_annual=needed.evidence,
        notes=tuple(note for note in notes if note),
    )


def _concluded(verdict: Verdict) -> Verdict:
    """Return the verdict with its word, and why it is not `evidence` where only that is missing."""
    passed = verdict.dsr >= DSR_LEAST and verdict.spa_p < P_BELOW
    kind: VerdictKind = NONE
    if verdict.spa_p < P_BELOW_EACH or verdict.sidak_p < P_BELOW_EACH:
        kind = WEAK
    notes = list(verdict.notes)
    if passed and verdict.n_periods < MIN_PERIODS:
        notes.append(f"{verdict.n_periods} days are too few for evidence ({MIN_PERIODS} needed)")
    elif passed and verdict.pbo <= PBO_MOST:
        kind = EVIDENCE
    elif passed and math.isnan(verdict.pbo):
        notes.append("without PBO the evidence is weak at best")
    return replace(verdict, kind=kind, notes=tuple(notes))
