"""The public names: the one table of them, which type checkers and the package itself read."""

from ._version import __version__ as __version__
from .agents.callbacks.action_analysis import ActionAnalysisCallback as ActionAnalysisCallback
from .agents.callbacks.checkpoint import CheckpointCallback as CheckpointCallback
from .agents.callbacks.checkpoint import (
    TimestampedCheckpointCallback as TimestampedCheckpointCallback,
)
from .agents.callbacks.early_stopping import (
    StopTrainingOnNoModelImprovement as StopTrainingOnNoModelImprovement,
)
from .agents.callbacks.evaluation import EvalCallback as EvalCallback
from .agents.callbacks.evaluation import TradingEvalCallback as TradingEvalCallback
from .agents.callbacks.learning_rate import (
    LearningRateSchedulerCallback as LearningRateSchedulerCallback,
)
from .agents.callbacks.performance_monitor import (
    PerformanceMonitorCallback as PerformanceMonitorCallback,
)
from .agents.callbacks.resource_monitor import ResourceMonitorCallback as ResourceMonitorCallback
from .agents.callbacks.setup import setup_callbacks as setup_callbacks
from .agents.callbacks.tensorboard import TensorboardCallback as TensorboardCallback
from .agents.drl_agent import DRLAgent as DRLAgent
from .agents.sb3_names import BaseCallback as BaseCallback
from .agents.sb3_names import DummyVecEnv as DummyVecEnv
from .config.experiment import ExperimentConfig as ExperimentConfig
from .config.load import load_config as load_config
from .data.market_data import MarketData as MarketData
from .deployment.agent import load_agent as load_agent
from .diagnostics.learning.diagnose import diagnose_learning as diagnose_learning
from .diagnostics.presets import create_memory_efficient_config as create_memory_efficient_config
from .diagnostics.presets import create_stable_config as create_stable_config
from .diagnostics.presets import memory_efficient_policy as memory_efficient_policy
from .diagnostics.setup.validate import validate_training_setup as validate_training_setup
from .env.make import create_env as create_env
from .env.stock_trading import StockTradingEnv as StockTradingEnv
from .env.vec_env import StockTradingVecEnv as StockTradingVecEnv
from .machine.resources import ResourceMonitor as ResourceMonitor
from .monitoring.real_time_monitor import RealTimeMonitor as RealTimeMonitor
from .monitoring.tensorboard_server import launch_tensorboard as launch_tensorboard
from .report.run_search import resume_search as resume_search
from .report.run_search import run_search as run_search
from .workflows.deployment.deploy import deploy as deploy
from .workflows.deployment.retrain import retrain as retrain
from .workflows.deployment.rollforward import rollforward as rollforward
from .workflows.ensemble.agent import DRLEnsembleAgent as DRLEnsembleAgent
from .workflows.incremental.incremental import incremental_training as incremental_training
from .workflows.pipeline.complete import complete_training_pipeline as complete_training_pipeline
