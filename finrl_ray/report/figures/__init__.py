"""Every figure of the report, as functions of a search: `figures.account_curves(read_search(DIR))`.

Each returns a `finrl_ray.report.charts.figure.Figure`: `.plotly()` for Plotly's figure,
`.save("x.png")` or `.save("x.svg")` for a file, `.table` for what is shown; a notebook shows it as
it is.
"""

from finrl_ray.report.charts.figure import Figure
from finrl_ray.report.figures.accounts import (
    account_curves,
    beside_buy_and_hold,
    monthly_returns,
    test_account_curves,
)
from finrl_ray.report.figures.hyperparameters import importance, parallel_coordinates
from finrl_ray.report.figures.luck import seeds_and_windows, trial_sharpes
from finrl_ray.report.figures.positions import positions, turnover_and_costs
from finrl_ray.report.figures.progress import best_so_far, learning_curves
from finrl_ray.report.figures.throughput import throughput
from finrl_ray.report.read_search import SearchReport, read_search

ALL = (
    beside_buy_and_hold,
    best_so_far,
    learning_curves,
    trial_sharpes,
    account_curves,
    test_account_curves,
    monthly_returns,
    positions,
    turnover_and_costs,
    seeds_and_windows,
    parallel_coordinates,
    importance,
    throughput,
)
"""In the order of the report."""

__all__ = [
    "ALL",
    "Figure",
    "SearchReport",
    "account_curves",
    "beside_buy_and_hold",
    "best_so_far",
    "importance",
    "learning_curves",
    "monthly_returns",
    "parallel_coordinates",
    "positions",
    "read_search",
    "seeds_and_windows",
    "test_account_curves",
    "throughput",
    "trial_sharpes",
    "turnover_and_costs",
]
