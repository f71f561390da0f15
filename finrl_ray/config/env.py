"""`EnvConfig`: the `env` section of the YAML: the account, what trading costs, and the rules.

Its options are fields of `env_options.account.AccountOptions` (FinRL's own),
`env_options.trading.TradingOptions` (what FinRL's env has not), `env_options.kind.KindOptions` and
`env_options.own_class.OwnClassOptions` (an env of the user's).
"""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from finrl_ray.config.checks import (
    FORBID_UNKNOWN,
    formulation,
    not_searched,
    require,
    require_numbers,
)
from finrl_ray.config.env_options.account import AccountOptions
from finrl_ray.config.env_options.kind import (
    COVARIANCE_LOOKBACK,
    CRYPTO_HMAX,
    KindOptions,
    check_portfolio,
)
from finrl_ray.config.env_options.own_class import OwnClassOptions, check_own_class
from finrl_ray.config.env_options.reward import is_own_reward, settled_reward_scaling
from finrl_ray.config.env_options.trading import TradingOptions, options_beyond_finrl
from finrl_ray.config.trial.order_size import check_hmax, settled, values_of
from finrl_ray.own_code.reference import reference_of
from finrl_ray.support.float32_range import FLOAT32_MAX, FLOAT32_TINY

PER_TICKER = ("hmax", "lot_size")
"""Options that may have one value for each ticker."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvConfig(OwnClassOptions, KindOptions, TradingOptions, AccountOptions):
    """The account and the trading rules. Cost rates are fractions (0.001 is 0.1 %)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    observation_scaling: Literal["none", "train"] = field(
        default="none", metadata=formulation(only_with=("observation", ("finrl",)))
    )
    """`train`: standardise prices and features by their mean and deviation on the train window and
    express cash and positions as fractions of `initial_amount`. `observation: stationary` is always
    standardised so, whatever stands here."""
    parity: bool = field(
        default=False,
        metadata=not_searched("it takes the other options away; compare two searches instead"),
    )
    """Reproduce FinRL's StockTradingEnv with its quirks; see docs/environment.md."""

    @property
    def scales_observations(self) -> bool:
        """Whether envs need an `ObservationScaling` fitted on the train window."""
        return self.observation == "stationary" or self.observation_scaling == "train"

    def of_this_package(self) -> "EnvConfig":
        """Return the options without an own class and reward: of this package's env, of baselines.

        What is asked of prices alone, such as what a rule earns at another fill, is asked in it.
        """
        paid = self.without_own_reward()
        return replace(paid, class_=None, class_kwargs={}) if paid.class_ is not None else paid

    def without_own_reward(self) -> "EnvConfig":
        """Return the same account, paid FinRL's reward where it is paid the user's own.

        Accounts that no agent learns from need none of the user's code.
        """
        if not is_own_reward(self.reward):
            return self
        return replace(self, reward="account_change", reward_kwargs={}, reward_scaling=None)

    @property
    def paid(self) -> str:
        """What a step pays: `reward`, but of a portfolio, which has no choice, its log return."""
        return "log_return" if self.type == "portfolio" else self.reward

    def of_stocks(self) -> "EnvConfig":
        """Return this account as one of a StockTradingEnv, where it is a portfolio's."""
        if self.type != "portfolio":
            return self
        return replace(
            self,
            type="stock_trading",
            action="orders",
            covariance_lookback=COVARIANCE_LOOKBACK,
            cash_weight=False,
            action_scale=1.0,
        )

    def __post_init__(self) -> None:
        require_numbers(self)
        if callable(self.reward):
            object.__setattr__(self, "reward", reference_of(self.reward, "reward"))
        check_own_class(self)
        self.check_kinds()
        self.check_kind()
        self._settle_kind()
        for name in PER_TICKER:
            object.__setattr__(self, name, settled(getattr(self, name)))
        check_hmax(self.hmax, self.hmax_unit, fractional=self.fractional_shares)
        require(self.initial_amount > 0, f"initial_amount must be > 0, got {self.initial_amount}")
        for name in ("buy_cost_pct", "sell_cost_pct"):
            value = getattr(self, name)
            require(
                0 <= value < 1,
                f"{name} is a fraction and must be within [0, 1), got {value} (0.1 % is 0.001)",
            )
        require(
            self.reward_scaling is None or self.reward_scaling > 0,
            f"reward_scaling must be > 0, or null, got {self.reward_scaling}",
        )
        self._check_float32()
        self.check_ranges()
        changed = self.changed_options()
        require(
            not (self.parity and changed),
            f"parity reproduces FinRL, which has no {options_beyond_finrl()} options; leave "
            f"{changed} at the default or set parity to false",
        )

    def _settle_kind(self) -> None:
        """Take what `type` says of the other options; a section that is settled stays as it is."""
        if self.type == "stock_trading":
            return
        require(
            not self.parity,
            f"parity reproduces FinRL's StockTradingEnv; with it type must be stock_trading, got "
            f"{self.type}",
        )
        if self.type == "portfolio":
            of_account = {"hmax": 100, "observation_scaling": "none"}
            changed = [n for n, value in of_account.items() if getattr(self, n) != value]
            check_portfolio(self, changed + self.changed_options())
            object.__setattr__(self, "action", "target_weights")
        elif self.action == "orders" and (self.hmax, self.hmax_unit) == (100, "shares"):
            object.__setattr__(self, "hmax", CRYPTO_HMAX)
            object.__setattr__(self, "hmax_unit", "account_share")
        object.__setattr__(self, "fractional_shares", True)

    def _check_float32(self) -> None:
        """Refuse what the float32 of actions, observations and rewards cannot hold."""
        scaling = settled_reward_scaling(self.paid, self.reward_scaling)
        values = {
            "hmax": max(values_of(self.hmax)),
            "initial_amount": self.initial_amount,
            "reward_scaling": scaling,
        }
        for name, value in values.items():
            require(
                value <= FLOAT32_MAX,
                f"{name} must be at most {FLOAT32_MAX:.2g}, the largest float32, in which agents "
                f"act, see their account and are paid; got {value:g}",
            )
        # a step that moves the account by a hundredth of a per cent must still be seen
        in_currency = self.paid == "account_change"
        least = (self.initial_amount if in_currency else 1.0) * scaling * 1e-4
        factors = f"initial_amount ({self.initial_amount:g}) times " if in_currency else ""
        require(
            FLOAT32_TINY <= least <= FLOAT32_MAX,
            f"{factors}reward_scaling ({scaling:g}) gives rewards that float32 cannot hold: about "
            f"{least:.2g} for a change of 0.01 %, and it must be within {FLOAT32_TINY:.2g} and "
            f"{FLOAT32_MAX:.2g}",
        )
