"""`TrainingRun`: what a finished training run hands back, and the models in its folder."""

import logging
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from finrl_ray.agents.model_files import BEST_MODEL_FILE
from finrl_ray.agents.models import load_model, save_model
from finrl_ray.agents.normalization import VECNORMALIZE_FILE
from finrl_ray.files.atomic import atomic_path
from finrl_ray.search.folder.names import BEST_MODEL_FOLDER, FINAL_MODEL_FILE, FINAL_MODEL_FOLDER

logger = logging.getLogger(__name__)


class TrainingRun(tuple[BaseAlgorithm, str]):
    """The pair `(model, experiment_dir)` that the pipeline returns, with more as attributes.

    Attributes
    ----------
    model : the model as training left it
    experiment_dir : the run's folder, absolute
    best_model : the model of the best evaluation on the validation window; the final one if no
        evaluation had a defined metric
    vec_normalize : the statistics that `model` was trained under, or None
    metrics : what is in `metrics.json`
    """

    model: BaseAlgorithm
    experiment_dir: str
    best_model: BaseAlgorithm
    vec_normalize: VecNormalize | None
    metrics: dict[str, Any]

    def __new__(
        cls,
        model: BaseAlgorithm,
        experiment_dir: str,
        *,
        best_model: BaseAlgorithm,
        metrics: dict[str, Any],
    ) -> "TrainingRun":
        """Return the pair with its attributes set."""
        self = super().__new__(cls, (model, experiment_dir))
        self.model, self.experiment_dir = model, experiment_dir
        self.best_model, self.metrics = best_model, metrics
        self.vec_normalize = model.get_vec_normalize_env()
        return self


def save_final_model(model: BaseAlgorithm, folder: Path) -> Path:
    """Write `final_model.zip` and, under VecNormalize, `vecnormalize.pkl`; return the model's path.

    `final_model`, the name without a suffix, links to the file, for tools that look for it.
    """
    path = folder / FINAL_MODEL_FILE
    with atomic_path(path) as temporary:
        save_model(model, temporary)
    normalizer = model.get_vec_normalize_env()
    if normalizer is not None:
        with atomic_path(folder / VECNORMALIZE_FILE) as temporary:
            normalizer.save(str(temporary))
    link = folder / FINAL_MODEL_FOLDER
    if not link.exists():
        try:
            link.symlink_to(FINAL_MODEL_FILE)
        except OSError as error:  # not every file system has links
            logger.info("%s is not linked: %s", link, error)
    return path


def best_model_files(folder: Path) -> tuple[Path, Path]:
    """Return the paths of the best model and of its statistics; either may not exist."""
    best = folder / BEST_MODEL_FOLDER
    return best / BEST_MODEL_FILE, best / VECNORMALIZE_FILE


def load_best_model(algorithm: str, folder: Path, final: BaseAlgorithm) -> BaseAlgorithm:
    """Return the model of the best evaluation, or `final` where none was kept."""
    path, _ = best_model_files(folder)
    if not path.is_file():
        logger.warning("no evaluation had a defined metric; the final model stands for the best")
        return final
    return load_model(algorithm, path)
