"""Does an account beat buy & hold at equal risk: a test that one may look at every day.

A test at 1 % that is looked at every day alarms far more often than in 1 % of the cases. Here a
gambler without debts bets each day, before the day, that the account will earn more than its share
of buy & hold; where there is nothing to bet on his wealth is a supermartingale, which ever reaches
100 times its start with a probability of at most 1 % (Ville). That wealth is the evidence [1]_,
[2]_, [3]_.

The bet of day t. Everything but r_t and b_t is known before the day::

    c_t  beta of the account's past returns against buy & hold's, half of its weight on the last 63
    d_t = r_t - c_t b_t                          the difference at equal risk
    x_t = e_t - c_t                              how much more is invested today than usual
    s_t = max(deviation of past d, |x_t| v_t, 0.2 |c_t| v_t, 0.05 v_t),  v_t that of past b
    z_t = d_t / s_t, cut at -8 and 4
    f_t  by what the autocorrelation of past z raises the variance of their sum, at least 1
    W_t(m, g) = W_{t-1}(m, g) (1 + g (z_t - m x_t u / s_t - g (f_t - 1) / 2))
    E_t = sum over g of weight_g min(W_t(-M, g), W_t(M, g))

with e_t the share of the account that is invested on day t, u the deviation of b in the first 20
days on which buy & hold has moved, before whose end nothing is bet, M = 4 a year, and g the best
bets where the ratio of mean to deviation of d is 0.5, 1 and 2 a year, at most 0.1. Days on which
prices stood still (b = 0) are not among the 20: a u of 0 would promise that no exposure ever earns
anything, and one of many idle days too little.

**The null hypothesis.** There is one drift of buy & hold, ``m u`` a day with m anywhere within
-M..M, so that on every day, given all that was known before it,
the cut difference in deviations z_t is expected to be at most ``m x_t u / s_t``. M is a drift in
units of the deviation of those 20 days: an annual Sharpe ratio of -4..4 where buy & hold goes on as
it moved then, and one of -2..2 where it moves twice as much for good. With fewer than 16 periods a
year M is one deviation a period, which is less than 4 a year (3.5 for months). Then ``W(m, g)``
is a nonnegative supermartingale for each g (the tax ``g (f - 1) / 2`` is never negative).
``log W`` is concave in m, so that the smaller of its values at both ends is at most the one at
the true m, and E is at most a mixture of supermartingales that begin at 1: the probability that E
ever reaches 1 / level is at most the level.

The hypothesis holds where (i) the account is expected to earn its exposure times what buy & hold
is expected to earn, e_t m u: no timing and no choice of shares that pays, whatever the exposure, at
random, in spells, or drifting with the prices in a market that rises or falls; and (ii) losses of
d beyond 8 deviations are not expected to weigh more than gains beyond 4. No moment needs to exist:
symmetric returns satisfy (ii) however fat their tails, and volatility may come in clusters.

**What it does not cover.** Where the market's drift changes, exposure that happens to follow it is
timing and counts as such; where luck does so for months, alarms come more often (for spells of a
hundred days in markets that turn once a year, still in less than 1 % of the simulated ones). Where
differences depend on the days before, they are not expected to be 0 on any day though their mean
is; the tax makes up for that to first order, as simulations show, not by proof. An account that
earns a little on most days and loses more than 8 deviations on a few violates (ii): no test without
a bound on what can be lost sees a loss that has not come. A market whose days of the warm-up were
far quieter than all later ones may drift by more than M u. And equal risk is that of the market: an
account with the same return and less risk of other kinds is none of its findings.

References
----------
.. [1] Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by betting",
   Journal of the Royal Statistical Society B 86(1), 1-27.
.. [2] Ramdas, Grünwald, Vovk and Shafer (2023), "Game-theoretic statistics and safe anytime-valid
   inference", Statistical Science 38(4), 576-601: Ville's inequality, mixtures, the minimum over a
   composite hypothesis.
.. [3] Howard, Ramdas, McAuliffe and Sekhon (2021), "Time-uniform, nonparametric, nonasymptotic
   confidence sequences", Annals of Statistics 49(2), 1055-1080.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from finrl_ray._typing import BoolArray, FloatArray
from finrl_ray.errors import DataError

LEVEL = 0.01
WARM_UP = 20
"""Days on which buy & hold moves, up to the last of which nothing is bet."""
MOST_DRIFT = 4.0
"""Largest drift of buy & hold a year, either way, of which exposure alone is no evidence, per
deviation of the days of the warm-up; at most one deviation a period."""
EDGES = (0.5, 1.0, 2.0)
"""Annual ratios of mean to deviation for which the bets are the best ones."""
WEIGHTS = (0.2, 0.4, 0.4)
MOST_BET = 0.1
CUT_BELOW, CUT_ABOVE = 8.0, 4.0
LEAST_RISK, LEAST_OWN_RISK = 0.05, 0.2
"""Shares of the deviations of buy & hold and of the account's part in it, below which less is bet
on a difference: a small one is mostly what drifting prices do to an exposure."""
_SHARE_HALF_LIFE, _RISK_HALF_LIFE = 63.0, 21.0
_LAGS, _MOST_DEPENDENCE = 10, 10.0
_FIRST_DIFFERENCE = 5
# a smaller return is the rounding of an account value whose prices stood still
_LEAST_MOVE = 1e-12
# a day's bet loses at most MOST_BET (CUT_BELOW + 1 for the drift + 0.5 of tax + _WIDEST) < 1
_WIDEST = 0.4


@dataclass(frozen=True, kw_only=True, slots=True)
class Bets:
    """What is known of each day, arrays of shape (..., T); 0 on days without a bet.

    Parameters
    ----------
    share : of buy & hold that has the account's risk, c_t; known before the day
    difference : of the day's returns at equal risk, d_t
    score : z_t, the difference in units of its risk as it was known before the day, s_t, cut
    pull : what a drift of one deviation a day would add to the score, x_t u / s_t
    dependence : f_t - 1
    placed : whether there was a bet: not before buy & hold has moved on 20 days
    """

    share: FloatArray
    difference: FloatArray
    score: FloatArray
    pull: FloatArray
    dependence: FloatArray
    placed: BoolArray


@dataclass(frozen=True, kw_only=True, slots=True)
class AlwaysValid:
    """What the test says after T days, and what it has said after each.

    Parameters
    ----------
    evidence : E after each day, shape (T,): 1 / level is an alarm, whenever it is reached
    p_value : 1 / the largest evidence so far, at most 1; valid whenever one stops
    alarm : number of the first day (from 0) that reached 1 / level; None if none did
    level : of the test
    bets : of each day
    mean_score : mean of z_t over the bets, per day, dimensionless; NaN without a bet
    score_low, score_high : a confidence sequence at ``1 - level`` for the mean daily score, the
        expectation of z_t beside ``m x_t u / s_t``, where it is constant: all intervals together,
        of all days, miss it with a probability of at most the level; infinite where nothing is
        ruled out, and -0.4 to 0.4 at the widest else. It is not an interval for the annual ratio of
        mean to deviation of the difference: z_t is measured in units of s_t, which is never below
        a share of the market's deviation, and cut, so that the mean score times the square root of
        the periods in a year is smaller than that ratio wherever s_t is above the deviation of d_t
    """

    evidence: FloatArray
    p_value: float
    alarm: int | None
    level: float
    bets: Bets
    mean_score: float
    score_low: float
    score_high: float

    @property
    def n_bets(self) -> int:
        """Days on which something was bet."""
        return int(np.count_nonzero(self.bets.placed))


def beats_at_equal_risk(
    returns: FloatArray,
    benchmark_returns: FloatArray,
    *,
    exposure: FloatArray,
    level: float = LEVEL,
    periods_per_year: float = 252.0,
) -> AlwaysValid:
    """Return the always-valid test of whether an account beats buy & hold at equal risk.

    Parameters
    ----------
    returns, benchmark_returns : arrays of shape (T,)
        Simple returns of the account and of buy & hold on the same days, as fractions.
    exposure : array of shape (T,)
        The account's invested share over each day, as it is known before the day: the signed
        values of its shares by the value of the account, 1 where all is invested, as it is in buy
        & hold.
    level : how often there may be an alarm without an edge, within 0..1
    periods_per_year : periods/year

    Raises
    ------
    DataError
        If the arrays differ in shape, are not 1-D or not finite, or `level` or `periods_per_year`
        is out of range.
    """
    if not 0.0 < level < 1.0:
        raise DataError(f"level must be above 0 and below 1, got {level}")
    if np.ndim(returns) != 1:
        raise DataError(f"returns must be of shape (T,), got {np.shape(returns)}")
    bets = place_bets(returns, benchmark_returns, exposure=exposure)
    found = np.exp(np.minimum(log_evidence(bets, periods_per_year=periods_per_year), 700.0))
    best = float(np.max(found, initial=1.0))
    reached = np.flatnonzero(found >= 1.0 / level)
    low = _bound(bets, level / 2, periods_per_year, above=False)
    high = _bound(bets, level / 2, periods_per_year, above=True)
    return AlwaysValid(
        evidence=found,
        p_value=1.0 / best,
        alarm=int(reached[0]) if reached.size else None,
        level=level,
        bets=bets,
        mean_score=float(bets.score[bets.placed].mean()) if bets.placed.any() else math.nan,
        score_low=low,
        score_high=high,
    )


def place_bets(returns: FloatArray, benchmark_returns: FloatArray, *, exposure: FloatArray) -> Bets:
    """Return what is bet on, and what became of it, of one account or of many at once.

    Parameters
    ----------
    returns, benchmark_returns, exposure : arrays of shape (..., T), as `beats_at_equal_risk`

    Raises
    ------
    DataError
        If the arrays differ in shape or are not finite.
    """
    given = {
        "returns": returns,
        "benchmark_returns": benchmark_returns,
        "exposure": exposure,
    }
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in given.items()}
    shape = arrays["returns"].shape
    for name, values in arrays.items():
        if not values.ndim or values.shape != shape:
            raise DataError(f"{name} must be of the shape of returns, {shape}, got {values.shape}")
        if not np.isfinite(values).all():
            raise DataError(f"{name} must be finite: NaN or infinity is no return of a day")
    past = _Past(shape[:-1])
    kept = np.zeros((6, *shape))
    for day in range(shape[-1]):
        own, held, invested = (values[..., day] for values in arrays.values())
        kept[..., day] = past.bet(own, held, invested)
        past.learn(own, held)
    share, difference, score, pull, dependence, placed = kept
    return Bets(
        share=share,
        difference=difference,
        score=score,
        pull=pull,
        dependence=dependence,
        placed=placed > 0.0,
    )


def log_evidence(bets: Bets, *, periods_per_year: float = 252.0) -> FloatArray:
    """Return the logarithm of E after each day, of shape (..., T); 0 before the first bet.

    Raises
    ------
    DataError
        If `periods_per_year` is not above 0.
    """
    return _log_wealth(bets, bets.score, bets.pull, periods_per_year)


def years_to_alarm(ratio: float, level: float = LEVEL) -> float:
    """Return about how many years it takes until an alarm.

    ``2.2 log(1 / (weight level)) / ratio^2``: the time in which the wealth of the best bet grows so
    far, and a tenth for what is not known at first. `benchmarks/forward_test.py` measures it.

    Parameters
    ----------
    ratio : annual mean of the difference at equal risk per deviation, above 0
    """
    return 2.2 * math.log(1.0 / (WEIGHTS[-1] * level)) / ratio**2


def _log_wealth(
    bets: Bets, score: FloatArray, pull: FloatArray, periods_per_year: float
) -> FloatArray:
    if not (periods_per_year > 0.0 and math.isfinite(periods_per_year)):
        raise DataError(f"periods_per_year must be above 0, got {periods_per_year}")
    drift = min(MOST_DRIFT / math.sqrt(periods_per_year), 1.0) * pull
    total = np.full(score.shape, -np.inf)
    for edge, weight in zip(EDGES, WEIGHTS, strict=True):
        bet = min(edge / math.sqrt(periods_per_year), MOST_BET)
        net = score - 0.5 * bet * bets.dependence
        ends = [np.cumsum(np.log1p(bet * (net + sign * drift)), axis=-1) for sign in (-1.0, 1.0)]
        total = np.logaddexp(total, math.log(weight) + np.minimum(*ends))
    return total


def _bound(bets: Bets, level: float, periods_per_year: float, *, above: bool) -> float:
    """Return the mean daily score that the bets just do not rule out, looking at all days so far.

    The wealth of bets that the mean is larger falls with the mean that is assumed; the upper
    bound is the lower one of an account with all differences the other way round.
    """
    if not bets.placed.any():
        return math.inf if above else -math.inf
    sign = -1.0 if above else 1.0

    def is_ruled_out(mean: float) -> bool:
        moved = np.where(bets.placed, sign * bets.score - mean, 0.0)
        wealth = _log_wealth(bets, moved, sign * bets.pull, periods_per_year)
        return float(wealth.max()) >= -math.log(level)

    low, high = -_WIDEST, _WIDEST
    if not is_ruled_out(low):
        return -sign * math.inf
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if is_ruled_out(middle) else (low, middle)
    return sign * low


class _Past:
    """What the days so far say of the next one, of each of a number of accounts.

    Parameters
    ----------
    shape : of the accounts
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self.days = 0
        self._share = _Slope(shape, _SHARE_HALF_LIFE)
        self._own = _Square(shape, _RISK_HALF_LIFE)
        self._held = _Square(shape, _RISK_HALF_LIFE)
        self._first = np.zeros(shape)
        self._moved = np.zeros(shape, dtype=np.int64)
        self._dependence = _Dependence(shape)
        self._score = np.zeros(shape)

    def bet(self, own: FloatArray, held: FloatArray, exposure: FloatArray) -> FloatArray:
        """Return the six numbers of a day that `Bets` has, of shape (6, ...)."""
        share = self._share.value()
        difference = own - share * held
        kept = np.zeros((6, *difference.shape))
        kept[:2] = share, difference
        ready = self._moved >= WARM_UP
        if not ready.any():
            return kept
        excess = exposure - share
        market = np.maximum(self._held.deviation(), self._first)
        parts = np.maximum(np.abs(excess), LEAST_OWN_RISK * np.abs(share))
        risk = np.maximum(self._own.deviation(), np.maximum(parts, LEAST_RISK) * market)
        known = ready & (risk > 0.0)
        by = np.where(known, risk, 1.0)
        kept[2] = np.where(known, np.clip(difference / by, -CUT_BELOW, CUT_ABOVE), 0.0)
        kept[3] = np.where(known, excess * self._first / by, 0.0)
        kept[4] = np.where(known, self._dependence.excess(), 0.0)
        kept[5] = known
        self._score = kept[2]
        return kept

    def learn(self, own: FloatArray, held: FloatArray) -> None:
        """Take a day, on which `bet` was called, into the past."""
        if self.days >= _FIRST_DIFFERENCE:
            self._own.add(own - self._share.value() * held)
        self._held.add(held)
        self._share.add(own, held)
        moves = np.abs(held) > _LEAST_MOVE
        warming = moves & (self._moved < WARM_UP)
        mean = (self._first**2 * self._moved + held**2) / (self._moved + 1)
        self._first = np.where(warming, np.sqrt(mean), self._first)
        self._moved = self._moved + moves
        # 0 before the first bet, which adds nothing
        self._dependence.add(self._score)
        self.days += 1


