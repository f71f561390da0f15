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
        "in 3 days the winner earned 6.5% where buy & hold earned 6.6%; on average 50% of the "
        "account was invested over that time; of the +6.5% the market made +3.4% (beta 0.50) and "
        "the winner itself +3.1%"
    )


def test_cash_is_called_cash() -> None:
    said = earnings_of(np.zeros(3), MARKET, 0.0).sentence("the winner")
    assert "earned 0.0% where buy & hold earned 6.6%" in said
    assert "it stayed in cash (0.0% of the account was invested on average" in said
    assert "of the 0.0% the market made 0.0% (beta 0.00) and the winner itself 0.0%" in said


@pytest.mark.parametrize(
    ("total", "held", "slope", "market", "said"),
    [
        (-0.0975, -0.1536, 0.5, -0.0784, "lost 9.8% where buy & hold lost 15.4%; on"),
        (-0.0975, -0.1536, 0.5, -0.0784, "of the -9.8% the market made -7.8% (beta 0.50) and"),
        (-0.0975, -0.1536, 0.5, -0.0784, "and the winner itself -1.9%"),
        (0.0609, -0.1536, -0.25, 0.0404, "earned 6.1% where buy & hold lost 15.4%; on"),
        (0.0609, -0.1536, -0.25, 0.0404, "of the +6.1% the market made +4.0% (beta -0.25) and"),
        (-0.0199, 0.1664, 0.5, 0.0816, "lost 2.0% where buy & hold earned 16.6%; on"),
        (-0.0199, 0.1664, 0.5, 0.0816, "made +8.2% (beta 0.50) and the winner itself -10.2%"),
        # less than is shown has no sign
        (-1e-4, 0.1664, -1e-3, -1e-4, "earned 0.0% where buy & hold earned 16.6%; on"),
        (
            -1e-4,
            0.1664,
            -1e-3,
            -1e-4,
            "of the 0.0% the market made 0.0% (beta 0.00) and the winner",
        ),
    ],
)
def test_gains_and_losses_of_market_and_agent(total, held, slope, market, said) -> None:
    found = Earnings(
        n_periods=2,
        total_return=total,
        benchmark_return=held,
        beta=slope,
        market_return=market,
        exposure=0.5,
    )
    assert said in found.sentence("the winner")


@pytest.mark.parametrize(
    ("exposure", "said"),
    [
        (0.004, "it stayed in cash (0.4% of the account was invested on average over that time)"),
        (0.37, "on average 37% of the account was invested over that time"),
        (1.0, "on average 100% of the account was invested over that time"),
        (1.3, "its positions, short ones too, came to 130% of the account on average"),
        (math.nan, "how much of the account was invested over that time is not known"),
    ],
)
def test_how_much_was_invested(exposure, said) -> None:
    assert f"; {said}" in earnings_of(MARKET, MARKET, exposure).sentence("the winner")


def test_what_is_not_known_is_said() -> None:
    said = earnings_of(MARKET, np.zeros(3)).sentence("the winner")
    assert "how much of that the market made is not known" in said


def test_a_large_beta_does_not_lose_more_than_everything() -> None:
    market = np.array([-0.6, 0.1, 0.2, -0.5])
    found = earnings_of(np.clip(3.0 * market, -0.9, None), market, 1.0)
    assert found.market_return >= -1.0


def test_it_survives_json() -> None:
    for found in (earnings_of(MARKET, MARKET, 1.0), earnings_of(MARKET, np.zeros(3))):
        again = Earnings.from_dict(json.loads(json.dumps(found.to_dict())))
        assert again.to_dict() == found.to_dict()
    assert math.isnan(again.beta)
