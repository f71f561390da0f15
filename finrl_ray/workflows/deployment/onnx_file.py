"""The policy of an agent that was just trained, as ONNX beside its model."""

from pathlib import Path

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.labels import date_label
from finrl_ray.deployment.agent_folder import ALIKE
from finrl_ray.deployment.onnx_policy.export import ONNX_FILE, bare_env, export_model_file
from finrl_ray.workflows.deployment.planned import TrainedAgent


def as_onnx(scratch: Path, config: ExperimentConfig, agent: TrainedAgent) -> Path:
    """Write the policy of a model's file as ONNX into a folder, and return the file.

    Parameters
    ----------
    scratch : the folder
    config : of the agent
    agent : as it was trained; on its last rows the file is compared with it

    Raises
    ------
    ConfigError
        As `export_model_file`.
    """
    file, seen = scratch / ONNX_FILE, agent.seen
    facts = {
        "tickers": list(seen.tickers),
        "features": list(seen.feature_names),
        "trained": {"first": date_label(seen.dates[0]), "last": date_label(seen.dates[-1])},
    }
    env = bare_env(config.env, seen, agent.scalings.get(ALIKE))
    export_model_file(agent.model, file, algorithm=config.agent.algorithm, facts=facts, env=env)
    return file
