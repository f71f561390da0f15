"""What a rule can earn on the generated markets, of which benchmarks take their shares."""

import numpy as np
import pytest
from known_markets import LAWS, SIGNALLED, attainable, information_ratio, known_market

WARMUP = 20


@pytest.mark.parametrize("law", LAWS)
def test_a_market_is_the_same_for_the_same_seed_and_starts_at_the_same_levels(law: str) -> None:
    first, again, other = (known_market(law, seed, 60) for seed in (1, 1, 2))
    assert np.array_equal(first.close, again.close)
    assert not np.array_equal(first.close, other.close)
    assert ("signal" in first.frame) == (law in SIGNALLED)
    assert np.abs(np.log(first.close[0] / other.close[0])).max() < 0.2


def test_the_information_ratio_is_that_of_the_difference() -> None:
    returns, benchmark = np.array([0.02, 0.01, 0.03]), np.array([0.01, 0.01, 0.01])
    # differences .01, 0 and .02: mean .01, deviation .01
    assert information_ratio(returns, benchmark) == pytest.approx(np.sqrt(252))
    assert information_ratio(benchmark, benchmark) == 0.0


def test_a_strong_edge_can_earn_more_than_a_weak_one_and_none_nearly_nothing() -> None:
    best = {}
    for law in ("strong", "weak", "none"):
        markets = [known_market(law, seed, 620) for seed in (1, 2)]
        held = [market.close[WARMUP:].mean(axis=1) for market in markets]
        benchmarks = [values[1:] / values[:-1] - 1 for values in held]
        best[law] = attainable(markets, WARMUP, benchmarks, lag=0, cost=0.001)
    assert best["strong"] > 8.0
    assert 1.0 < best["weak"] < best["strong"] / 2
    assert abs(best["none"]) < 1.0
