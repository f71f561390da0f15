"""`TradingOptions`: the options of the env that FinRL's has not, with their texts and ranges.

An option is a field here: the key of the file, the envs' keyword (`env.rules.TradingRules`),
`parity`, which refuses it, and the docs follow from that field, and so does whether a search may
choose it per trial: each field says that it is a choice of the agent's designer (`formulation`) or
a fact of the market and the account, the same for all trials (`not_searched`, with the reason).
What the option does is written where orders are filled: its form for the kernel in
`env/order_limits.py` and `env/kernel/arrays.py`, its rule in `env/kernel/`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal, get_args

from finrl_ray.config.checks import default_of, formulation, not_searched, require
from finrl_ray.config.env_options.account import ACCOUNT, COSTS, WITH_ORDERS
from finrl_ray.config.env_options.reward import Reward, check_reward_option, is_own_reward
from finrl_ray.config.trial.order_size import HmaxUnit

Fill = Literal["close", "next_open"]
ActionKind = Literal["orders", "target_weights"]
ZeroAction = Literal["cash", "equal_weights"]
DiscreteActions = Literal["none", "per_ticker", "product"]
Observation = Literal["finrl", "stationary"]

_KINDS: Mapping[str, Any] = MappingProxyType(
    {
        "action": ActionKind,
        "discrete_actions": DiscreteActions,
        "zero_action": ZeroAction,
        "hmax_unit": HmaxUnit,
        "fill": Fill,
        "observation": Observation,
    }
)

_MOST_BORROW_RATE = 10.0
MOST_COMBINATIONS = 4096
"""Of the tickers' choices, with `discrete_actions: product`; a network has an output for each."""

_FILLS = not_searched(
    "it is a fact of the market, which all trials trade in alike: when and in what amounts orders "
    "can be filled"
)
_STATIONARY = formulation(only_with=("observation", ("stationary",)))
_WITH_WEIGHTS = formulation(only_with=("action", ("target_weights",)))
_BORROWING = not_searched(
    "it is a fact of the market and the broker; an agent is not better because its debts cost less"
)
_OWN_REWARD = formulation(only_with=("reward", is_own_reward), keywords=True)


