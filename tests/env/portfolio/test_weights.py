import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from finrl_ray.env.portfolio.weights import project_to_simplex, rebalance, wanted_weights

ALL_FREE = np.ones(2, dtype=bool)


@pytest.mark.parametrize(
    ("values", "weights"),
    [
        ([0.0, 0.0, 0.0, 0.0], [0.25] * 4),
        ([-0.7, -0.7], [0.5, 0.5]),
        ([1.0, 0.0, -1.0], [1.0, 0.0, 0.0]),
        # 0.2 is added to both
        ([0.5, 0.1], [0.7, 0.3]),
        ([0.5, 0.1, -1.0], [0.7, 0.3, 0.0]),
        ([5.0], [1.0]),
        ([1e9, 1e9 - 0.5], [0.75, 0.25]),
    ],
)
def test_projection(values, weights):
    assert project_to_simplex(np.array(values)) == pytest.approx(np.array(weights))


@given(arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e3, 1e3)))
@settings(max_examples=200, deadline=None)
def test_a_projection_is_the_nearest_point(values):
    weights = project_to_simplex(values)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1.0)
    rng = np.random.default_rng(0)
    others = rng.dirichlet(np.ones(len(values)), 20)
    distances = ((others - values) ** 2).sum(axis=1)
    assert (distances >= ((weights - values) ** 2).sum() - 1e-6).all()


def test_weights_leave_the_narrow_band_of_a_softmax():
    action = np.full(30, -1.0)
    action[7] = 1.0
    # a softmax of FinRL's actions in 0..1 gives 8.6 % at most
    assert wanted_weights(action, 1.0, np.ones(30, dtype=bool))[7] == 1.0
    tilted = wanted_weights(np.r_[0.05, np.zeros(29)], 1.0, np.ones(30, dtype=bool))
    assert tilted[0] == pytest.approx(1 / 30 + 0.05 * 29 / 30)


def test_the_scale_sharpens():
    action = np.array([0.1, 0.0])
    assert wanted_weights(action, 1.0, ALL_FREE) == pytest.approx([0.55, 0.45])
    assert wanted_weights(action, 10.0, ALL_FREE) == pytest.approx([1.0, 0.0])


def test_cash_is_a_weight_of_its_own():
    assert wanted_weights(np.array([-1.0, -1.0, 1.0]), 1.0, ALL_FREE).tolist() == [0.0, 0.0]
    thirds = wanted_weights(np.zeros(3), 1.0, ALL_FREE)
    assert thirds == pytest.approx([1 / 3, 1 / 3])


def test_what_cannot_be_traded_takes_no_part():
    free = np.array([False, True])
    assert wanted_weights(np.array([1.0, -1.0]), 1.0, free).tolist() == [0.0, 1.0]
    assert wanted_weights(np.zeros(2), 1.0, np.zeros(2, dtype=bool)).tolist() == [0.0, 0.0]


def test_costs_of_the_first_purchase():
    moved = rebalance(np.zeros(2), np.array([1.0, 0.0]), ALL_FREE, 0.25)
    # 0.8 are bought and a quarter of that is paid
    assert moved.positions == pytest.approx([0.8, 0.0])
    assert (moved.cash, moved.cost, moved.traded) == pytest.approx((0.0, 0.2, 0.8))


def test_costs_of_a_switch():
    # all is sold for 1 - 0.25, and 0.75 = b + 0.25 b buys b = 0.6
    moved = rebalance(np.array([1.0, 0.0]), np.array([0.0, 1.0]), ALL_FREE, 0.25)
    assert moved.positions == pytest.approx([0.0, 0.6])
    assert (moved.cost, moved.traded) == pytest.approx((0.4, 1.6))


def test_staying_costs_nothing():
    held = np.array([0.3, 0.7])
    moved = rebalance(held, held, ALL_FREE, 0.1)
    assert moved.positions == pytest.approx(held)
    assert (moved.cost, moved.traded) == (0.0, 0.0)


def test_what_cannot_be_traded_stays():
    moved = rebalance(np.array([0.4, 0.6]), np.array([0.0, 0.5]), np.array([False, True]), 0.0)
    assert moved.positions == pytest.approx([0.4, 0.3])
    assert moved.cash == pytest.approx(0.3)


@given(
    held=arrays(np.float64, 4, elements=st.floats(0, 1)),
    action=arrays(np.float64, 5, elements=st.floats(-1, 1)),
    free=arrays(np.bool_, 4),
    rate=st.floats(0, 0.9),
)
@settings(max_examples=200, deadline=None)
def test_nothing_is_lost_but_the_cost(held, action, free, rate):
    held = held / max(1.0, held.sum())
    moved = rebalance(held, wanted_weights(action, 1.0, free), free, rate)
    assert moved.positions.min() >= 0
    assert moved.positions.sum() + moved.cash + moved.cost == pytest.approx(1.0)
    assert moved.cost == pytest.approx(rate * moved.traded, abs=1e-12)
    assert (moved.positions[~free] == held[~free]).all()
