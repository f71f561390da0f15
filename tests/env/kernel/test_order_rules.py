"""What a single order may trade, for numbers beyond those of which each whole one is a float."""

import numpy as np
import pytest
from env_markets import column, hand_market, play

from finrl_ray.env.kernel.order_rules import affordable, fewer, whole_lots
from finrl_ray.env.kernel.slippage import affordable_with_slippage, price_of_buy
from finrl_ray.env.stock_trading import StockTradingEnv


def test_the_next_smaller_whole_number_is_a_float():
    assert fewer(5.0, 1) == 4.0
    assert fewer(2.0**53, 1) == 2.0**53 - 1.0
    assert fewer(2.0**53 + 2.0, 1) == 2.0**53
    assert fewer(2.0**60, 1) == 2.0**60 - 128.0
    # what is not found by small steps is halved
    assert fewer(2.0**60 + 256.0, 65) == 2.0**59 + 128.0
    assert fewer(1.0, 65) == 0.0


def test_what_cash_pays_for_is_found_beyond_2_to_the_53():
    rng = np.random.default_rng(0)
    stepped = 0
    for _ in range(3_000):
        price, cash = float(10.0 ** rng.uniform(-14.0, -8.0)), float(10.0 ** rng.uniform(5.0, 20.0))
        rate = float(rng.choice([0.0, 0.001, 0.3]))
        most = affordable(1e300, cash, price, rate, False)
        assert most == np.floor(most)
        assert price * most * (1.0 + rate) <= cash
        # it is not far from the quotient: a little more is too dear
        more = np.ceil(most * (1.0 + 2e-15)) + 1.0
        assert price * more * (1.0 + rate) > cash
        stepped += most < cash // (price * (1.0 + rate))
    assert stepped > 100


def test_prices_that_are_rounded_themselves_do_not_take_for_ever():
    # 1.4 times the smallest float is that float
    most = affordable(1e300, 1e-30, 5e-324, 0.4, False)
    assert most > 0.0
    assert 5e-324 * most * 1.4 <= 1e-30
    slipped = affordable_with_slippage(1e300, 1e-30, 5e-324, 0.4, 1e-30, False)
    assert price_of_buy(slipped, 5e-324, 0.4, 1e-30) <= 1e-30


@pytest.mark.parametrize("lot", [0.1, 0.3, 3.0, 1.0])
def test_lots_are_found_beyond_2_to_the_53(lot):
    for quantity in 10.0 ** np.random.default_rng(0).uniform(15.0, 30.0, 300):
        found = whole_lots(quantity, lot)
        assert quantity * (1.0 - 1e-15) - lot <= found <= quantity


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("action", ["orders", "target_weights"])
def test_an_account_of_very_many_shares_goes_on(short, action):
    # the quotient of this cash and this price is a float too large for it
    cash, price = 1e9, 1e-12
    for rate in np.linspace(0.0, 0.3, 200):
        env = StockTradingEnv(
            hand_market(column(price, price, price)),
            action=action,
            hmax=1e25 if action == "orders" else 100,
            initial_amount=cash,
            buy_cost_pct=float(rate),
            short=short,
        )
        env.reset()
        history = play(env, [[1.0], [1.0]])
        bought = history.trades[0, 0]
        assert bought == pytest.approx(cash / (price * (1.0 + rate)), rel=1e-9)
        assert history.cash[1] >= 0.0
