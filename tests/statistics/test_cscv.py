"""PBO: known answers, a slow definition by hand, and what must not be mistaken for a result."""

import math
import time
from itertools import combinations

import numpy as np
import pytest
from r_random import RRandom

from finrl_ray.errors import DataError
from finrl_ray.statistics.cscv import largest_even_blocks, probability_of_backtest_overfitting

SMALL = {"min_trials": 2, "min_block_periods": 1}


def by_definition(returns: np.ndarray, n_blocks: int) -> tuple[list[float], list[float]]:
    """Algorithm 2.3 row by row: the logits, and the chosen trial's ratios on the other half."""
    length = len(returns) // n_blocks
    blocks = returns[len(returns) - length * n_blocks :].reshape(n_blocks, length, -1)
    logits, outside = [], []
    for half in combinations(range(n_blocks), n_blocks // 2):
        inside = np.concatenate([blocks[i] for i in half])
        rest = np.concatenate([blocks[i] for i in range(n_blocks) if i not in half])
        best = int(np.argmax(inside.mean(axis=0) / inside.std(axis=0, ddof=1)))
        ratios = rest.mean(axis=0) / rest.std(axis=0, ddof=1)
        share = (int((ratios < ratios[best]).sum()) + 1) / (returns.shape[1] + 1)
        logits.append(math.log(share / (1 - share)))
        outside.append(float(ratios[best]))
    return logits, outside


def test_the_example_of_the_r_package() -> None:
    # set.seed(852), 200 x 40 by rows, a risk-free rate of 3 % a year
    returns = RRandom(852).normal(8000).reshape(200, 40)
    found = probability_of_backtest_overfitting(returns, 4, risk_free=0.03 / 252)
    assert (found.pbo, found.probability_of_loss, found.n_combinations) == (0.5, 0.5, 6)
    assert found.slope == pytest.approx(-0.219893, abs=5e-7)


def test_rs_random_numbers_are_rs() -> None:
    np.testing.assert_allclose(RRandom(42).normal(3), [1.37095845, -0.56469817, 0.36312841])


@pytest.mark.parametrize(
    ("n_blocks", "pbo", "loss", "slope"),
    [(4, 0.5, None, None), (6, 0.3, None, None), (8, 0.657143, 0.557143, -1.420692)],
)
def test_a_series_without_chance(n_blocks, pbo, loss, slope) -> None:
    t, n = np.arange(96)[:, None], np.arange(6)[None, :]
    returns = np.sin(1 + 0.37 * t * (n + 1) + n) / 100 + 1e-4 * n
    found = probability_of_backtest_overfitting(returns, n_blocks, **SMALL)
    assert found.pbo == pytest.approx(pbo, abs=5e-7)
    if loss is not None:
        assert found.probability_of_loss == pytest.approx(loss, abs=5e-7)
        assert found.slope == pytest.approx(slope, abs=5e-7)


def test_one_trial_that_is_best_everywhere_is_not_overfit() -> None:
    returns = np.random.default_rng(0).normal(0, 0.001, (40, 5))
    returns[:, 2] += 0.02
    found = probability_of_backtest_overfitting(returns, 4, **SMALL)
    assert found.pbo == 0.0
    np.testing.assert_allclose(found.logits, math.log(5.0), rtol=1e-12)


@pytest.mark.parametrize("n_blocks", [4, 8, 10, 16])
def test_trials_without_a_mean_are_always_overfit(n_blocks) -> None:
    returns = np.random.default_rng(0).normal(size=(1000, 100))
    returns -= returns[1000 % n_blocks :].mean(axis=0)
    found = probability_of_backtest_overfitting(returns, n_blocks)
    assert (found.pbo, found.probability_of_loss) == (1.0, 1.0)


@pytest.mark.parametrize(("t", "n", "n_blocks"), [(203, 11, 8), (60, 12, 6), (97, 30, 4)])
def test_it_is_what_the_definition_says(t, n, n_blocks) -> None:
    returns = np.random.default_rng(t).standard_t(4, (t, n)) * 0.01 + 0.2
    found = probability_of_backtest_overfitting(returns, n_blocks, **SMALL)
    logits, outside = by_definition(returns, n_blocks)
    np.testing.assert_allclose(found.logits, logits, rtol=1e-9)
    assert found.mean_out_of_sample == pytest.approx(np.mean(outside), rel=1e-9)
    assert found.n_dropped == t % n_blocks


def test_the_oldest_rows_are_left_out() -> None:
    returns = np.random.default_rng(5).normal(size=(163, 12))
    altered = returns.copy()
    altered[:3] *= 1000
    one = probability_of_backtest_overfitting(returns, 16)
    other = probability_of_backtest_overfitting(altered, 16)
    np.testing.assert_array_equal(one.logits, other.logits)


def test_missing_values_are_refused() -> None:
    returns = np.random.default_rng(0).normal(size=(200, 12))
    returns[17, 3] = np.nan
    with pytest.raises(DataError, match="got nan in row 17 of trial 3"):
        probability_of_backtest_overfitting(returns, 8)
    with pytest.raises(DataError, match="n_blocks must be even"):
        probability_of_backtest_overfitting(np.zeros((200, 12)), 7)
    with pytest.raises(DataError, match="must have shape"):
        probability_of_backtest_overfitting(np.zeros(200), 8)


@pytest.mark.parametrize(
    ("shape", "reason"), [((400, 9), "9 trials"), ((100, 20), "100 periods in 16 blocks")]
)
def test_too_few_give_a_reason_and_no_number(shape, reason) -> None:
    found = probability_of_backtest_overfitting(np.random.default_rng(0).normal(size=shape))
    assert found.pbo is None
    assert reason in found.reason


def test_trials_that_do_not_move_are_neither_best_nor_a_fault() -> None:
    returns = np.random.default_rng(2).normal(0.0005, 0.01, (320, 12))
    for constant in (0.0, 0.01, 1e-5):
        still = returns.copy()
        still[:, 4] = constant
        found = probability_of_backtest_overfitting(still)
        assert found.pbo is not None
        assert 0 <= found.pbo <= 1
        assert np.isfinite(found.logits).all()
    # all alike: the choice is no better than the middle
    same = np.repeat(returns[:, :1], 12, axis=1)
    assert probability_of_backtest_overfitting(same).pbo == 1.0


def test_blocks_for_a_length() -> None:
    assert [largest_even_blocks(t) for t in (1000, 160, 159, 40, 39)] == [16, 16, 14, 4, 2]


def test_a_thousand_days_of_a_hundred_trials_take_no_time() -> None:
    returns = np.random.default_rng(0).normal(size=(1000, 100))
    started = time.process_time()
    assert probability_of_backtest_overfitting(returns, 16).n_combinations == 12_870
    # 0.05 s; a bound against a rewrite by rows, which takes minutes
    assert time.process_time() - started < 60
