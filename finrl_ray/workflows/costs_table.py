"""What a backtest says of costs, capacity and holding periods, as a report reads it again.

It imports nothing that trades or trains; `finrl_ray.workflows.trading_costs` computes it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finrl_ray.metrics.capacity import Capacity
from finrl_ray.metrics.earnings import Earnings
from finrl_ray.metrics.holding_periods import HoldingPeriods
from finrl_ray.support.values import to_json


@dataclass(frozen=True, kw_only=True)
class CostRow:
    """The winner and buy & hold on the test window at one set of costs.

    Parameters
    ----------
    multiple : of the search's own cost rates
    buy_cost_pct, sell_cost_pct : the rates then, fractions of the amount
    volume_slippage : as in the config's `env` section
    agent : measures of the winner's account by name
    held : measures of buy & hold at the same costs
    earnings : what the winner has earned beside it
    cost_paid : all costs, as a fraction of the starting amount; NaN where the env does not say
    """

    multiple: float
    buy_cost_pct: float
    sell_cost_pct: float
    volume_slippage: float
    agent: Mapping[str, float]
    held: Mapping[str, float]
    earnings: Earnings
    cost_paid: float = math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: NaN as None."""
        own = {name: to_json(getattr(self, name)) for name in self.__dataclass_fields__}
        return {**own, "earnings": self.earnings.to_dict()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "CostRow":
        """Undo `to_dict`."""
        values: dict[str, Any] = {name: _with_nan(value) for name, value in content.items()}
        return cls(**{**values, "earnings": Earnings.from_dict(content["earnings"])})


@dataclass(frozen=True, kw_only=True)
class TradingCosts:
    """What a professional asks of an account before trading it.

    Parameters
    ----------
    rows : at 1, 2 and 3 times the costs, and with slippage (or without, where the search has it)
    turnover : times a year that the account is traded; NaN where the env does not say
    holding : how long positions are held; None where the env does not say what it trades
    capacity : how large orders are beside the traded volume; None where that is not known
    notes : what of these is missing, and why
    """

    rows: Sequence[CostRow]
    turnover: float = math.nan
    holding: HoldingPeriods | None = None
    capacity: Capacity | None = None
    notes: Sequence[str] = ()

    def label(self, row: CostRow) -> str:
        """Return what a row is called: `2 x costs`, or `slippage 0.1`."""
        slip = row.volume_slippage
        if slip == self.rows[0].volume_slippage:
            return f"{row.multiple:g} x costs"
        return f"slippage {slip:g}" if slip else "no slippage"

    def costs_sentence(self) -> str:
        """Return in one sentence what the search's own costs are."""
        own = self.rows[0]
        slip = own.volume_slippage
        said = f"and slippage {slip:g} of a trade's share of the volume" if slip else "no slippage"
        return (
            f"1 x costs: {own.buy_cost_pct:.4%} of what is bought, {own.sell_cost_pct:.4%} of "
            f"what is sold, {said}; in every row the same agent acts in an env with these costs, "
            "beside buy & hold at the same"
        )

    def lines(self) -> list[str]:
        """Return turnover, holding periods and capacity in words, and what is not known of them."""
        found = []
        if not math.isnan(self.turnover):
            found.append(f"turnover: {self.turnover:.2f} times the account a year")
        if self.holding is not None:
            found.append(f"holding periods: {self.holding.sentence()}")
        if self.capacity is not None:
            first, *rest = self.capacity.lines()
            found += [f"capacity: {first}", *rest]
        return [*found, *self.notes]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: NaN as None."""
        return {
            "rows": [row.to_dict() for row in self.rows],
            "turnover": to_json(self.turnover),
            "holding": None if self.holding is None else self.holding.to_dict(),
            "capacity": None if self.capacity is None else self.capacity.to_dict(),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "TradingCosts":
        """Undo `to_dict`.

        Raises
        ------
        KeyError, TypeError
            If something is missing, or of another kind.
        """
        holding, capacity = content["holding"], content["capacity"]
        return cls(
            rows=tuple(CostRow.from_dict(row) for row in content["rows"]),
            turnover=_with_nan(content["turnover"]),
            holding=None if holding is None else HoldingPeriods.from_dict(holding),
            capacity=None if capacity is None else Capacity.from_dict(capacity),
            notes=tuple(content["notes"]),
        )


def _with_nan(value: Any) -> Any:
    """Return a value of JSON with NaN in the place of None, in a mapping too."""
    if isinstance(value, Mapping):
        return {str(name): _with_nan(item) for name, item in value.items()}
    return math.nan if value is None else value
