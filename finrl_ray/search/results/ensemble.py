"""The ensemble of a search (`search.ensemble`): made of its trials' models, judged once, kept."""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from finrl_ray._typing import DateArray, FloatArray
from finrl_ray.agents.callbacks.measures import judge_of
from finrl_ray.agents.ensemble_model.files import SavedMember, load_ensemble, save_ensemble
from finrl_ray.agents.model_files import MODEL_FILE
from finrl_ray.agents.rollout import evaluate_episodes
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.files.atomic import atomic_path
from finrl_ray.metrics.returns import simple_returns
from finrl_ray.search.folder.checkpoints import CheckpointStorage
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.folder.names import BEST_MODEL_FOLDER, ENSEMBLE_ACCOUNT_FILE
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.results.ensemble_facts import EnsembleFacts
from finrl_ray.search.results.ensemble_members import ChosenMembers, choose_members
from finrl_ray.search.results.ensemble_on_folds import judge_records_on_folds
from finrl_ray.search.results.ensemble_parts import describe_members, ensembles_env, plain_sample
from finrl_ray.search.results.ranking import rank_name, result_score, standing_result
from finrl_ray.search.results.refit import refitted
from finrl_ray.search.results.returns import fold_frame
from finrl_ray.search.results.table import chosen_checkpoint, in_order_of_rank
from finrl_ray.training.fold_results import FoldResult
from finrl_ray.training.folds import fold_metrics
from finrl_ray.training.own_metrics import metrics_of
from finrl_ray.training.threads import threads_of_a_trial

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedEnsemble:
    """An ensemble and its returns on the days that its trials are judged on.

    Parameters
    ----------
    facts : what is said of it
    dates : array of shape (T,)
    returns : array of shape (T,), simple returns of its account; where trials train several times
        those of the first path
    account : its account values, or where trials train several times the returns of all folds in
        order of dates
    """

    facts: EnsembleFacts
    dates: DateArray
    returns: FloatArray
    account: FloatArray


def write_ensemble(
    folder: SearchFolder,
    records: Sequence[TrialRecord],
    storage: CheckpointStorage,
    folds: Mapping[int, Sequence[FoldResult]],
) -> JudgedEnsemble | None:
    """Make the ensemble of a finished search, judge it once, and write its models and account.

    Parameters
    ----------
    folder : of the search
    records : all trials that were started
    storage : of their checkpoints
    folds : of each trial, where trials train several times

    Returns
    -------
    JudgedEnsemble or None
        None if no trial can be in it.
    """
    chosen = choose_members(in_order_of_rank(records, folder.config), folder.config)
    if not chosen.records:
        return None
    for note in chosen.notes:
        logger.warning("%s", note)
    with threads_of_a_trial(folder.config):
        if folder.plan is None:
            return _judged_once(folder, chosen, storage)
        return _judged_on_folds(folder, chosen, storage, folds)


def members_of(folder: SearchFolder, chosen: ChosenMembers) -> list[SavedMember]:
    """Return what the members of an ensemble are; file and hash of each are still open."""
    samples = [plain_sample(record.sample) for record in chosen.records]
    return describe_members(
        folder.config,
        folder.development,
        samples,
        trials=[record.index for record in chosen.records],
        ranks=chosen.ranks,
    )


def _judged_once(
    folder: SearchFolder, chosen: ChosenMembers, storage: CheckpointStorage
) -> JudgedEnsemble:
    config, members = folder.config, members_of(folder, chosen)
    target = folder.path / BEST_MODEL_FOLDER
    with ExitStack() as stack:
        models = [
            stack.enter_context(storage.on_disk(path)) / MODEL_FILE
            for path, _ in members_checkpoints(chosen, storage, config)
        ]
        save_ensemble(target, list(zip(members, models, strict=True)), _wanted(chosen))
    env = ensembles_env(members, folder.final_train_data, folder.validation_data)
    episodes = evaluate_episodes(load_ensemble(target), env)
    (history,) = (episode.history for episode in episodes)
    assert history is not None
    judge = judge_of(
        config.evaluation.metric,
        own_metrics=metrics_of(config),
        periods_per_year=folder.periods_per_year,
        risk_free_rate=config.evaluation.risk_free_rate,
    )
    measures, _ = judge.measure(episodes)
    frame = pd.DataFrame({"date": history.dates, "account_value": history.account_value})
    _write_account(folder, frame)
    return JudgedEnsemble(
        facts=_facts(folder, chosen, measures),
        dates=history.dates[1:],
        returns=simple_returns(history.account_value),
        account=history.account_value,
    )


