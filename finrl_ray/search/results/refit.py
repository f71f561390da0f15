"""The winner of a search with several folds, trained once more on all rows before the test window.

Each training of a trial leaves out the rows that it is judged on, so none of their models is the
one to trade with. The name is scikit-learn's.
"""

import logging
import tempfile
from pathlib import Path

from finrl_ray.agents.hyperparameters import resolve_sample
from finrl_ray.agents.model_files import MODEL_FILE
from finrl_ray.agents.models import save_model
from finrl_ray.agents.normalization import VECNORMALIZE_FILE
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.data.chosen_features import market_of_sample
from finrl_ray.env.scaling import fitted_scaling
from finrl_ray.files.copy import copy_tree
from finrl_ray.files.manifest import find_damage, read_folder_manifest, write_folder_manifest
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.folder.names import FINAL_MODEL_FOLDER
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.support.values import to_python
from finrl_ray.training.folds import fold_seed, train_on
from finrl_ray.training.threads import threads_of_a_trial

logger = logging.getLogger(__name__)


def refit(folder: SearchFolder, record: TrialRecord) -> None:
    """Train the winner's configuration on train and validation and write `final_model/`.

    What an earlier end
    of the search has written for the same sample stays.

    Raises
    ------
    TrialDivergedError
        When a parameter of the networks is NaN or infinite.
    """
    target = folder.path / FINAL_MODEL_FOLDER
    sample = {name: to_python(value) for name, value in record.sample.items()}
    if (
        target.is_dir()
        and not find_damage(target)
        and read_folder_manifest(target).get("sample") == sample
    ):
        return
    with tempfile.TemporaryDirectory() as scratch:
        refitted(folder, record, Path(scratch))
        copy_tree(Path(scratch), target)


def refitted(folder: SearchFolder, record: TrialRecord, place: Path) -> None:
    """Train a trial's configuration on train and validation, and write the model into `place`.

    It is trained in this process with the seed of the trial's first training.

    Raises
    ------
    TrialDivergedError
        When a parameter of the networks is NaN or infinite.
    """
    logger.info("training trial %d on all rows before the test", record.index)
    sample = {name: to_python(value) for name, value in record.sample.items()}
    config = config_of_sample(folder.config, sample)
    with threads_of_a_trial(config):
        rows = market_of_sample(folder.final_train_data, sample)
        seed = fold_seed(config, sample, 0)
        settings = resolve_sample(sample, config.agent)
        model = train_on(settings, config, rows, fitted_scaling(config.env, rows), seed)
    save_model(model, place / MODEL_FILE)
    normalizer = model.get_vec_normalize_env()
    if normalizer is not None:
        normalizer.save(str(place / VECNORMALIZE_FILE))
    write_folder_manifest(place, timesteps=int(model.num_timesteps), sample=sample)
