"""`run_folder`: where the files of the run that a model is trained in belong."""

from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm

from finrl_ray.agents.sb3_internals import has_own_logger


def run_folder(model: BaseAlgorithm) -> Path | None:
    """Return the folder that somebody chose for the logs of a model, absolute, or None.

    The logger that SB3 makes by itself writes under the system's temporary folder; nobody looks for
    the files of a run there.
    """
    if not has_own_logger(model) and model.tensorboard_log is None:
        return None
    folder = model.logger.get_dir()
    return None if folder is None else Path(folder).absolute()
