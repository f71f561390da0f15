import numpy as np
import pytest
from numba import njit

from finrl_ray.learners.products.activations import (
    LINEAR,
    RELU,
    TANH,
    outputs_of_sums,
    slopes_of_sums,
)
from finrl_ray.learners.products.tiles import address_of

N_ROWS, N_COLUMNS = 7, 37


@njit
def forward(sums, bias, activation):
    n_rows, n_columns = sums.shape
    outputs_of_sums(
        (n_rows, n_columns - 1, address_of(sums), n_columns, address_of(bias), activation)
    )


@njit
def back(outputs, slopes, bias_slope, activation, onto):
    n_rows, n_columns = outputs.shape
    there = address_of(outputs), address_of(slopes)
    at = n_columns, address_of(bias_slope)
    slopes_of_sums((n_rows, n_columns - 1, *there, *at, activation, onto))


@pytest.fixture
def sums():
    """(7, 38): the last column is none of the layer's."""
    drawn = np.random.default_rng(0).normal(size=(N_ROWS, N_COLUMNS + 1)) * 3
    drawn[0, :4] = np.nan, 1e30, -1e30, 0.0
    drawn[:, -1] = 7
    return drawn.astype(np.float32)


@pytest.fixture
def bias():
    return np.linspace(-1, 1, N_COLUMNS, dtype=np.float32)


FORMULAS = {
    LINEAR: (lambda x: x, lambda y: np.ones_like(y)),
    RELU: (lambda x: np.where(x <= 0, 0, x), lambda y: np.where(y <= 0, 0.0, 1.0)),
    TANH: (np.tanh, lambda y: 1 - y * y),
}
"""Each activation and its derivative by its output."""


@pytest.mark.parametrize("activation", FORMULAS)
def test_forward(sums, bias, activation):
    expected = FORMULAS[activation][0](sums[:, :-1].astype(np.float64) + bias)
    forward(sums, bias, activation)
    np.testing.assert_allclose(sums[:, :-1], expected, rtol=5e-7, atol=5e-7)
    assert (sums[:, -1] == 7).all()


@pytest.mark.parametrize("onto", [0, 1])
@pytest.mark.parametrize("activation", FORMULAS)
def test_back(sums, bias, activation, onto):
    forward(sums, bias, activation)
    slopes = np.random.default_rng(1).normal(size=sums.shape).astype(np.float32)
    slopes[:, -1] = 7
    bias_slope = np.full(N_COLUMNS + 1, 7, dtype=np.float32)
    outputs = sums[:, :-1].astype(np.float64)
    expected = slopes[:, :-1] * FORMULAS[activation][1](outputs)
    back(sums, slopes, bias_slope, activation, onto)
    np.testing.assert_allclose(slopes[:, :-1], expected, rtol=2e-6, atol=2e-7)
    np.testing.assert_allclose(bias_slope[:-1], expected.sum(0) + 7 * onto, rtol=1e-5, atol=1e-6)
    assert (slopes[:, -1] == 7).all()
    assert bias_slope[-1] == 7


def test_tanh_is_monotonic_and_bounded(bias):
    x = np.linspace(-12, 12, N_COLUMNS * 1000, dtype=np.float32).reshape(1000, N_COLUMNS)
    framed = np.concatenate([x, np.zeros((1000, 1), dtype=np.float32)], axis=1)
    forward(framed, np.zeros_like(bias), TANH)
    found = framed[:, :-1].ravel().astype(np.float64)
    assert np.abs(found).max() == 1
    assert np.diff(found).min() > -4e-7
    np.testing.assert_allclose(found, np.tanh(x.ravel().astype(np.float64)), rtol=5e-7)


def test_tanh_of_small_and_of_infinite_numbers(bias):
    x = np.zeros((300, N_COLUMNS + 1), dtype=np.float32)
    x[:, :-1] = np.logspace(-37, 1, 300 * N_COLUMNS).reshape(300, N_COLUMNS)
    x[0, :3] = np.inf, -np.inf, np.nan
    wanted = np.tanh(x[:, :-1].astype(np.float64))
    forward(x, np.zeros_like(bias), TANH)
    np.testing.assert_allclose(x[:, :-1], wanted, rtol=5e-7)
