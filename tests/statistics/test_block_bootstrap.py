"""Block bootstraps, SPA, the test of Ledoit and Wolf, and the interquartile mean."""

import numpy as np
import pytest

from finrl_ray.errors import DataError
from finrl_ray.statistics.block_bootstrap import (
    block_length_of,
    circular_block_indices,
    optimal_block_lengths,
    resampled_means,
    sharpe_interval,
    stationary_indices,
)
from finrl_ray.statistics.interquartile_mean import (
    interquartile_mean,
    interquartile_mean_interval,
    probability_of_improvement,
)
from finrl_ray.statistics.sharpe_difference import sharpe_difference
from finrl_ray.statistics.superior_ability import long_run_variance, superior_predictive_ability


def autoregressive(n: int, phi: float, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=n)
    for i in range(1, n):
        values[i] += phi * values[i - 1]
    return values


def test_circular_blocks_are_runs_that_wrap() -> None:
    rows = circular_block_indices(10, 4, 500, np.random.default_rng(0))
    assert rows.shape == (500, 10)
    assert ((np.diff(rows[:, :4], axis=1) % 10) == 1).all()
    assert ((np.diff(rows[:, 4:8], axis=1) % 10) == 1).all()
    # every row is drawn equally often
    counts = np.bincount(rows.reshape(-1), minlength=10)
    assert counts.min() > 0.9 * 500 and counts.max() < 1.1 * 500  # noqa: PT018  # one range


def test_stationary_blocks_have_the_mean_length() -> None:
    rows = stationary_indices(1000, 5.0, 200, np.random.default_rng(0))
    breaks = ((np.diff(rows, axis=1) % 1000) != 1).mean()
    assert breaks == pytest.approx(0.2, abs=0.01)
    alone = stationary_indices(50, 1.0, 200, np.random.default_rng(0))
    assert ((np.diff(alone, axis=1) % 50) == 1).mean() < 0.05


def test_resampled_means_are_the_means_of_the_resamples() -> None:
    values = np.random.default_rng(0).normal(size=(30, 3))
    rows = circular_block_indices(30, 4, 7, np.random.default_rng(1))
    np.testing.assert_allclose(resampled_means(values, rows), values[rows].mean(axis=1), rtol=1e-12)


@pytest.mark.parametrize(("n", "length"), [(0, 1), (10, 0), (10, 11)])
def test_impossible_blocks_are_refused(n, length) -> None:
    with pytest.raises(DataError, match="must be"):
        circular_block_indices(n, length, 5, np.random.default_rng(0))


@pytest.mark.parametrize("phi", [0.0, 0.3, 0.8, -0.4])
@pytest.mark.parametrize("n", [37, 252, 1000])
def test_block_lengths_are_archs(n, phi) -> None:
    bootstrap = pytest.importorskip("arch.bootstrap")
    values = autoregressive(n, phi, seed=n)
    expected = bootstrap.optimal_block_length(values).to_numpy()[0]
    np.testing.assert_allclose(optimal_block_lengths(values), expected, rtol=1e-12)


def test_block_lengths_grow_with_dependence() -> None:
    lengths = [optimal_block_lengths(autoregressive(1000, phi, 3))[1] for phi in (0.0, 0.8)]
    assert lengths[0] < 5 < 20 < lengths[1]
    assert optimal_block_lengths(np.ones(50)) == (1.0, 1.0)
    assert block_length_of(autoregressive(400, 0.0, 1)) >= 5
    assert block_length_of(np.arange(9.0)) == 1


def test_the_interval_of_a_sharpe_ratio_covers_it() -> None:
    rng, covered = np.random.default_rng(0), 0
    truth = 1.0 / np.sqrt(252)
    for seed in range(120):
        low, high = sharpe_interval(rng.normal(truth, 1.0, 252), n_bootstrap=400, seed=seed)
        covered += low <= truth <= high
    assert covered / 120 == pytest.approx(0.93, abs=0.06)
    assert np.isnan(sharpe_interval(np.full(50, 0.01))).all()


def test_the_best_of_noise_is_not_superior_and_skill_is() -> None:
    noise = 0.01 * np.random.default_rng(0).standard_normal((252, 100))
    found = superior_predictive_ability(noise)
    assert found.consistent == pytest.approx(0.116, abs=0.03)
    assert found.lower <= found.consistent <= found.upper
    planted = noise.copy()
    planted[:, 0] += 4 * 0.01 / np.sqrt(252)
    assert superior_predictive_ability(planted).consistent == 0.0


def test_it_is_studentised() -> None:
    """One steady trial with skill among many that are ten times as noisy."""
    rng = np.random.default_rng(7)
    active = 0.02 * rng.standard_normal((500, 50))
    active[:, 0] = 0.002 * rng.standard_normal(500) + 0.0004
    found = superior_predictive_ability(active)
    assert found.consistent < 0.02
    assert found.reality_check > 0.5