class _Slope:
    """A regression through the origin in which older days count less."""

    def __init__(self, shape: Sequence[int], half_life: float) -> None:
        self._keep = 0.5 ** (1.0 / half_life)
        self._product, self._square = np.zeros(shape), np.zeros(shape)

    def add(self, own: FloatArray, held: FloatArray) -> None:
        self._product = self._keep * self._product + own * held
        self._square = self._keep * self._square + held * held

    def value(self) -> FloatArray:
        known: BoolArray = self._square > 0.0
        slope: FloatArray = np.where(known, self._product / np.where(known, self._square, 1.0), 0.0)
        return slope


class _Square:
    """A mean square in which older days count less."""

    def __init__(self, shape: Sequence[int], half_life: float) -> None:
        self._keep = 0.5 ** (1.0 / half_life)
        self._sum, self._weight = np.zeros(shape), 0.0

    def add(self, values: FloatArray) -> None:
        self._sum = self._keep * self._sum + values * values
        self._weight = self._keep * self._weight + 1.0

    def deviation(self) -> FloatArray:
        result: FloatArray = np.sqrt(self._sum / self._weight)
        return result


class _Dependence:
    """How much autocorrelation raises the variance of a sum: Newey and West's weights, 10 lags."""

    def __init__(self, shape: Sequence[int]) -> None:
        self._recent = np.zeros((_LAGS, *shape))
        self._square, self._products = np.zeros(shape), np.zeros(shape)
        weights = 1.0 - np.arange(1, _LAGS + 1) / (_LAGS + 1.0)
        self._weights = weights.reshape(_LAGS, *[1] * len(shape))

    def add(self, scores: FloatArray) -> None:
        self._products += scores * (self._weights * self._recent).sum(axis=0)
        self._square += scores * scores
        self._recent = np.concatenate([scores[np.newaxis], self._recent[:-1]])

    def excess(self) -> FloatArray:
        by = np.where(self._square > 0.0, self._square, 1.0)
        result: FloatArray = np.clip(2.0 * self._products / by, 0.0, _MOST_DEPENDENCE)
        return result
