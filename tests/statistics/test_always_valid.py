"""The always-valid test: worked numbers, its level on noise however often one looks, and power."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from finrl_ray.errors import DataError
from finrl_ray.statistics.always_valid import (
    MOST_BET,
    WARM_UP,
    WEIGHTS,
    beats_at_equal_risk,
    log_evidence,
    place_bets,
    years_to_alarm,
)

MARKETS, DAYS = 1_000, 600
YEAR = math.sqrt(252.0)
Law = Callable[[np.random.Generator], np.ndarray]
SHAPE = (MARKETS, DAYS)


def clustered(rng: np.random.Generator) -> np.ndarray:
    drawn, variance = rng.standard_normal(SHAPE), np.ones(MARKETS)
    for day in range(DAYS):
        drawn[:, day] *= np.sqrt(variance)
        variance = 0.02 + 0.1 * drawn[:, day] ** 2 + 0.88 * variance
    return drawn


def autocorrelated(rng: np.random.Generator) -> np.ndarray:
    drawn = rng.standard_normal(SHAPE)
    for day in range(1, DAYS):
        drawn[:, day] = 0.2 * drawn[:, day - 1] + math.sqrt(0.96) * drawn[:, day]
    return drawn


def crashes(rng: np.random.Generator) -> np.ndarray:
    fall = (rng.random(SHAPE) < 0.01) * rng.normal(-8.0, 3.0, SHAPE)
    return rng.standard_normal(SHAPE) + fall + 0.08


LAWS: dict[str, Law] = {
    "normal": lambda rng: rng.standard_normal(SHAPE),
    "fat-tailed": lambda rng: rng.standard_t(3, SHAPE) / math.sqrt(3.0),
    "skewed": lambda rng: 1.0 - rng.exponential(1.0, SHAPE),
    "clustered": clustered,
    "autocorrelated": autocorrelated,
    "crashes": crashes,
}


def half_in_shares(held: np.ndarray) -> np.ndarray:
    """Return the exposure of half an account in shares, bought once."""
    shares = 0.5 * np.cumprod(1.0 + held, axis=-1) / (1.0 + held)
    return shares / (shares + 0.5)


def market(name: str, drift: float, seed: int = 0) -> tuple[np.ndarray, np.random.Generator]:
    rng = np.random.default_rng([seed, len(name), int(10 * drift) + 100])
    return np.maximum(0.01 * (LAWS[name](rng) + drift / YEAR), -0.9), rng


def alarms(own: np.ndarray, held: np.ndarray, exposure: np.ndarray) -> int:
    found = log_evidence(place_bets(own, held, exposure=exposure))
    return int((found.max(axis=1) >= math.log(100.0)).sum())


@pytest.mark.parametrize("drift", [-1.5, 1.5])
@pytest.mark.parametrize("name", LAWS)
def test_noise_looked_at_every_day(name: str, drift: float) -> None:
    held, rng = market(name, drift)
    spells = np.cumsum(rng.random(SHAPE) < 0.03, axis=1) % 2
    for exposure in (rng.random(SHAPE), spells * 1.0, half_in_shares(held)):
        assert alarms(exposure * held, held, exposure) <= 0.01 * MARKETS


@pytest.mark.parametrize("name", LAWS)
def test_noise_beside_the_market(name: str) -> None:
    held, rng = market("normal", 1.0)
    beside = 0.004 * LAWS[name](rng)
    exposure = np.full(SHAPE, 0.7)
    assert alarms(exposure * held + beside, held, exposure) <= 0.01 * MARKETS


def test_exposure_that_drifts_in_a_rising_market_needs_the_null_of_every_drift() -> None:
    """Without the smaller of the two ends, an account half in shares would alarm by itself."""
    rng = np.random.default_rng(5)
    held = 0.01 * (rng.standard_normal((200, 2_000)) + 3.0 / YEAR)
    exposure = half_in_shares(held)
    bets = place_bets(exposure * held, held, exposure=exposure)
    found = log_evidence(bets).max(axis=1)
    naive = np.log1p(MOST_BET * bets.score).cumsum(axis=1).max(axis=1)
    assert (naive >= math.log(100.0)).mean() > 0.05
    assert (found >= math.log(100.0)).sum() <= 2


def test_an_edge_is_found() -> None:
    rng = np.random.default_rng(3)
    shape = (200, 1_300)
    held = 0.01 * (rng.standard_normal(shape) + 0.5 / YEAR)
    own = 0.6 * held + 0.004 * (rng.standard_normal(shape) + 3.0 / YEAR)
    found = log_evidence(place_bets(own, held, exposure=np.full(shape, 0.6)))
    first = np.where(
        found.max(axis=1) >= math.log(100.0), (found >= math.log(100.0)).argmax(axis=1), 10_000
    )
    assert 250 < np.median(first) < 650
    assert 0.5 < np.median(first) / 252.0 / years_to_alarm(3.0) < 2.0
    timing = np.where(rng.random(shape) < 0.5, 1.0, 0.0)
    right = 0.01 * (rng.standard_normal(shape) + 3.0 / YEAR * (2.0 * timing - 1.0))
    late = log_evidence(place_bets(timing * right, right, exposure=timing))
    assert (late.max(axis=1) >= math.log(100.0)).mean() > 0.9


def test_worked_numbers() -> None:
    """The first bets of an account with exposure 0.5, by hand."""
    held = np.tile([0.01, -0.01], 11)[: WARM_UP + 2]
    own = 0.5 * held
    own[WARM_UP] += 0.002
    own[WARM_UP + 1] -= 0.001
    found = beats_at_equal_risk(own, held, exposure=np.full(held.size, 0.5))
    # beta is 0.5, nothing has differed: the risk is a fifth of the account's part in the market's
    first = 0.002 / (0.2 * 0.5 * 0.01)
    assert found.bets.score[WARM_UP] == pytest.approx(first)
    assert found.bets.pull[WARM_UP] == pytest.approx(0.0, abs=1e-12)
    assert not found.bets.placed[:WARM_UP].any()
    assert found.n_bets == 2
    edges = [min(edge / YEAR, MOST_BET) for edge in (0.5, 1.0, 2.0)]
    expected = sum(w * (1.0 + bet * first) for w, bet in zip(WEIGHTS, edges, strict=True))
    assert found.evidence[:WARM_UP] == pytest.approx(1.0)
    assert found.evidence[WARM_UP] == pytest.approx(expected)
    assert found.p_value == pytest.approx(1.0 / expected)
    assert found.alarm is None
    # a difference is in the risk and in beta of the day after alone
    keep = 0.5 ** (1.0 / 63.0)
    weights = keep ** np.arange(WARM_UP, -1, -1)
    share = float(weights @ (own * held)[: WARM_UP + 1]) / float(weights @ (held**2)[: WARM_UP + 1])
    assert found.bets.share[WARM_UP + 1] == pytest.approx(share)
    assert found.bets.difference[WARM_UP + 1] == pytest.approx(own[-1] - share * held[-1])
    assert found.bets.score[-1] < 0.0


def test_what_is_bet_is_known_before_the_day() -> None:
    rng = np.random.default_rng(8)
    held, own = 0.01 * rng.standard_normal((2, 200))
    exposure = rng.random(200)
    whole = place_bets(own, held, exposure=exposure)
    own[120:], held[120:] = 0.3, -0.2
    cut = place_bets(own, held, exposure=exposure)
    for name in ("share", "pull", "dependence", "placed"):
        assert np.array_equal(getattr(whole, name)[:121], getattr(cut, name)[:121]), name
    assert np.array_equal(whole.score[:120], cut.score[:120])
    early = place_bets(own[:90], held[:90], exposure=exposure[:90])
    assert np.array_equal(early.score, whole.score[:90])


def test_one_account_and_many_are_one_computation() -> None:
    rng = np.random.default_rng(9)
    held, own = 0.01 * rng.standard_normal((2, 3, 150))
    exposure = rng.random((3, 150))
    together = log_evidence(place_bets(own, held, exposure=exposure))
    for one in range(3):
        alone = beats_at_equal_risk(own[one], held[one], exposure=exposure[one])
        assert np.log(alone.evidence) == pytest.approx(together[one])


def test_no_difference_is_no_evidence() -> None:
    held = 0.01 * np.random.default_rng(1).standard_normal(300)
    for share in (0.0, 0.5, 1.0):
        found = beats_at_equal_risk(share * held, held, exposure=np.full(300, share))
        assert found.evidence == pytest.approx(1.0, abs=1e-6)
        assert found.alarm is None
        assert found.p_value == pytest.approx(1.0)
        assert found.score_low < 0.0 < found.score_high
    still = beats_at_equal_risk(np.zeros(50), np.zeros(50), exposure=np.zeros(50))
    assert still.n_bets == 0
    assert still.score_low == -math.inf
    assert still.score_high == math.inf
    assert math.isnan(still.mean_score)


def test_the_confidence_sequence_covers_the_mean_score_and_closes_in() -> None:
    missed, widths = 0, []
    for seed in range(12):
        rng = np.random.default_rng([seed, 7])
        held = 0.01 * rng.standard_normal(1_000)
        own = 0.6 * held + 0.004 * (rng.standard_normal(1_000) + 2.0 / YEAR)
        found = beats_at_equal_risk(own, held, exposure=np.full(1_000, 0.6))
        early = beats_at_equal_risk(own[:300], held[:300], exposure=np.full(300, 0.6))
        missed += not found.score_low <= 2.0 / YEAR <= found.score_high
        assert found.mean_score == pytest.approx(found.bets.score[found.bets.placed].mean())
        assert early.score_low <= found.score_low
        assert found.score_high <= early.score_high
        widths.append(found.score_high - found.score_low)
    assert missed <= 1
    assert 2.0 < YEAR * np.median(widths) < 7.0


def test_the_confidence_sequence_is_of_scores_and_not_of_the_ratio() -> None:
    """Differences far smaller than the risk that is counted: a large ratio, a small mean score."""
    rng = np.random.default_rng(11)
    held = 0.01 * rng.standard_normal(1_000)
    own = held + 0.0002 * (rng.standard_normal(1_000) + 6.0 / YEAR)
    found = beats_at_equal_risk(own, held, exposure=np.ones(1_000))
    placed = found.bets.difference[found.bets.placed]
    ratio = placed.mean() / placed.std()
    assert ratio * YEAR > 4.0
    assert found.score_low <= 0.1 * ratio <= found.score_high < 0.5 * ratio


def test_the_drift_is_counted_in_days_on_which_the_market_has_moved() -> None:
    """Prices that stood still for 40 days: a market of 3 a year is no edge of its owner's."""
    rng = np.random.default_rng(6)
    held = 0.01 * (rng.standard_normal((300, 1_500)) + 3.0 / YEAR)
    held[:, :40] = 0.0
    exposure = half_in_shares(held)
    bets = place_bets(exposure * held, held, exposure=exposure)
    assert not bets.placed[:, : 40 + WARM_UP].any()
    assert bets.placed[:, 40 + WARM_UP :].all()
    first = np.sqrt((held[:, 40 : 40 + WARM_UP] ** 2).mean(axis=1))
    excess = (exposure - bets.share)[:, 40 + WARM_UP]
    risk = bets.difference[:, 40 + WARM_UP] / bets.score[:, 40 + WARM_UP]
    assert bets.pull[:, 40 + WARM_UP] == pytest.approx(excess * first / risk)
    assert alarms(exposure * held, held, exposure) <= 3
    late = np.where(np.arange(1_500) >= 60, exposure, 0.0)
    assert alarms(late * held, held, late) <= 3
    # each account waits for a market of its own, idle days between them too
    held[0, 40:] *= np.arange(1_460) % 2
    again = place_bets(exposure * held, held, exposure=exposure)
    assert np.array_equal(again.placed[1:], bets.placed[1:])
    assert again.placed[0].argmax() == 40 + 2 * WARM_UP


