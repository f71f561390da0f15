"""The policy of an agent that was just trained, as ONNX beside its model."""

from pathlib import Path

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.labels import date_label
from finrl_ray.data.market_data import MarketData
from finrl_ray.deployment.onnx_policy.export import ONNX_FILE, export_model_file


def as_onnx(scratch: Path, config: ExperimentConfig, model: Path, seen: MarketData) -> Path:
    """Write the policy of a model's file as ONNX into a folder, and return the file.

    Parameters
    ----------
    scratch : the folder
    config : of the agent
    model : its model's file, statistics of VecNormalize beside it
    seen : the rows that it was trained on

    Raises
    ------
    ConfigError
        As `export_model_file`.
    """
    file = scratch / ONNX_FILE
    facts = {
        "tickers": list(seen.tickers),
        "features": list(seen.feature_names),
        "trained": {"first": date_label(seen.dates[0]), "last": date_label(seen.dates[-1])},
    }
    export_model_file(model, file, algorithm=config.agent.algorithm, facts=facts)
    return file
