"""`AccountOptions`: FinRL's own arguments of an env, and which of them a search may choose."""

from dataclasses import dataclass, field

from finrl_ray.config.checks import formulation, not_searched
from finrl_ray.config.trial.order_size import Hmax

COSTS = not_searched(
    "it is a fact of the market; an agent is not better because its trades cost less"
)
ACCOUNT = not_searched("it is a fact of the account; trials are compared on the same one")
_TURBULENCE = not_searched(
    "it is a fact of the market that is traded, and the baselines beside the agents follow it too"
)
WITH_ORDERS = formulation(only_with=("action", ("orders",)))


# without slots, of which a class cannot inherit two sets
@dataclass(frozen=True, kw_only=True)
class AccountOptions:
    """FinRL's own arguments: the account, what trading costs, and when everything is sold."""

    hmax: Hmax = field(default=100, metadata=WITH_ORDERS)
    """Most shares of one ticker that one action can trade; an action of 1.0 orders hmax shares. A
    whole number unless `fractional_shares`; or money, or a share of the account (`hmax_unit`). One
    number, a list of one per ticker, or a mapping `{AAPL: 100, MSFT: 50}` that names every ticker.
    Not used with `action: target_weights`."""
    initial_amount: float = field(default=1_000_000.0, metadata=ACCOUNT)
    """Cash at the start, in the account's currency."""
    buy_cost_pct: float = field(default=0.001, metadata=COSTS)
    """Cost of buying, as a fraction of the amount."""
    sell_cost_pct: float = field(default=0.001, metadata=COSTS)
    """Cost of selling, as a fraction of the amount."""
    reward_scaling: float | None = field(default=None, metadata=formulation())
    """What `reward` is multiplied by; null: 0.0001 for `account_change` (FinRL's), 100 for `active`
    and `log_return` (1 % pays 1.0), 1 for `differential_sharpe` and for your own."""
    turbulence_threshold: float | None = field(default=None, metadata=_TURBULENCE)
    """At or above this value of `risk_indicator_col` everything is sold and nothing is bought."""
    risk_indicator_col: str = field(default="turbulence", metadata=_TURBULENCE)
    """The market series compared with the threshold."""
