"""The winner of a search: its trial, its model, and an env in which it acts as it was trained."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.agents.ensemble_model.files import load_ensemble, read_ensemble
from finrl_ray.agents.ensemble_model.model import EnsembleModel
from finrl_ray.agents.frame_stack import stacked
from finrl_ray.agents.model_files import ENSEMBLE_FILE
from finrl_ray.agents.models import load_model, under_saved_statistics
from finrl_ray.agents.normalization import VECNORMALIZE_FILE
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.config.trial.own_code import require_member_named
from finrl_ray.data.chosen_features import market_of_sample
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.make import make_vec_env
from finrl_ray.env.scaling import fitted_scaling
from finrl_ray.errors import SearchError
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.results.ensemble_parts import ensembles_env
from finrl_ray.search.results.table import winner
from finrl_ray.search.results.winner_file import winners_model_file


def load_winner(
    folder: SearchFolder, *, trust: bool = False
) -> tuple[TrialRecord, BaseAlgorithm | EnsembleModel, Path]:
    """Return the trial that ranks first, the winner's model, and the file that it was read from.

    With `search.ensemble` the model is an `EnsembleModel` of several trials, and the file the one
    that names them.

    Parameters
    ----------
    folder : of the search
    trust : see `finrl_ray.agents.models.load_model`

    Raises
    ------
    SearchError
        If no trial can win, or the winner's model is not in the folder, or is damaged.
    ConfigError
        If the model is damaged, or needs trust; if a member of an ensemble names own code that the
        config does not.
    """
    record = winner(folder.records().in_order(), folder.config)
    source = winners_model_file(folder)
    if not source.is_file():
        raise SearchError(
            f"there is no {source}; let it end once with `finrl-ray resume {folder.path}`"
        )
    if source.name == ENSEMBLE_FILE:
        for member in read_ensemble(source.parent)[0]:
            require_member_named(folder.config, member.algorithm, member.env.class_)
        return record, load_ensemble(source.parent, trust=trust), source
    trial = config_of_sample(folder.config, record.sample)
    model = load_model(trial.agent.algorithm, source, device="cpu", trust=trust)
    return record, model, source


def load_single_winner(
    folder: SearchFolder, *, trust: bool = False
) -> tuple[TrialRecord, BaseAlgorithm, Path]:
    """Return what `load_winner` does, for those who need a model of SB3's.

    Raises
    ------
    SearchError
        As `load_winner`, and if the winner is an ensemble.
    """
    record, model, source = load_winner(folder, trust=trust)
    if isinstance(model, EnsembleModel):
        raise SearchError(
            f"the winner of the search in {folder.path} is an ensemble (search.ensemble), which is "
            "no model of Stable-Baselines3 and acts in an env of its own; use `finrl-ray "
            f"backtest {folder.path}`, or load_winner and winners_env of "
            "finrl_ray.search.results.winner"
        )
    return record, model, source


def ensemble_trials(source: Path) -> tuple[int, ...]:
    """Return the numbers of the trials in an ensemble; empty where a file is a single model's.

    Parameters
    ----------
    source : file of the winner's model
    """
    if source.name != ENSEMBLE_FILE:
        return ()
    return tuple(member.trial for member in read_ensemble(source.parent)[0])


def winners_env(
    folder: SearchFolder,
    record: TrialRecord,
    market_data: MarketData,
    source: Path,
    *,
    trust: bool = False,
    changes: Mapping[str, Any] | None = None,
) -> VecEnv:
    """Return an env over one window in which the winner's model acts as it was trained.

    An ensemble acts in one account, which each of its members sees in its own way.

    Parameters
    ----------
    folder : of the search
    record : the winner, whose sample says what env it was trained in
    market_data : the window, with all features of the search
    source : file of the model; its statistics of VecNormalize are read where `agent.normalize` of
        the trial is set
    trust : see `finrl_ray.agents.models.load_model`
    changes : options of the account that are laid over those it was trained under, such as costs

    Raises
    ------
    SearchError
        If the statistics are missing.
    ConfigError
        If they are damaged, or need trust.
    """
    if source.name == ENSEMBLE_FILE:
        members, _ = read_ensemble(source.parent)
        return ensembles_env(members, folder.final_train_data, market_data, changes)
    trial, sample = config_of_sample(folder.config, record.sample), record.sample
    scaling = fitted_scaling(trial.env, market_of_sample(folder.final_train_data, sample))
    window = market_of_sample(market_data, sample)
    env: VecEnv = make_vec_env(
        window, replace(trial.env, **(changes or {})), scaling=scaling, training=False
    )
    if trial.agent.normalize:
        missing = SearchError(
            f"{source.with_name(VECNORMALIZE_FILE)} cannot be read: it is missing, and the model "
            "was trained under it"
        )
        env = under_saved_statistics(env, source, missing=missing, trust=trust)
    return stacked(env, trial.agent.n_stack)