@dataclass(frozen=True, kw_only=True)
class TradingOptions:
    """Options of the env that FinRL's has not, and that have no meaning together with `parity`."""

    action: ActionKind = field(default="orders", metadata=formulation())
    """What an action says. `orders`: shares to trade, as fractions of `hmax`, as in FinRL.
    `target_weights`: the share of the account that each ticker should have after the trade; below 0
    counts as 0, above 1 as 1, a sum above 1 is divided by it, and what is left is cash."""
    discrete_actions: DiscreteActions = field(default="none", metadata=formulation())
    """`none`: an action is N numbers within -1..1. `per_ticker`: it is a choice for each ticker, of
    sell, hold and buy, which are -1, 0 and 1 (sell or buy `hmax`); with `target_weights` of out and
    in, which share the account equally, and with `short` of short, out and long. `product`: it is
    one choice among all combinations of these, of which there may be 4,096, as DQN needs it."""
    hmax_unit: HmaxUnit = field(default="shares", metadata=WITH_ORDERS)
    """What `hmax` counts. `shares`: shares, as in FinRL. `money`: currency, so that an action of
    1.0 orders hmax / close shares, at the close that the agent has seen. `account_share`: a share
    of the account value at that close, within (0, 1]. Truncated to whole shares unless
    `fractional_shares`."""
    zero_action: ZeroAction = field(default="cash", metadata=_WITH_WEIGHTS)
    """With `target_weights`, what an action of zeros stands for, which is what an agent does before
    it has learned. `cash`: nothing invested. `equal_weights`: 1 / number of tickers in each, and
    actions say what is more or less than that."""
    max_weight: float = field(default=1.0, metadata=_WITH_WEIGHTS)
    """With `target_weights`, the largest share of the account that one ticker can be given; what it
    cuts off stays cash."""
    no_trade_band: float | None = field(default=None, metadata=_WITH_WEIGHTS)
    """With `target_weights`, a ticker whose weight is to change by at most this share of the
    account is left alone, unless its weight is to be 0; null: the lesser of 0.03 and
    0.2 / number of tickers."""
    trade_rate: float = field(default=1.0, metadata=_WITH_WEIGHTS)
    """With `target_weights`, which part of the way from the weight that a ticker has to the one it
    should have is traded in one step; below 1 the account trades less and follows what lasts."""
    fill: Fill = field(default="close", metadata=_FILLS)
    """`close`: orders fill at the close that the agent has just seen, as in FinRL. `next_open`:
    at the following open, at which the agent could really have traded."""
    fractional_shares: bool = field(default=False, metadata=_FILLS)
    """Trade fractions of shares instead of truncating orders to whole ones."""
    volume_slippage: float = field(default=0.0, metadata=COSTS)
    """Slippage beside the proportional costs: a trade of q shares in a row in which v were traded
    moves its price against it by the fraction volume_slippage * q / v, and costs that times its
    amount; in a row of a ticker without volume nothing is traded. 0: none."""
    random_start: bool = field(default=False, metadata=formulation())
    """Start training episodes on a random day of the first half of the window, from the env's seed;
    evaluation and backtest always start on the first day."""
    observation: Observation = field(default="finrl", metadata=formulation())
    """`finrl`: cash, prices, shares and features as they are. `stationary`: shares of the account
    instead of cash and shares, and returns and features, standardised on the train window, instead
    of prices."""
    lookback: int = field(default=1, metadata=_STATIONARY)
    """With `observation: stationary`, how many rows of returns and features an agent sees: today's,
    yesterday's and so on."""
    return_horizons: tuple[int, ...] = field(default=(1, 5, 21, 63), metadata=_STATIONARY)
    """With `observation: stationary`, the periods over which it shows log returns."""
    nearest_spread: bool = field(default=False, metadata=_STATIONARY)
    """With `observation: stationary`, also show how far each ticker's log price is from that of the
    ticker nearest to it: the one from which the distance varied least over the train window
    (Gatev, Goetzmann and Rouwenhorst 2006)."""
    reward: Reward | str = field(default="account_change", metadata=formulation())
    """`account_change`: the change of the account value, in currency, as in FinRL. `active`: the
    log return of the account less that of equal-weight buy & hold bought as the episode starts, so
    that an episode pays the log return beyond that baseline. `log_return`: the log return of the
    account. `differential_sharpe`: how much the step moves a running Sharpe ratio (Moody and
    Saffell 1998). Or your own, by import path: `my_reward:reward` (see docs/bring/reward.md)."""
    reward_kwargs: dict[str, Any] = field(default_factory=dict, metadata=_OWN_REWARD, hash=False)
    """With an own `reward`, keywords that it is called with beside what the env tells it."""
    differential_sharpe_rate: float = field(
        default=0.01, metadata=formulation(only_with=("reward", ("differential_sharpe",)))
    )
    """With `reward: differential_sharpe`, the weight of the latest return in the moving averages of
    returns and of their squares."""
    cash_penalty_proportion: float = field(default=0.0, metadata=formulation())
    """Share of the account value that should stay cash: what is missing of it at the end of a step
    is taken off that step's reward, in currency, or as a share of the account where `reward` is not
    `account_change`. The account itself is not touched."""
    stop_loss: float | None = field(default=None, metadata=formulation())
    """Sell a whole position when its close is below this fraction of its average buy price
    (0.9: a loss of 10 %); null: never."""
    profit_loss_ratio: float | None = field(
        default=None, metadata=formulation(only_with=("stop_loss", ()))
    )
    """With `stop_loss`, also sell a whole position when its close has gained this many times the
    loss that would have sold it (stop_loss 0.9 and 2.0: a gain of 20 %); null: never."""
    lot_size: float | tuple[float, ...] | None = field(default=None, metadata=_FILLS)
    """Orders are rounded toward zero to multiples of this number of shares, or of one number per
    ticker; below 1 it needs `fractional_shares`; null: no lots."""
    cooldown: int = field(default=0, metadata=formulation())
    """Periods after a trade in a ticker during which orders in it are ignored."""
    short: bool = field(default=False, metadata=ACCOUNT)
    """Let the account sell shares that it does not have, and owe them: with `target_weights`,
    weights down to -1; with `orders`, sells beyond what is held. Long and short positions together
    are at most the account after any trade."""
    borrow_rate: float = field(default=0.01, metadata=_BORROWING)
    """With `short`, what borrowed shares cost, as a fraction of their value per year of 365 days;
    charged at every close for the time since the close before."""
    maintenance_margin: float = field(default=0.25, metadata=_BORROWING)
    """With `short`, the least account value as a fraction of what all shares owed are worth; below
    it at a close, all of them are bought back when the next orders fill."""

    def changed_options(self) -> list[str]:
        """Return the names of these options that are not at their default."""
        return [
            item.name
            for item in fields(TradingOptions)
            if getattr(self, item.name) != default_of(item)
        ]

    def _require_defaults(self, names: tuple[str, ...], needed: str, without: str) -> None:
        """Raise ConfigError if one of these options, which need another one, is changed."""
        changed = [name for name in names if name in self.changed_options()]
        given = " and ".join(f"{name} {getattr(self, name)}" for name in changed)
        require(
            not changed,
            f"{' and '.join(changed)} must be left at the default, or {needed}, got {given} with "
            f"{without}",
        )

    def check_kinds(self) -> None:
        """Raise ConfigError unless the options that name a kind name one that there is."""
        for name, kinds in _KINDS.items():
            value, allowed = getattr(self, name), get_args(kinds)
            require(
                isinstance(value, str) and value in allowed,
                f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}",
            )
        check_reward_option(self.reward, self.reward_kwargs)

    def check_ranges(self) -> None:
        """Raise ConfigError unless the options that are numbers are within their ranges."""
        share, stop, ratio = self.cash_penalty_proportion, self.stop_loss, self.profit_loss_ratio
        self._check_weights()
        slippage = self.volume_slippage
        require(
            0 <= slippage < math.inf,
            "volume_slippage is the fraction by which a trade of all the volume moves its price, "
            f"and must be a finite number >= 0, got {slippage}",
        )
        require(0 <= share <= 1, f"cash_penalty_proportion must be within [0, 1], got {share}")
        require(
            stop is None or 0 < stop < 1,
            "stop_loss is a fraction of the average buy price and must be within (0, 1), got "
            f"{stop} (0.9 sells after a loss of 10 %)",
        )
        require(
            ratio is None or (stop is not None and ratio > 0),
            f"profit_loss_ratio must be > 0 and needs stop_loss, got {ratio} with stop_loss {stop}",
        )
        rate = self.differential_sharpe_rate
        require(
            0 < rate < 1,
            "differential_sharpe_rate is the weight of the latest return and must be within "
            f"(0, 1), got {rate}",
        )
        require(self.cooldown >= 0, f"cooldown must be >= 0 periods, got {self.cooldown}")
        lots = self.lot_size if isinstance(self.lot_size, tuple) else (self.lot_size,)
        for lot in lots:
            whole = self.fractional_shares or lot is None or float(lot).is_integer()
            require(
                lot is None or (lot > 0 and whole),
                "lot_size must be > 0 shares, and whole unless fractional_shares is true, got "
                f"{self.lot_size}",
            )
        self._check_observation()
        self._check_short()

    def _check_short(self) -> None:
        rate, margin = self.borrow_rate, self.maintenance_margin
        require(
            0 <= rate <= _MOST_BORROW_RATE,
            "borrow_rate is a fraction per year and must be within "
            f"[0, {_MOST_BORROW_RATE:g}], got {rate} (1 % a year is 0.01)",
        )
        require(
            0 <= margin <= 1,
            "maintenance_margin is the account value as a fraction of what is owed and must be "
            f"within [0, 1], got {margin}",
        )
        if not self.short:
            self._require_defaults(
                ("borrow_rate", "maintenance_margin"),
                "short be true",
                "short false, which owes no shares",
            )

    def _check_observation(self) -> None:
        lookback, horizons = self.lookback, self.return_horizons
        require(lookback >= 1, f"lookback must be >= 1 rows, got {lookback}")
        require(
            len(horizons) > 0 and min(horizons) >= 1 and len(set(horizons)) == len(horizons),
            "return_horizons must be one or more different numbers of periods, each >= 1, got "
            f"{list(horizons)}",
        )
        if self.observation == "finrl":
            self._require_defaults(
                ("lookback", "return_horizons", "nearest_spread"),
                "observation be 'stationary'",
                "observation 'finrl', which shows one row of prices",
            )

    def _check_weights(self) -> None:
        require(
            0 < self.max_weight <= 1,
            "max_weight is a share of the account and must be within (0, 1], got "
            f"{self.max_weight}",
        )
        band = self.no_trade_band
        require(
            band is None or 0 <= band < 1,
            "no_trade_band is a share of the account and must be null or within [0, 1), got "
            f"{band} (0.01 leaves changes of up to 1 % alone)",
        )
        require(
            0 < self.trade_rate <= 1,
            "trade_rate is a part of the way to a weight and must be within (0, 1], got "
            f"{self.trade_rate} (1.0 goes all the way in one step)",
        )
        if self.action == "orders":
            self._require_defaults(
                ("zero_action", "max_weight", "no_trade_band", "trade_rate"),
                "action be 'target_weights'",
                "action 'orders', which has no weights",
            )
        require(
            self.action == "orders" or self.hmax_unit == "shares",
            "hmax_unit must be left at the default 'shares', or action be 'orders', got "
            f"{self.hmax_unit!r} with action {self.action!r}, which hmax does not bound",
        )


def options_beyond_finrl() -> str:
    """Return the names of the options that FinRL has not: `fill, fractional_shares or cooldown`."""
    *names, last = (item.name for item in fields(TradingOptions))
    return f"{', '.join(names)} or {last}"


def choice_names(options: TradingOptions) -> tuple[str, ...]:
    """Return what an agent with discrete actions chooses among for each ticker, in order."""
    if options.action == "orders":
        return ("sell", "hold", "buy")
    return ("short", "out", "long") if options.short else ("out", "in")


def check_combinations(options: TradingOptions, n_assets: int) -> None:
    """Raise ConfigError if a product of choices for N tickers is too large."""
    k = len(choice_names(options))
    require(
        options.discrete_actions != "product" or k**n_assets <= MOST_COMBINATIONS,
        f"discrete_actions 'product' has {k} choices for each ticker and may have at most "
        f"{MOST_COMBINATIONS:,} combinations ({int(math.log(MOST_COMBINATIONS, k) + 1e-9)} "
        f"tickers), got {n_assets} tickers, {k}**{n_assets} combinations; take fewer tickers, or "
        "discrete_actions 'per_ticker' with an algorithm that takes a choice for each (ppo, a2c)",
    )