def members_checkpoints(
    chosen: ChosenMembers, storage: CheckpointStorage, config: ExperimentConfig
) -> list[tuple[str, int]]:
    """Return the checkpoint of each member that acts, and the timesteps at which it was made.

    It is that of the evaluation that stands for the trial.
    """
    best_by = config if config.search.select == "best" else None
    found = []
    for record in chosen.records:
        path = chosen_checkpoint(record, storage, best_by)
        found.append((path, next(s for s, known in record.checkpoints.items() if known == path)))
    return found


def confirmed_folds(
    folder: SearchFolder,
    records: Sequence[TrialRecord],
    folds: Mapping[int, Sequence[FoldResult]],
) -> list[FoldResult]:
    """Return what an ensemble comes to on each fold of a confirmation, and write its returns.

    Parameters
    ----------
    folder : of the confirmation, whose trials keep their models
    records : the new trainings of its members, the one that ranks first before the others
    folds : what each has come to, by its number
    """
    members = describe_members(
        folder.config,
        folder.development,
        [plain_sample(record.sample) for record in records],
        trials=[record.index for record in records],
        ranks=range(1, len(records) + 1),
    )
    storage = CheckpointStorage(folder.path, folder.remote)
    with threads_of_a_trial(folder.config):
        done = judge_records_on_folds(folder, members, records, storage, folds)
    _write_account(folder, fold_frame(done))
    return done


def _refit_all(folder: SearchFolder, chosen: ChosenMembers) -> None:
    """Train every member on all rows before the test window, as the winner's final model is."""
    members = members_of(folder, chosen)
    target = folder.path / BEST_MODEL_FOLDER
    with tempfile.TemporaryDirectory() as scratch:
        models = []
        for record in chosen.records:
            place = Path(scratch) / f"trial_{record.index}"
            place.mkdir()
            refitted(folder, record, place)
            models.append(place / MODEL_FILE)
        save_ensemble(target, list(zip(members, models, strict=True)), _wanted(chosen))


def _judged_on_folds(
    folder: SearchFolder,
    chosen: ChosenMembers,
    storage: CheckpointStorage,
    folds: Mapping[int, Sequence[FoldResult]],
) -> JudgedEnsemble:
    members = members_of(folder, chosen)
    done = judge_records_on_folds(folder, members, chosen.records, storage, folds)
    _refit_all(folder, chosen)
    metrics = fold_metrics(done, folder.config, folder.periods_per_year)
    measures = {
        name.removeprefix("eval/"): float(value)
        for name, value in metrics.items()
        if name.startswith("eval/")
    }
    whole = fold_frame(done)
    _write_account(folder, whole)
    first_path = fold_frame(done[: folder.config.validation.trainings_per_path])
    return JudgedEnsemble(
        facts=_facts(folder, chosen, measures),
        dates=first_path["date"].to_numpy(),
        returns=first_path["return"].to_numpy(),
        account=whole["return"].to_numpy(),
    )


def _facts(
    folder: SearchFolder, chosen: ChosenMembers, measures: Mapping[str, float]
) -> EnsembleFacts:
    config = folder.config
    as_result = {f"eval/{name}": value for name, value in measures.items()}
    return EnsembleFacts(
        trials=tuple(record.index for record in chosen.records),
        wanted=chosen.wanted,
        score=result_score({**as_result, "objective": measures.get("objective")}, config),
        # of one evaluation, as the ensemble's
        first_score=result_score(standing_result(chosen.records[0], config), config),
        ranked_by=rank_name(_of_one_evaluation(config)),
        measures=dict(measures),
        notes=chosen.notes,
    )


def _of_one_evaluation(config: ExperimentConfig) -> ExperimentConfig:
    if config.search.select != "mean":
        return config
    return replace(config, search=replace(config.search, select="last", select_last=None))


def _wanted(chosen: ChosenMembers) -> dict[str, Any]:
    return {"wanted": chosen.wanted, "notes": list(chosen.notes)}


def _write_account(folder: SearchFolder, frame: pd.DataFrame) -> None:
    with atomic_path(folder.path / ENSEMBLE_ACCOUNT_FILE) as temporary:
        frame.to_parquet(temporary, index=False)
