"""Parallel hyperparameter search for deep-RL trading agents on Ray Tune and Stable-Baselines3.

Every name of the training guide (`docs/training_guide.md`) can be imported from here; anything else
is imported from the module that defines it. `BaseCallback` and `DummyVecEnv` are SB3's own, which
such programs import beside ours.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import DummyVecEnv

    from finrl_ray.agent.callbacks.action_analysis import ActionAnalysisCallback
    from finrl_ray.agent.callbacks.checkpoint import (
        CheckpointCallback,
        TimestampedCheckpointCallback,
    )
    from finrl_ray.agent.callbacks.early_stopping import StopTrainingOnNoModelImprovement
    from finrl_ray.agent.callbacks.evaluation import EvalCallback
    from finrl_ray.agent.callbacks.learning_rate import LearningRateSchedulerCallback
    from finrl_ray.agent.callbacks.performance_monitor import PerformanceMonitorCallback
    from finrl_ray.agent.callbacks.resource_monitor import ResourceMonitorCallback
    from finrl_ray.agent.callbacks.setup import setup_callbacks
    from finrl_ray.agent.callbacks.tensorboard import TensorboardCallback
    from finrl_ray.agent.callbacks.trading_eval import TradingEvalCallback
    from finrl_ray.agent.drl_agent import DRLAgent
    from finrl_ray.agent.resources import ResourceMonitor
    from finrl_ray.config import ExperimentConfig
    from finrl_ray.config_file import load_config
    from finrl_ray.data.market_data import MarketData
    from finrl_ray.ensemble.agent import DRLEnsembleAgent
    from finrl_ray.env.create import create_env
    from finrl_ray.env.stock_trading import StockTradingEnv
    from finrl_ray.env.vec_env import StockTradingVecEnv
    from finrl_ray.monitoring.real_time_monitor import RealTimeMonitor
    from finrl_ray.monitoring.tensorboard_server import launch_tensorboard
    from finrl_ray.pipeline.complete import complete_training_pipeline
    from finrl_ray.practice.diagnosis import diagnose_learning
    from finrl_ray.practice.incremental import incremental_training
    from finrl_ray.practice.memory_configs import (
        create_memory_efficient_config,
        create_stable_config,
        memory_efficient_policy,
    )
    from finrl_ray.practice.validation import validate_training_setup
    from finrl_ray.search.runner import resume_search, run_search

__all__ = [
    "ActionAnalysisCallback",
    "BaseCallback",
    "CheckpointCallback",
    "DRLAgent",
    "DRLEnsembleAgent",
    "DummyVecEnv",
    "EvalCallback",
    "ExperimentConfig",
    "LearningRateSchedulerCallback",
    "MarketData",
    "PerformanceMonitorCallback",
    "RealTimeMonitor",
    "ResourceMonitor",
    "ResourceMonitorCallback",
    "StockTradingEnv",
    "StockTradingVecEnv",
    "StopTrainingOnNoModelImprovement",
    "TensorboardCallback",
    "TimestampedCheckpointCallback",
    "TradingEvalCallback",
    "complete_training_pipeline",
    "create_env",
    "create_memory_efficient_config",
    "create_stable_config",
    "diagnose_learning",
    "incremental_training",
    "launch_tensorboard",
    "load_config",
    "memory_efficient_policy",
    "resume_search",
    "run_search",
    "setup_callbacks",
    "validate_training_setup",
]

_HOME = {
    "ActionAnalysisCallback": "finrl_ray.agent.callbacks.action_analysis",
    "BaseCallback": "stable_baselines3.common.callbacks",
    "CheckpointCallback": "finrl_ray.agent.callbacks.checkpoint",
    "DRLAgent": "finrl_ray.agent.drl_agent",
    "DRLEnsembleAgent": "finrl_ray.ensemble.agent",
    "DummyVecEnv": "stable_baselines3.common.vec_env",
    "EvalCallback": "finrl_ray.agent.callbacks.evaluation",
    "ExperimentConfig": "finrl_ray.config",
    "LearningRateSchedulerCallback": "finrl_ray.agent.callbacks.learning_rate",
    "MarketData": "finrl_ray.data.market_data",
    "PerformanceMonitorCallback": "finrl_ray.agent.callbacks.performance_monitor",
    "RealTimeMonitor": "finrl_ray.monitoring.real_time_monitor",
    "ResourceMonitor": "finrl_ray.agent.resources",
    "ResourceMonitorCallback": "finrl_ray.agent.callbacks.resource_monitor",
    "StockTradingEnv": "finrl_ray.env.stock_trading",
    "StockTradingVecEnv": "finrl_ray.env.vec_env",
    "StopTrainingOnNoModelImprovement": "finrl_ray.agent.callbacks.early_stopping",
    "TensorboardCallback": "finrl_ray.agent.callbacks.tensorboard",
    "TimestampedCheckpointCallback": "finrl_ray.agent.callbacks.checkpoint",
    "TradingEvalCallback": "finrl_ray.agent.callbacks.trading_eval",
    "complete_training_pipeline": "finrl_ray.pipeline.complete",
    "create_env": "finrl_ray.env.create",
    "create_memory_efficient_config": "finrl_ray.practice.memory_configs",
    "create_stable_config": "finrl_ray.practice.memory_configs",
    "diagnose_learning": "finrl_ray.practice.diagnosis",
    "incremental_training": "finrl_ray.practice.incremental",
    "launch_tensorboard": "finrl_ray.monitoring.tensorboard_server",
    "load_config": "finrl_ray.config_file",
    "memory_efficient_policy": "finrl_ray.practice.memory_configs",
    "resume_search": "finrl_ray.report.reported_search",
    "run_search": "finrl_ray.report.reported_search",
    "setup_callbacks": "finrl_ray.agent.callbacks.setup",
    "validate_training_setup": "finrl_ray.practice.validation",
}


def __getattr__(name: str) -> Any:
    # lazy, so that importing the package (and `finrl-ray --help`) loads neither torch nor ray
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
