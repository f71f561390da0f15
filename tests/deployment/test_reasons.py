"""Each difference between an order and what is traded has its reason, worked out by hand."""

from typing import Any

import numpy as np
import pytest
from env_markets import hand_market

from finrl_ray.config.env import EnvConfig
from finrl_ray.deployment.reasons import reasons_of
from finrl_ray.env.make import make_trading_vec_env

FEW = {"hmax": 100.0, "initial_amount": 1000.0, "buy_cost_pct": 0.0, "sell_cost_pct": 0.0}
WEIGHTS = {"action": "target_weights", "zero_action": "cash", "no_trade_band": 0.1}
FRACTIONS = {"fractional_shares": True}


def reasons_after(
    actions: Any, close: Any, *, tradable: Any = None, risk: Any = None, **options: Any
) -> tuple[tuple[str, ...], ...]:
    """Return the reasons of the last of some actions, one row of actions for each step."""
    market = hand_market(close, tradable=tradable, risk=risk)
    if options.get("action") == "target_weights":
        chosen = {"initial_amount": 1000.0, "buy_cost_pct": 0.0, "sell_cost_pct": 0.0}
    else:
        chosen = dict(FEW)
    env = make_trading_vec_env(market, EnvConfig(**{**chosen, **options}), training=False)
    env.reset()
    for row in np.asarray(actions, dtype=np.float32)[:, None]:
        state = env.envs[0].get_state()
        planned = env.accounts.planned_orders(row)[0]
        env.step(row)
        traded = env.accounts.last_executed[0].copy()
    return reasons_of(env.accounts, state, row[0], planned, traded)


@pytest.mark.parametrize(
    ("reasons", "actions", "close", "options"),
    [
        # 5 and 10 shares of 10 for a cash of 1,000
        ([(), ()], [[0.05, 0.1]], [[10, 10]] * 3, {}),
        ([("no_cash",), ()], [[1.0, 0.0]], [[30, 10]] * 3, {}),
        ([("not_held",), ()], [[-0.5, 0.0]], [[10, 10]] * 3, {}),
        ([("whole_shares",), ()], [[0.055, 0.0]], [[10, 10]] * 3, {}),
        ([("lot",), ()], [[0.15, 0.2]], [[10, 10]] * 3, {"lot_size": 10.0}),
        ([("cool_down",), ()], [[0.1, 0.0], [0.1, 0.1]], [[10, 10]] * 4, {"cooldown": 2}),
        ([(), ("cool_down",)], [[0.0, 0.1], [0.1, -0.1]], [[10, 10]] * 4, {"cooldown": 2}),
        (
            [("stop_loss",), ()],
            [[0.1, 0], [0.1, 0]],
            [[10, 10], [8, 10], [8, 10]],
            {"stop_loss": 0.9},
        ),
        (
            [("take_profit",), ()],
            [[0.1, 0], [0, 0]],
            [[10, 10], [13, 10], [8, 10]],
            {"stop_loss": 0.9, "profit_loss_ratio": 2.0},
        ),
        # half of the account each: 50 shares; then 52 % is within a tenth of it
        ([(), ()], [[0.5, 0.5]], [[10, 10]] * 3, WEIGHTS),
        ([("band",), ()], [[0.5, 0.5], [0.45, 0.5]], [[10, 10]] * 4, WEIGHTS),
        ([("lot",), ()], [[0.15, 0.5]], [[10, 10]] * 3, {**WEIGHTS, "lot_size": 25.0}),
        ([("whole_shares",), ()], [[0.15, 0.5]], [[400, 10]] * 3, WEIGHTS),
        ([(), ("no_cash",)], [[-1.0, -1.0]], [[50, 10]] * 3, {"short": True, "hmax": 20.0}),
    ],
)
def test_reasons(reasons, actions, close, options) -> None:
    assert list(reasons_after(actions, close, **options)) == reasons


def test_a_ticker_without_a_quote_is_not_traded() -> None:
    quoted = [[True, False], [True, True], [True, True]]
    found = reasons_after([[0.1, 0.1]], [[10, 10]] * 3, tradable=quoted)
    assert found == ((), ("not_tradable",))


def test_turbulence_sells_and_lets_nothing_be_bought() -> None:
    found = reasons_after(
        [[0.1, 0.0], [0.1, 0.2]], [[10, 10]] * 4, risk=[0, 99, 0, 0], turbulence_threshold=50.0
    )
    assert found == (("turbulence",), ("turbulence",))


def test_a_margin_call_covers_what_is_owed() -> None:
    # 100 shares owed at 10 for 1,000: at 19 the account is worth 100 beside 1,900 owed
    found = reasons_after(
        [[-1.0, 0.0], [0.1, 0.1]],
        [[10, 10], [19, 10], [19, 10], [19, 10]],
        short=True,
        borrow_rate=0.0,
        **FRACTIONS,
    )
    assert found == (("margin_call",), ("margin_call",))
