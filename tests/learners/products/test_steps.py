"""Steps against their formulas in float64."""

import numpy as np
import pytest
from numba import njit

from finrl_ray.learners.products.steps import adam_pass, rmsprop_pass
from finrl_ray.learners.products.tiles import address_of

N = 1003
SCALE, RATE = np.float32(0.5), np.float32(1e-2)
KEEP, SHARE = np.float32(0.99), np.float32(0.01)
AVERAGE_SHARE, ROOT_SCALE = np.float32(0.1), np.float32(1.3)


@njit
def adam(values, gradients, average, square, settings):
    there = address_of(values), address_of(gradients), address_of(average), address_of(square)
    adam_pass(len(values) - 1, there, settings)


@njit
def rmsprop(values, gradients, square, settings):
    there = address_of(values), address_of(gradients), address_of(square)
    rmsprop_pass(len(values) - 1, there, settings)


@pytest.fixture
def arrays():
    """Parameters (of 0, so that a step shows in all its digits), gradients, averages."""
    rng = np.random.default_rng(0)
    gradients, average = rng.normal(size=(2, N)) * 1e-3
    square = rng.normal(size=N) ** 2 * 1e-6
    square[:50] = 0
    gradients[25:100] = 0
    square[100:110] = 1e-39  # below the normal range
    gradients[110:120] = 1e-21
    square[110:120] = 0
    return [array.astype(np.float32) for array in (np.zeros(N), gradients, average, square)]


def require_steps(found, expected, untouched):
    for got, wanted, before in zip(found, expected, untouched, strict=True):
        np.testing.assert_allclose(got[:-1], wanted[:-1], rtol=2e-6, atol=1e-38)
        assert got[-1] == before[-1]


@pytest.mark.parametrize("eps", [1e-8, 1e-5])
def test_adam(arrays, eps):
    values, g, m, v = (array.astype(np.float64) for array in arrays)
    g = g * SCALE
    m = m + (g - m) * AVERAGE_SHARE
    v = v * KEEP + g * g * SHARE
    values = values - RATE * m / (np.sqrt(v) * ROOT_SCALE + eps)
    before = [array.copy() for array in arrays]
    settings = (SCALE, RATE, AVERAGE_SHARE, KEEP, SHARE, ROOT_SCALE, np.float32(eps))
    adam(*arrays, settings)
    require_steps(arrays, (values, g, m, v), before)


@pytest.mark.parametrize("inside", [True, False])
def test_rmsprop(arrays, inside):
    values, g, _, v = (array.astype(np.float64) for array in arrays)
    g = g * SCALE
    v = v * KEEP + g * g * SHARE
    deviation = np.sqrt(v + 1e-5) if inside else np.sqrt(v) + 1e-5
    values = values - RATE * g / deviation
    chosen = [arrays[0], arrays[1], arrays[3]]
    before = [array.copy() for array in chosen]
    eps = np.float32(1e-5), np.float32(0)
    outside, within = eps[::-1] if inside else eps
    rmsprop(*chosen, (SCALE, RATE, KEEP, SHARE, outside, within))
    require_steps(chosen, (values, g, v), before)


def test_nan_and_huge_gradients_stay_where_they_are(arrays):
    arrays[1][[3, 600]] = np.nan, 1e30
    before = arrays[0].copy()
    eps = np.float32(1e-5)
    adam(*arrays, (SCALE, RATE, AVERAGE_SHARE, KEEP, SHARE, ROOT_SCALE, eps))
    assert np.isnan(arrays[0][3])
    assert np.isfinite(np.delete(arrays[0], 3)).all()
    # of an infinite average the step of torch is 0
    assert abs(arrays[0][600] - before[600]) < 1e-9
