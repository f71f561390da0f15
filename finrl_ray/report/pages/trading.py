"""The section of a report on what trading costs, how much can be traded and how long it is held."""

from finrl_ray.metrics.capacity import LIMITS, Capacity
from finrl_ray.metrics.holding_periods import HoldingPeriods
from finrl_ray.report.pages.blocks import (
    Block,
    Cell,
    Column,
    Row,
    Section,
    TableBlock,
    number_cell,
)
from finrl_ray.report.read_search import SearchReport
from finrl_ray.workflows.costs_table import CostRow, TradingCosts

SEALED = (
    "The test window is sealed; `finrl-ray backtest` opens it, and then says here what other costs "
    "would have done, at which size the account is too large for the traded volume, and how long "
    "positions were held."
)
FORMER = (
    "An earlier version of finrl-ray opened the test window, and did not ask the winner at other "
    "costs."
)
_LABELS = (
    ("return", ".1%"),
    ("Sharpe", ".2f"),
    ("appraisal", ".2f"),
    ("max DD", ".1%"),
    ("beta", ".2f"),
    ("earned itself", ".1%"),
    ("costs paid", ".2%"),
    ("turnover / year", ".2f"),
    ("buy & hold, return", ".1%"),
    ("buy & hold, Sharpe", ".2f"),
)


def trading_section(search: SearchReport) -> Section:
    """Return the section, or in its place why it is empty."""
    opened = search.backtest
    trading = None if opened is None else opened.trading
    title = "Costs, capacity and holding periods"
    if trading is None:
        return Section(anchor="costs", title=title, lines=[SEALED if opened is None else FORMER])
    blocks: list[Block] = [_at_other_costs(trading), _positions(trading)]
    return Section(anchor="costs", title=title, lines=trading.notes, blocks=blocks)


def _at_other_costs(trading: TradingCosts) -> TableBlock:
    columns = [Column(label="costs")]
    columns += [Column(label=label, numeric=True) for label in ("bought", "sold", "slippage")]
    columns += [Column(label=label, numeric=True) for label, _ in _LABELS]
    rows = [
        Row(
            cells=[
                Cell(text=trading.label(row)),
                number_cell(row.buy_cost_pct, ".3%"),
                number_cell(row.sell_cost_pct, ".3%"),
                number_cell(row.volume_slippage, "g"),
                *(number_cell(*one) for one in zip(_values(row), _styles(), strict=True)),
            ],
            tone="first" if row is trading.rows[0] else "",
        )
        for row in trading.rows
    ]
    caption = (
        f"On the test window. {trading.costs_sentence()}. What was earned itself is the return "
        "less what beta times those of buy & hold comes to; costs paid are in percent of the "
        "starting amount."
    )
    title = "The same agent at other costs"
    return TableBlock(title=title, columns=columns, rows=rows, caption=caption, sortable=False)


def _styles() -> list[str]:
    return [style for _, style in _LABELS]


def _values(row: CostRow) -> list[float | None]:
    agent, earned = row.agent, row.earnings
    return [
        agent.get("total_return"),
        agent.get("sharpe_ratio"),
        agent.get("appraisal_ratio"),
        agent.get("max_drawdown"),
        agent.get("beta"),
        round(earned.total_return - earned.market_return, 3) + 0.0,  # no -0.0
        row.cost_paid,
        agent.get("turnover"),
        row.held.get("total_return"),
        row.held.get("sharpe_ratio"),
    ]


def _positions(trading: TradingCosts) -> TableBlock:
    rows = [("turnover, times the account a year", number_cell(trading.turnover))]
    if trading.holding is not None:
        rows += _holding_rows(trading.holding)
    if trading.capacity is not None:
        rows += _capacity_rows(trading.capacity)
    caption = (
        "Days are rows of the data. A position lasts until no share of it is left, one that is "
        "open at the end until there. An account k times as large is taken to trade k times the "
        "shares; a day counts by the order with the largest share of its ticker's volume."
    )
    return TableBlock(
        title="Turnover, holding periods and capacity",
        columns=[Column(label="at 1 x costs"), Column(label="value", numeric=True)],
        rows=[Row(cells=[Cell(text=label), value]) for label, value in rows],
        caption=caption,
        sortable=False,
    )


def _holding_rows(holding: HoldingPeriods) -> list[tuple[str, Cell]]:
    return [
        ("positions opened", number_cell(holding.n_positions, ",.0f")),
        ("of these, open at the end", number_cell(holding.n_open, ",.0f")),
        ("days a position was held, mean", number_cell(holding.mean_days, ",.1f")),
        ("days a position was held, median", number_cell(holding.median_days, ",.1f")),
        (
            "days that money stayed in a position, mean",
            number_cell(holding.mean_days_of_money, ",.1f"),
        ),
    ]


def _capacity_rows(capacity: Capacity) -> list[tuple[str, Cell]]:
    worst = f" ({capacity.worst_ticker}, {capacity.worst_date})" if capacity.n_days else ""
    rows = [
        ("largest order of the median day, of the volume", capacity.median_share),
        (f"largest order of the worst day{worst}, of the volume", capacity.worst_share),
    ]
    found = [(label, number_cell(share, ".3%")) for label, share in rows]
    for limit in LIMITS:
        for day in ("median", "worst"):
            size = capacity.account_size(limit, worst=day == "worst")
            label = f"starting amount above which the {day} day's order is over {limit:.0%} of it"
            found.append((label, number_cell(size, ",.0f")))
    if capacity.n_unknown:
        found.append(("orders in rows without a volume", number_cell(capacity.n_unknown, ",.0f")))
    return found
