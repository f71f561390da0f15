"""Agents and callbacks that FinRL has under the same names."""

from finrl_ray.agents.callbacks.tensorboard import TensorboardCallback as TensorboardCallback
from finrl_ray.agents.drl_agent import DRLAgent as DRLAgent
from finrl_ray.workflows.ensemble.agent import DRLEnsembleAgent as DRLEnsembleAgent