def test_it_is_archs_on_studentised_losses() -> None:
    bootstrap = pytest.importorskip("arch.bootstrap")
    rng = np.random.default_rng(11)
    active = 0.01 * rng.standard_normal((400, 30)) * rng.uniform(0.2, 3, 30) + 0.0004
    omega = np.sqrt(long_run_variance(active, 5.0))
    other = bootstrap.SPA(np.zeros(400), -active / omega, block_size=5, reps=4000, seed=1)
    other.compute()
    own = superior_predictive_ability(active, n_bootstrap=4000)
    assert own.consistent == pytest.approx(other.pvalues["consistent"], abs=0.03)


def test_false_positives_of_the_test_are_few() -> None:
    rng, found = np.random.default_rng(3), 0
    for seed in range(120):
        active = rng.standard_normal((252, 40))
        found += superior_predictive_ability(active, n_bootstrap=400, seed=seed).consistent < 0.05
    assert found <= 18


@pytest.mark.parametrize(
    ("active", "reason"),
    [
        (np.zeros((100, 3)), "no active returns vary"),
        (np.full((100, 2), 0.01), "no active returns vary"),
        (np.empty((100, 0)), "no active returns vary"),
        (np.ones((2, 3)), "2 periods"),
    ],
)
def test_nothing_to_test_gives_a_reason(active, reason) -> None:
    found = superior_predictive_ability(active)
    assert np.isnan(found.consistent)
    assert reason in found.reason


def test_long_run_variance_is_the_sum_by_hand() -> None:
    values = autoregressive(60, 0.5, 2)[:, None]
    centred = values[:, 0] - values.mean()
    gamma = [float(centred[k:] @ centred[: 60 - k]) / 60 for k in range(60)]
    q = 1 / 5
    kernel = [(1 - k / 60) * (1 - q) ** k + k / 60 * (1 - q) ** (60 - k) for k in range(60)]
    expected = gamma[0] + 2 * sum(kernel[k] * gamma[k] for k in range(1, 60))
    assert long_run_variance(values, 5.0)[0] == pytest.approx(expected, rel=1e-10)


def test_a_difference_of_sharpe_ratios() -> None:
    rng = np.random.default_rng(0)
    market = rng.normal(0.0, 0.01, 500)
    better = 0.5 * market + rng.normal(0.001, 0.005, 500)
    found = sharpe_difference(better, market)
    ratios = [x.mean() / x.std() for x in (better, market)]
    assert found.difference == pytest.approx(ratios[0] - ratios[1], rel=1e-10)
    assert found.p_value < 0.05
    turned = sharpe_difference(market, better)
    assert turned.difference == pytest.approx(-found.difference, rel=1e-10)
    assert sharpe_difference(market, 3 * market).p_value == 1.0
    # for independent normal returns the variance is close to that of two Sharpe ratios
    apart = sharpe_difference(market, rng.normal(0.0, 0.01, 500))
    assert apart.standard_error == pytest.approx(np.sqrt(2 / 500), rel=0.15)


def test_a_difference_is_found_five_times_in_a_hundred_where_there_is_none() -> None:
    rng, found = np.random.default_rng(5), 0
    for seed in range(150):
        both = rng.normal(0.0005, 0.01, (250, 1)) + rng.normal(0.0, 0.01, (250, 2))
        found += sharpe_difference(*both.T, n_bootstrap=299, seed=seed).p_value < 0.05
    assert 1 <= found <= 20


def test_differences_of_unfit_series_are_refused() -> None:
    with pytest.raises(DataError, match="one shape"):
        sharpe_difference(np.arange(30.0), np.arange(31.0))
    with pytest.raises(DataError, match="finite and vary"):
        sharpe_difference(np.ones(30), np.arange(30.0))
    with pytest.raises(DataError, match="block_length must be within"):
        sharpe_difference(np.arange(30.0), np.arange(30.0) ** 2, block_length=20)


def test_interquartile_mean() -> None:
    assert interquartile_mean(np.arange(1, 9)) == 4.5
    assert interquartile_mean(np.arange(1, 11).reshape(2, 5)) == 5.5
    assert interquartile_mean(np.array([3.0])) == 3.0
    with pytest.raises(DataError, match="no NaN"):
        interquartile_mean(np.array([1.0, np.nan]))


def test_the_interval_of_the_iqm_is_that_of_seeds_within_splits() -> None:
    scores = np.random.default_rng(0).normal(size=(5, 4)) + np.array([0.0, 10.0, 20.0, 30.0])
    low, high = interquartile_mean_interval(scores)
    assert low < interquartile_mean(scores) < high
    # splits that differ by 10 do not widen it: each keeps its own seeds
    assert high - low < 2.0
    alike = np.repeat(scores[:1], 5, axis=0)
    assert interquartile_mean_interval(alike) == (
        pytest.approx(interquartile_mean(alike)),
        pytest.approx(interquartile_mean(alike)),
    )


def test_probability_of_improvement() -> None:
    one, other = np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[2.0, 4.0], [0.0, 5.0]])
    # split 0: 1>2 no, 1>0, 3>2, 3>0: 3 of 4; split 1: 5>4, 5=5, 5>4, 5=5: 3 of 4
    assert probability_of_improvement(one, other) == 0.75
    with pytest.raises(DataError, match="the same splits"):
        probability_of_improvement(one, other[:, :1])
