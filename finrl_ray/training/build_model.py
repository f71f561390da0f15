"""A fresh SB3 model of one configuration."""

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.hyperparameters import TrialSettings
from finrl_ray.config.experiment import ExperimentConfig


def device_of(config: ExperimentConfig) -> str:
    """Return torch's device of a trial: a GPU that it has not reserved is another one's."""
    return "auto" if config.search.gpus_per_trial else "cpu"


def build_model(
    config: ExperimentConfig,
    settings: TrialSettings,
    env: VecEnv,
    seed: int,
    *,
    tensorboard_log: str | None = None,
    device: str = "auto",
) -> BaseAlgorithm:
    """Return a fresh SB3 model that logs to the folder `tensorboard_log`, or nowhere if None.

    `device` is torch's, for models whose own keywords do not name one.
    """
    model = DRLAgent(env).get_model(
        config.agent.algorithm,
        policy=config.agent.policy,
        model_kwargs={"device": device, **settings.model_kwargs},
        verbose=0,
        seed=seed,
        tensorboard_log=tensorboard_log,
        learner=config.agent.learner,
    )
    if tensorboard_log is None:
        model.set_logger(Logger(folder=None, output_formats=[]))
    return model
