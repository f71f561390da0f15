"""The names that users of FinRL bring: `from finrl_ray.compat import FeatureEngineer, ...`."""

from typing import TYPE_CHECKING

from finrl_ray._exports import exports

# imported when used, so that preparing data loads neither torch nor ray
if TYPE_CHECKING:
    from finrl_ray.agents.callbacks.tensorboard import TensorboardCallback as TensorboardCallback
    from finrl_ray.agents.drl_agent import DRLAgent as DRLAgent
    from finrl_ray.compat.config_tickers import DOW_30_TICKER as DOW_30_TICKER
    from finrl_ray.compat.config_tickers import NAS_100_TICKER as NAS_100_TICKER
    from finrl_ray.compat.config_tickers import SINGLE_TICKER as SINGLE_TICKER
    from finrl_ray.compat.config_tickers import SP_500_TICKER as SP_500_TICKER
    from finrl_ray.compat.model_parameters import A2C_PARAMS as A2C_PARAMS
    from finrl_ray.compat.model_parameters import DDPG_PARAMS as DDPG_PARAMS
    from finrl_ray.compat.model_parameters import PPO_PARAMS as PPO_PARAMS
    from finrl_ray.compat.model_parameters import SAC_PARAMS as SAC_PARAMS
    from finrl_ray.compat.model_parameters import TD3_PARAMS as TD3_PARAMS
    from finrl_ray.compat.names import DATA_SAVE_DIR as DATA_SAVE_DIR
    from finrl_ray.compat.names import INDICATORS as INDICATORS
    from finrl_ray.compat.names import RESULTS_DIR as RESULTS_DIR
    from finrl_ray.compat.names import TENSORBOARD_LOG_DIR as TENSORBOARD_LOG_DIR
    from finrl_ray.compat.names import TEST_END_DATE as TEST_END_DATE
    from finrl_ray.compat.names import TEST_START_DATE as TEST_START_DATE
    from finrl_ray.compat.names import TRADE_END_DATE as TRADE_END_DATE
    from finrl_ray.compat.names import TRADE_START_DATE as TRADE_START_DATE
    from finrl_ray.compat.names import TRAIN_END_DATE as TRAIN_END_DATE
    from finrl_ray.compat.names import TRAIN_START_DATE as TRAIN_START_DATE
    from finrl_ray.compat.names import TRAINED_MODEL_DIR as TRAINED_MODEL_DIR
    from finrl_ray.compat.names import check_and_make_directories as check_and_make_directories
    from finrl_ray.compat.preprocessing import FeatureEngineer as FeatureEngineer
    from finrl_ray.compat.preprocessing import data_split as data_split
    from finrl_ray.compat.rllib_style import DRLlibv2 as DRLlibv2
    from finrl_ray.compat.statistics import backtest_stats as backtest_stats
    from finrl_ray.compat.statistics import get_daily_return as get_daily_return
    from finrl_ray.compat.tuning import TuneSB3Optuna as TuneSB3Optuna
    from finrl_ray.compat.yahoo_downloader import YahooDownloader as YahooDownloader
    from finrl_ray.compat.yahoo_downloader import get_baseline as get_baseline
    from finrl_ray.env.portfolio.env import StockPortfolioEnv as StockPortfolioEnv
    from finrl_ray.env.stock_trading import StockTradingEnv as StockTradingEnv
    from finrl_ray.workflows.ensemble.agent import DRLEnsembleAgent as DRLEnsembleAgent
else:
    __getattr__, __dir__, __all__ = exports(__name__)
