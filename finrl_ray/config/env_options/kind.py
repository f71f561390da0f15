"""`KindOptions`: which kind of env is traded in (`env.type`), and the options of a portfolio."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from finrl_ray.config.checks import formulation, not_searched, require

EnvType = Literal["stock_trading", "portfolio", "crypto"]

_PORTFOLIO = formulation(only_with=("type", ("portfolio",)))
_KNOWN_TO_PORTFOLIOS = ("action", "fractional_shares", "random_start")
"""Options beyond FinRL's that a portfolio follows, or that say what it does anyway."""
COVARIANCE_LOOKBACK = 252
"""A year of daily bars, as FinRL's tutorial of the portfolio env has it."""
CRYPTO_HMAX = 0.1
"""Share of the account that an order of a coin may have by default; 100 coins are no bound."""


@dataclass(frozen=True, kw_only=True)
class KindOptions:
    """Which kind of env is traded in, and what a portfolio alone has."""

    type: EnvType = field(
        default="stock_trading",
        metadata=not_searched(
            "trials are compared in one kind of env; compare two searches instead"
        ),
    )
    """`stock_trading`: orders or target weights of shares, by all options of this section.
    `portfolio`: `StockPortfolioEnv`, weights of everything on each day, which the agent sees with
    the covariance of returns (docs/environment.md says which options it follows). `crypto`:
    `stock_trading` in coins: `fractional_shares` is true, and orders of at most 0.1 of the account
    stand in for `hmax: 100`."""
    covariance_lookback: int = field(default=COVARIANCE_LOOKBACK, metadata=_PORTFOLIO)
    """With `portfolio`, how many returns the covariance that an agent sees is of; on the first days
    of a window it is of the returns so far."""
    cash_weight: bool = field(default=False, metadata=_PORTFOLIO)
    """With `portfolio`, a last number of the action is the weight of cash; else all is invested."""
    action_scale: float = field(default=1.0, metadata=_PORTFOLIO)
    """With `portfolio`, what actions are multiplied by before they become weights: a ticker whose
    action is 1 / action_scale above all others gets everything."""

    def check_kind(self) -> None:
        """Raise ConfigError unless the kind and its options fit each other."""
        allowed = get_args(EnvType)
        require(
            isinstance(self.type, str) and self.type in allowed,
            f"type must be one of {', '.join(map(repr, allowed))}, got {self.type!r}",
        )
        require(
            self.covariance_lookback >= 2,
            f"covariance_lookback must be >= 2 returns, got {self.covariance_lookback}",
        )
        require(
            0 < self.action_scale < math.inf,
            f"action_scale must be a finite number > 0, got {self.action_scale}",
        )
        if self.type == "portfolio":
            return
        own = {
            name: getattr(self, name)
            for name, default in (
                ("covariance_lookback", COVARIANCE_LOOKBACK),
                ("cash_weight", False),
                ("action_scale", 1.0),
            )
            if getattr(self, name) != default
        }
        require(not own, f"{', '.join(own)} are of type 'portfolio', got {own} with {self.type!r}")


def check_portfolio(env: Any, changed: list[str]) -> None:
    """Raise ConfigError if options have no meaning with `type: portfolio`.

    Parameters
    ----------
    env : the section
    changed : names of options that are not at their default
    """
    without = [name for name in changed if name not in _KNOWN_TO_PORTFOLIOS]
    given = {name: getattr(env, name) for name in without}
    require(
        not without,
        "type 'portfolio' holds weights of whole accounts and has no "
        f"{', '.join(without)}; leave {'it' if len(without) == 1 else 'them'} at the default, got "
        f"{given}. It follows initial_amount, buy_cost_pct and sell_cost_pct (one number), "
        "reward_scaling, turbulence_threshold, risk_indicator_col, random_start, "
        "covariance_lookback, cash_weight and action_scale",
    )
    require(
        env.buy_cost_pct == env.sell_cost_pct,
        "type 'portfolio' has one cost of buying and selling; set buy_cost_pct and sell_cost_pct "
        f"to the same number, got {env.buy_cost_pct} and {env.sell_cost_pct}",
    )
