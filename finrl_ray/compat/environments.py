"""Environments that FinRL has under the same names."""

from finrl_ray.env.portfolio.env import StockPortfolioEnv as StockPortfolioEnv
from finrl_ray.env.stock_trading import StockTradingEnv as StockTradingEnv