def test_the_drift_is_one_deviation_a_period_at_most() -> None:
    """With so few periods a year all bets are the largest one, and only the drift could differ."""
    rng = np.random.default_rng(12)
    held, own = 0.05 * rng.standard_normal((2, 100))
    bets = place_bets(own, held, exposure=rng.random(100))
    months = log_evidence(bets, periods_per_year=12.0)
    assert np.array_equal(months, log_evidence(bets, periods_per_year=4.0))
    assert np.array_equal(months, log_evidence(bets, periods_per_year=16.0))
    assert months[-1] < log_evidence(bets, periods_per_year=24.0)[-1]


@pytest.mark.parametrize("periods", [12.0, 52.0, 252.0, 98_280.0])
def test_no_loss_takes_more_than_all(periods: float) -> None:
    held = np.where(np.arange(400) % 40 == 39, -0.9, 0.001)
    own = np.where(np.arange(400) % 2, -0.9, 0.5)
    found = beats_at_equal_risk(own, held, exposure=own, periods_per_year=periods)
    assert np.isfinite(found.evidence).all()
    assert (found.evidence > 0.0).all()
    assert not math.isnan(found.score_low)
    assert not math.isnan(found.score_high)


def test_bad_input_is_named() -> None:
    own = np.zeros(5)
    with pytest.raises(DataError, match=r"exposure must be of the shape of returns, \(5,\)"):
        beats_at_equal_risk(own, own, exposure=np.zeros(4))
    with pytest.raises(DataError, match="benchmark_returns must be finite"):
        beats_at_equal_risk(own, np.full(5, np.nan), exposure=own)
    with pytest.raises(DataError, match="level must be above 0 and below 1, got 1"):
        beats_at_equal_risk(own, own, exposure=own, level=1)
    with pytest.raises(DataError, match="periods_per_year must be above 0, got 0"):
        beats_at_equal_risk(own, own, exposure=own, periods_per_year=0)
    with pytest.raises(DataError, match=r"returns must be of shape \(T,\)"):
        beats_at_equal_risk(np.zeros((2, 5)), np.zeros((2, 5)), exposure=np.zeros((2, 5)))
    assert beats_at_equal_risk(own[:0], own[:0], exposure=own[:0]).p_value == 1.0
