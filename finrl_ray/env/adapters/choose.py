"""Which adapter a class needs: that of the package which it, or a base class of it, comes from."""

import inspect
from typing import Any

from finrl_ray.env.adapters.adapter import EnvAdapter
from finrl_ray.env.adapters.finrl_portfolio import FinRLPortfolioAdapter
from finrl_ray.env.adapters.finrl_stock import FinRLStockAdapter
from finrl_ray.env.adapters.gym_anytrading import GymAnytradingAdapter
from finrl_ray.env.adapters.gym_trading_env import GymTradingEnvAdapter

ADAPTERS: tuple[EnvAdapter, ...] = (
    FinRLStockAdapter(),
    FinRLPortfolioAdapter(),
    GymTradingEnvAdapter(),
    GymAnytradingAdapter(),
)
_FINRL_STOCK = frozenset(
    {"df", "stock_dim", "hmax", "initial_amount", "num_stock_shares", "buy_cost_pct"}
    | {"sell_cost_pct", "reward_scaling", "state_space", "action_space", "tech_indicator_list"}
)


def adapter_of(made: Any) -> EnvAdapter | None:
    """Return the adapter of a class, or None where it is one that says all of itself.

    A class is known by its own place and by those of its base classes; a copy of FinRL's
    StockTradingEnv in a user's file by the eleven words of its constructor, unless it has an exact
    state of its own, as this package's has.
    """
    if not inspect.isclass(made):
        return None
    places = {f"{base.__module__}:{base.__qualname__}" for base in made.__mro__}
    for adapter in ADAPTERS:
        if places & set(adapter.bases):
            return adapter
    named = set(inspect.signature(made).parameters)
    says_all = hasattr(made, "get_state")
    if hasattr(made, "save_asset_memory") and named >= _FINRL_STOCK and not says_all:
        return ADAPTERS[0]
    return None
