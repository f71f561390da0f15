"""The winner of a search: its trial, its model, and an env in which it acts as it was trained."""

from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.agents.callbacks.evaluation import BEST_MODEL_FILE
from finrl_ray.agents.models import load_model, under_saved_statistics
from finrl_ray.agents.normalization import VECNORMALIZE_FILE
from finrl_ray.agents.torch_startup import skip_dynamo_import
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.data.chosen_features import market_of_sample
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.make import make_vec_env
from finrl_ray.env.scaling import fitted_scaling
from finrl_ray.errors import SearchError
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.folder.names import BEST_MODEL_FOLDER, FINAL_MODEL_FILE, FINAL_MODEL_FOLDER
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.results.table import winner
from finrl_ray.training.agent import MODEL_FILE


def load_winner(
    folder: SearchFolder, *, trust: bool = False
) -> tuple[TrialRecord, BaseAlgorithm, Path]:
    """Return the winning trial, its model, and the file that the model was read from.

    Parameters
    ----------
    folder : of the search
    trust : see `finrl_ray.agents.models.load_model`

    Raises
    ------
    SearchError
        If no trial can win or its model is not in the folder.
    ConfigError
        If the model is damaged, or needs trust.
    """
    record = winner(folder.records().in_order(), folder.config)
    source = winners_model_file(folder)
    if not source.is_file():
        raise SearchError(
            f"there is no {source}; let it end once with `finrl-ray resume {folder.path}`"
        )
    skip_dynamo_import()
    trial = config_of_sample(folder.config, record.sample)
    model = load_model(trial.agent.algorithm, source, device="cpu", trust=trust)
    return record, model, source


def winners_model_file(folder: SearchFolder) -> Path:
    """Return where the winner's model is, or will be; its VecNormalize statistics lie beside it."""
    best = folder.config.search.select == "best"
    if folder.kind == "train":
        # the training pipeline's names, which are those of SB3 and of FinRL's training guide
        trained = Path(BEST_MODEL_FOLDER, BEST_MODEL_FILE) if best else FINAL_MODEL_FILE
        return folder.path / trained
    return folder.path / (BEST_MODEL_FOLDER if best else FINAL_MODEL_FOLDER) / MODEL_FILE


def winners_env(
    folder: SearchFolder,
    record: TrialRecord,
    market_data: MarketData,
    source: Path,
    *,
    trust: bool = False,
) -> VecEnv:
    """Return an env over one window in which the winner's model acts as it was trained.

    Parameters
    ----------
    folder : of the search
    record : the winner, whose sample says what env it was trained in
    market_data : the window, with all features of the search
    source : file of the model; its statistics of VecNormalize are read where `agent.normalize` of
        the trial is set
    trust : see `finrl_ray.agents.models.load_model`

    Raises
    ------
    SearchError
        If the statistics are missing.
    ConfigError
        If they are damaged, or need trust.
    """
    trial, sample = config_of_sample(folder.config, record.sample), record.sample
    scaling = fitted_scaling(trial.env, market_of_sample(folder.final_train_data, sample))
    window = market_of_sample(market_data, sample)
    env: VecEnv = make_vec_env(window, trial.env, scaling=scaling, training=False)
    if trial.agent.normalize:
        missing = SearchError(
            f"{source.with_name(VECNORMALIZE_FILE)} cannot be read: it is missing, and the model "
            "was trained under it"
        )
        env = under_saved_statistics(env, source, missing=missing, trust=trust)
    return env
