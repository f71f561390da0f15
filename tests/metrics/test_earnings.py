"""What an account has earned in one sentence: worked numbers and every case of the words."""

import json
import math

import numpy as np
import pytest

from finrl_ray.metrics.earnings import Earnings, earnings_of

MARKET = np.array([0.10, -0.05, 0.02])


def test_half_of_the_market_and_a_percent_of_its_own() -> None:
    own = 0.5 * MARKET + 0.01
    found = earnings_of(own, MARKET, 0.5)
    assert found.beta == pytest.approx(0.5)
    assert found.total_return == pytest.approx(1.06 * 0.985 * 1.02 - 1.0)
    assert found.benchmark_return == pytest.approx(1.1 * 0.95 * 1.02 - 1.0)
    assert found.market_return == pytest.approx(1.05 * 0.975 * 1.01 - 1.0)
    assert found.sentence("the winner") == (
        "on 3 days the winner earned 6.5% where buy & hold earned 6.6%; on average 50% of the "
        "account was invested; 3.4% of its return was the market's (beta 0.50) and 3.1% its own"
    )


def test_cash_is_called_cash() -> None:
    said = earnings_of(np.zeros(3), MARKET, 0.0).sentence("the winner")
    assert "earned 0.0% where buy & hold earned 6.6%" in said
    assert "it stayed in cash (0.0% of the account invested on average)" in said
    assert "0.0% of its return was the market's (beta 0.00) and 0.0% its own" in said


def test_what_is_not_known_is_said() -> None:
    said = earnings_of(MARKET, np.zeros(3)).sentence("the winner")
    assert "how much of the account was invested is not known" in said
    assert "how much of its return was the market's is not known" in said


def test_a_large_beta_does_not_lose_more_than_everything() -> None:
    market = np.array([-0.6, 0.1, 0.2, -0.5])
    found = earnings_of(np.clip(3.0 * market, -0.9, None), market, 1.0)
    assert found.market_return >= -1.0


def test_it_survives_json() -> None:
    for found in (earnings_of(MARKET, MARKET, 1.0), earnings_of(MARKET, np.zeros(3))):
        again = Earnings.from_dict(json.loads(json.dumps(found.to_dict())))
        assert again.to_dict() == found.to_dict()
    assert math.isnan(again.beta)
