"""Env classes of other packages, and FinRL's without what its package imports beside them."""

import importlib
import importlib.metadata
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import pytest

FINRL_STOCK = "finrl.meta.env_stock_trading.env_stocktrading:StockTradingEnv"
FINRL_PORTFOLIO = "finrl.meta.env_portfolio_allocation.env_portfolio:StockPortfolioEnv"
GYM_TRADING = "gym_trading_env.environments:TradingEnv"
ANY_STOCKS = "gym_anytrading.envs:StocksEnv"
ANY_FOREX = "gym_anytrading.envs:ForexEnv"
WITHOUT_FINRLS_OWN_IMPORTS = '''
"""FinRL's env, where what `import finrl` loads beside it is not installed."""

import importlib.metadata
import sys
import types

if "finrl" not in sys.modules:
    finrl = types.ModuleType("finrl")
    finrl.__path__ = [str(importlib.metadata.distribution("finrl").locate_file("finrl"))]
    sys.modules["finrl"] = finrl

from finrl.meta.env_stock_trading.env_stocktrading import StockTradingEnv  # noqa: E402, F401
'''


def other_class(reference: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a class of another package; skip where that is not installed."""
    package, _, name = reference.partition(":")
    if package.startswith("finrl."):
        try:
            place = importlib.metadata.distribution("finrl").locate_file("finrl")
        except importlib.metadata.PackageNotFoundError:
            pytest.skip("FinRL is not installed")
        if "finrl" not in sys.modules:
            # the package's own __init__ imports brokers' libraries
            finrl = types.ModuleType("finrl")
            finrl.__path__ = [str(Path(str(place)))]
            monkeypatch.setitem(sys.modules, "finrl", finrl)
    with warnings.catch_warnings():
        pytest.importorskip(package.partition(".")[0])
        return getattr(importlib.import_module(package), name)
