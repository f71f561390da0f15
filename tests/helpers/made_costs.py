"""What a backtest says of costs, made by hand."""

import math

from finrl_ray.metrics.capacity import Capacity
from finrl_ray.metrics.earnings import Earnings
from finrl_ray.metrics.holding_periods import HoldingPeriods
from finrl_ray.workflows.costs_table import CostRow, TradingCosts


def made_row(multiple: float, earned: float, slippage: float = 0.0) -> CostRow:
    """Return a row whose account has earned this, beside buy & hold with 7.7 %."""
    return CostRow(
        multiple=multiple,
        buy_cost_pct=0.001 * multiple,
        sell_cost_pct=0.002 * multiple,
        volume_slippage=slippage,
        agent={
            "total_return": earned,
            "sharpe_ratio": 10.0 * earned,
            "appraisal_ratio": math.nan,
            "max_drawdown": -0.123,
            "beta": 0.5,
            "turnover": 12.5,
        },
        held={"total_return": 0.077, "sharpe_ratio": 0.88},
        earnings=Earnings(
            n_periods=100,
            total_return=earned,
            benchmark_return=0.077,
            beta=0.5,
            market_return=0.0385,
            exposure=0.9,
        ),
        cost_paid=0.0125 * multiple,
    )


def made_costs(notes: tuple[str, ...] = ()) -> TradingCosts:
    """Return four rows, four positions and a capacity."""
    rows = (
        made_row(1.0, 0.0986),
        made_row(2.0, 0.0886),
        made_row(3.0, 0.0786),
        made_row(1.0, 0.0966, slippage=0.1),
    )
    return TradingCosts(
        rows=rows,
        turnover=12.5,
        holding=HoldingPeriods(
            n_positions=4, n_open=1, mean_days=12.5, median_days=8.0, mean_days_of_money=3.24
        ),
        capacity=Capacity(
            initial_amount=1_000_000.0,
            n_days=80,
            n_unknown=3,
            median_share=0.002,
            worst_share=0.04,
            worst_date="2021-03-01",
            worst_ticker="<b>A</b>",
        ),
        notes=notes,
    )
