"""Parallel hyperparameter search for deep-RL trading agents on Ray Tune and Stable-Baselines3.

Every name of the training guide (`docs/training_guide.md`) can be imported from here; anything else
is imported from the module that defines it. `BaseCallback` and `DummyVecEnv` are SB3's own, which
such programs import beside ours.
"""

from typing import TYPE_CHECKING

from finrl_ray._exports import exports
from finrl_ray._version import __version__ as __version__

# imported when used, so that `import finrl_ray` loads neither torch nor ray
if TYPE_CHECKING:
    from stable_baselines3.common.callbacks import BaseCallback as BaseCallback
    from stable_baselines3.common.vec_env import DummyVecEnv as DummyVecEnv

    from finrl_ray.agents.callbacks.action_analysis import (
        ActionAnalysisCallback as ActionAnalysisCallback,
    )
    from finrl_ray.agents.callbacks.checkpoint import CheckpointCallback as CheckpointCallback
    from finrl_ray.agents.callbacks.checkpoint import (
        TimestampedCheckpointCallback as TimestampedCheckpointCallback,
    )
    from finrl_ray.agents.callbacks.early_stopping import (
        StopTrainingOnNoModelImprovement as StopTrainingOnNoModelImprovement,
    )
    from finrl_ray.agents.callbacks.evaluation import EvalCallback as EvalCallback
    from finrl_ray.agents.callbacks.learning_rate import (
        LearningRateSchedulerCallback as LearningRateSchedulerCallback,
    )
    from finrl_ray.agents.callbacks.performance_monitor import (
        PerformanceMonitorCallback as PerformanceMonitorCallback,
    )
    from finrl_ray.agents.callbacks.resource_monitor import (
        ResourceMonitorCallback as ResourceMonitorCallback,
    )
    from finrl_ray.agents.callbacks.setup import setup_callbacks as setup_callbacks
    from finrl_ray.agents.callbacks.tensorboard import TensorboardCallback as TensorboardCallback
    from finrl_ray.agents.callbacks.trading_evaluation import (
        TradingEvalCallback as TradingEvalCallback,
    )
    from finrl_ray.agents.drl_agent import DRLAgent as DRLAgent
    from finrl_ray.config.experiment import ExperimentConfig as ExperimentConfig
    from finrl_ray.config.load import load_config as load_config
    from finrl_ray.data.market_data import MarketData as MarketData
    from finrl_ray.diagnostics.learning.diagnose import diagnose_learning as diagnose_learning
    from finrl_ray.diagnostics.presets import (
        create_memory_efficient_config as create_memory_efficient_config,
    )
    from finrl_ray.diagnostics.presets import create_stable_config as create_stable_config
    from finrl_ray.diagnostics.presets import memory_efficient_policy as memory_efficient_policy
    from finrl_ray.diagnostics.setup.validate import (
        validate_training_setup as validate_training_setup,
    )
    from finrl_ray.env.create import create_env as create_env
    from finrl_ray.env.stock_trading import StockTradingEnv as StockTradingEnv
    from finrl_ray.env.vec_env import StockTradingVecEnv as StockTradingVecEnv
    from finrl_ray.machine.resources import ResourceMonitor as ResourceMonitor
    from finrl_ray.monitoring.real_time_monitor import RealTimeMonitor as RealTimeMonitor
    from finrl_ray.monitoring.tensorboard_server import launch_tensorboard as launch_tensorboard
    from finrl_ray.report.run_search import resume_search as resume_search
    from finrl_ray.report.run_search import run_search as run_search
    from finrl_ray.workflows.ensemble.agent import DRLEnsembleAgent as DRLEnsembleAgent
    from finrl_ray.workflows.incremental.incremental import (
        incremental_training as incremental_training,
    )
    from finrl_ray.workflows.pipeline.complete import (
        complete_training_pipeline as complete_training_pipeline,
    )
else:
    __getattr__, __dir__, __all__ = exports(__name__)
