"""Where the winner's model is."""

from pathlib import Path

from finrl_ray.agents.model_files import BEST_MODEL_FILE, ENSEMBLE_FILE, MODEL_FILE
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.folder.names import BEST_MODEL_FOLDER, FINAL_MODEL_FILE, FINAL_MODEL_FOLDER


def is_ensemble(folder: SearchFolder) -> bool:
    """Return whether the winner of a folder is several trials together."""
    return folder.kind == "search" and folder.config.search.has_ensemble


def winners_model_file(folder: SearchFolder) -> Path:
    """Return where the winner's model is, or will be; its VecNormalize statistics lie beside it.

    Of an ensemble it is the file that names its members, with their hashes.
    """
    if is_ensemble(folder):
        return folder.path / BEST_MODEL_FOLDER / ENSEMBLE_FILE
    best = folder.config.search.select == "best"
    if folder.kind == "train":
        # the training pipeline's names, which are those of SB3 and of FinRL's training guide
        trained = Path(BEST_MODEL_FOLDER, BEST_MODEL_FILE) if best else FINAL_MODEL_FILE
        return folder.path / trained
    return folder.path / (BEST_MODEL_FOLDER if best else FINAL_MODEL_FOLDER) / MODEL_FILE
