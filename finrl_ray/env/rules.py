"""`TradingRules`: the rules that can be chosen, mended or as FinRL has them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from numbers import Number
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from finrl_ray.config.checks import require_numbers
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.env_options.reward import check_reward_option, is_own_reward
from finrl_ray.config.env_options.trading import TradingOptions, options_beyond_finrl
from finrl_ray.errors import ConfigError
from finrl_ray.support.text import did_you_mean

TimeLimit = Literal["truncate", "dummy_step"]
Halt = Literal["tradable_mask", "first_indicator"]
Ties = Literal["ticker", "argsort"]

_REWARD = ("reward", "reward_kwargs")
# arguments of the envs that a mistyped option may have meant
_ARGUMENTS = (
    *(item.name for item in fields(EnvConfig)),
    "num_stock_shares",
    "tech_indicator_list",
    "day",
    "initial",
    "previous_state",
    "record_trades",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TradingRules(TradingOptions):
    """The options of `StockTradingEnv` and `StockTradingVecEnv` beyond FinRL's own arguments.

    The defaults mend FinRL's faults; `FINRL_RULES` is the preset of `parity=True`.
    """

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
        require_numbers(self)
        choices = {name: _choices(hint) for name, hint in get_type_hints(type(self)).items()}
        for name, allowed in choices.items():
            value = getattr(self, name)
            if allowed and not _is_among(value, allowed):
                raise ConfigError(
                    f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}"
                )
        others = [name for name, allowed in choices.items() if not allowed]
        self._check_numbers([name for name in others if name not in _REWARD])

    def _check_numbers(self, names: list[str]) -> None:
        lots: Any = self.lot_size
        if isinstance(lots, (list, np.ndarray)):
            object.__setattr__(self, "lot_size", tuple(float(lot) for lot in lots))
        periods: Any = self.return_horizons
        if isinstance(periods, (list, np.ndarray)):
            object.__setattr__(self, "return_horizons", tuple(periods))
        try:
            self.check_ranges()
        except ConfigError:
            raise
        except (TypeError, ValueError) as error:  # an array is neither above nor below a number
            values = {name: getattr(self, name) for name in names}
            given = {name: value for name, value in values.items() if not _is_number(value)}
            raise ConfigError(f"these options must be numbers or None, got {given}") from error
        self._check_whole_numbers()
        finrl = [
            name
            for name, mended in (("ties", "ticker"), ("clean_data", True))
            if getattr(self, name) != mended
        ]
        needed = self.limits_orders or self.volume_slippage > 0 or self.hmax_unit != "shares"
        if (needed or self.action == "target_weights") and finrl:
            raise ConfigError(
                "target_weights, stop_loss, lot_size, cooldown, volume_slippage and units of hmax "
                "other than shares need the mended "
                f"{' and '.join(finrl)}, got {[getattr(self, name) for name in finrl]}"
            )
        self._check_short_rules()
        check_reward_option(self.reward, self.reward_kwargs)
        if is_own_reward(self.reward) and self.time_limit != "truncate":
            raise ConfigError(
                "an own reward needs the mended time_limit 'truncate', got "
                f"{self.time_limit!r}: FinRL's last step trades nothing and repeats a reward"
            )
        if self.observation == "stationary" and not self.clean_data:
            raise ConfigError(
                "observation='stationary' needs the mended clean_data, because a price of 0 has no "
                "return, got clean_data=False"
            )

    def _check_short_rules(self) -> None:
        mended = {
            "time_limit": "truncate",
            "halt": "tradable_mask",
            "ties": "ticker",
            "clean_data": True,
            "count_empty_trades": False,
        }
        finrl = {n: getattr(self, n) for n in mended if getattr(self, n) != mended[n]}
        if self.short and finrl:
            raise ConfigError(
                f"short needs the mended {', '.join(mended)}, got {finrl}: FinRL sells no shares "
                "that it does not hold"
            )

    def _check_whole_numbers(self) -> None:
        counts: dict[str, tuple[int, ...]] = {
            "cooldown": (self.cooldown,),
            "lookback": (self.lookback,),
            "return_horizons": self.return_horizons,
        }
        for name, values in counts.items():
            for value in values:
                if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
                    raise ConfigError(
                        f"{name} must be a whole number of periods, got {getattr(self, name)}"
                    )
        object.__setattr__(self, "return_horizons", tuple(int(k) for k in self.return_horizons))

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
        beyond = [item.name for item in fields(TradingOptions)]
        given = {name: options[name] for name in beyond if name in options}
        changed = cls(**given).changed_options()
        if parity and changed:
            raise ConfigError(
                f"parity=True reproduces FinRL, which has no {options_beyond_finrl()} options; "
                f"leave {changed} out or set parity=False"
            )
        return replace(FINRL_RULES if parity else cls(), **options)


def _is_among(value: Any, allowed: tuple[Any, ...]) -> bool:
    """Return whether a value is one of the choices; arrays, of which `==` is no answer, are not."""
    return not isinstance(value, np.ndarray) and any(
        value is choice or value == choice for choice in allowed
    )


def _is_number(value: Any) -> bool:
    """Return whether an option's value is a number or numbers, or None."""
    parts = value if isinstance(value, tuple) else (value,)
    return all(part is None or isinstance(part, Number) for part in parts)


def _choices(annotation: Any) -> tuple[Any, ...]:
    """Return the values that an option may have; none if it is a number."""
    if annotation is bool:
        return (False, True)
    return get_args(annotation) if get_origin(annotation) is Literal else ()


FINRL_RULES = TradingRules(
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
