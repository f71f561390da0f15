"""`TradingRules`: the rules that can be chosen, mended or as FinRL has them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args, get_type_hints

import numpy as np

from finrl_ray.config.env import NOT_IN_FINRL, EnvConfig, Fill
from finrl_ray.errors import ConfigError
from finrl_ray.support.text import did_you_mean

TimeLimit = Literal["truncate", "dummy_step"]
Halt = Literal["tradable_mask", "first_indicator"]
Ties = Literal["ticker", "argsort"]

_CONFIG = EnvConfig()
_LIMITS = (
    "cash_penalty_proportion",
    "stop_loss",
    "profit_loss_ratio",
    "lot_size",
    "cooldown",
)
# arguments of the envs that a mistyped option may have meant
_ARGUMENTS = (
    "hmax",
    "initial_amount",
    "num_stock_shares",
    "buy_cost_pct",
    "sell_cost_pct",
    "reward_scaling",
    "tech_indicator_list",
    "turbulence_threshold",
    "risk_indicator_col",
    "day",
    "initial",
    "previous_state",
    "parity",
    "observation_scaling",
    "record_trades",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TradingRules:
    """The options of `StockTradingEnv` and `StockTradingVecEnv` beyond FinRL's own arguments.

    The defaults mend FinRL's faults; `FINRL_RULES` is the preset of `parity=True`.
    """

    fill: Fill = _CONFIG.fill
    """`close`: orders fill at the close just observed. `next_open`: at the following open, paid for
    at that price, and not at all if the ticker has no quote that day."""
    fractional_shares: bool = _CONFIG.fractional_shares
    """Orders are not truncated to whole shares."""
    random_start: bool = _CONFIG.random_start
    """Episodes start on a day drawn evenly from the first half of the data, from the env's seed."""
    cash_penalty_proportion: float = _CONFIG.cash_penalty_proportion
    """This share of the account value should be cash at the end of a step; what is missing is taken
    off the step's reward, and off nothing else."""
    stop_loss: float | None = _CONFIG.stop_loss
    """Sell a position whole when its close is below this fraction of its average buy price."""
    profit_loss_ratio: float | None = _CONFIG.profit_loss_ratio
    """Sell it too when its close is at or above 1 + profit_loss_ratio * (1 - stop_loss) of it."""
    lot_size: float | tuple[float, ...] | None = _CONFIG.lot_size
    """Round orders toward zero to multiples of this, one number or one per ticker."""
    cooldown: int = _CONFIG.cooldown
    """Ignore orders in a ticker for this many periods after a trade in it."""
    time_limit: TimeLimit = "truncate"
    """`truncate`: the step onto the last day returns `truncated=True`. `dummy_step` (FinRL): one
    more step follows, which trades nothing, repeats the last reward and returns
    `terminated=True`."""
    halt: Halt = "tradable_mask"
    """Which orders are ignored: those of tickers without a quote that day (`MarketData.tradable`),
    or (FinRL) those of tickers whose first indicator is 1.0, liquidation excepted."""
    clean_data: bool = True
    """Build the market from a frame by `MarketData.from_finrl`, and keep cash at 0 or above; false
    (FinRL): use the frame as it is, with FinRL's arithmetic at prices of 0 and for cash that
    rounding took below 0."""
    start_at_day: bool = True
    """Episodes start on row `day`; false (FinRL): only until the first reset, then on row 0."""
    first_day_risk: bool = True
    """The turbulence of the first day counts; false (FinRL): it is taken to be 0."""
    count_empty_trades: bool = False
    """Count a buy that could not pay for one share as a trade; true in FinRL."""
    single_ticker_shares: bool = True
    """`num_stock_shares` are held with one ticker too; false (FinRL): they are valued in the first
    account value and then gone."""
    ties: Ties = "ticker"
    """Which of equal orders goes first: the ticker listed first, or (FinRL) whatever
    `numpy.argsort` puts there."""

    def __post_init__(self) -> None:
        self._check_limits()
        hints = get_type_hints(type(self))
        for item in fields(self):
            if item.name in _LIMITS:
                continue
            value = getattr(self, item.name)
            allowed = (False, True) if hints[item.name] is bool else get_args(hints[item.name])
            if not any(value is choice or value == choice for choice in allowed):
                raise ConfigError(
                    f"{item.name} must be one of {', '.join(map(repr, allowed))}, got {value!r}"
                )

    def _check_limits(self) -> None:
        lots: Any = self.lot_size
        if isinstance(lots, (list, np.ndarray)):
            object.__setattr__(self, "lot_size", tuple(float(lot) for lot in lots))
        try:
            # the one place that knows the ranges
            EnvConfig(
                fractional_shares=bool(self.fractional_shares),
                **{name: getattr(self, name) for name in _LIMITS},
            )
            whole = isinstance(self.cooldown, (int, np.integer))
        except TypeError as error:
            given = {name: getattr(self, name) for name in _LIMITS}
            raise ConfigError(f"these options must be numbers or None, got {given}") from error
        if not whole:
            raise ConfigError(f"cooldown must be a whole number of periods, got {self.cooldown}")
        finrl = [
            name
            for name, mended in (("ties", "ticker"), ("clean_data", True))
            if getattr(self, name) != mended
        ]
        if self.limits_orders and finrl:
            raise ConfigError(
                f"stop_loss, lot_size and cooldown need the mended {' and '.join(finrl)}, got "
                f"{[getattr(self, name) for name in finrl]}"
            )

    @property
    def limits_orders(self) -> bool:
        """Whether an option stands between the agent's orders and the market."""
        return self.stop_loss is not None or self.lot_size is not None or self.cooldown > 0

    @classmethod
    def from_options(cls, options: Mapping[str, Any], *, parity: bool) -> "TradingRules":
        """Return the mended rules, or FinRL's with `parity`, changed by `options`.

        Raises
        ------
        TypeError
            If an option is not a rule.
        ConfigError
            If a value is not one of its choices, or has no meaning together with `parity`.
        """
        if not isinstance(parity, (bool, np.bool_)):
            raise ConfigError(f"parity must be True or False, got {parity!r}")
        names = [item.name for item in fields(cls)]
        for name in options:
            if name not in names:
                raise TypeError(
                    f"unexpected option {name!r}; beside FinRL's arguments the options are {names}."
                    f"{did_you_mean(name, [*names, *_ARGUMENTS])}"
                )
        beyond = cls(**{name: options[name] for name in NOT_IN_FINRL if name in options})
        changed = [n for n in NOT_IN_FINRL if getattr(beyond, n) != getattr(_CONFIG, n)]
        if parity and changed:
            raise ConfigError(
                f"parity=True reproduces FinRL, which has no {', '.join(NOT_IN_FINRL[:-1])} or "
                f"{NOT_IN_FINRL[-1]} options; leave {changed} out or set parity=False"
            )
        return replace(FINRL_RULES if parity else cls(), **options)


FINRL_RULES = TradingRules(
    fill="close",
    fractional_shares=False,
    random_start=False,
    time_limit="dummy_step",
    halt="first_indicator",
    clean_data=False,
    start_at_day=False,
    first_day_risk=False,
    count_empty_trades=True,
    single_ticker_shares=False,
    ties="argsort",
)
"""FinRL's StockTradingEnv."""
