"""A finished search as an Optuna study, for those who know their way around one."""

import json
import logging
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from finrl_ray.agents.hyperparameters import settings_of_sample
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.search.folder.folder import SearchFolder, open_folder
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.results.ranking import scores_by_timesteps, trial_score
from finrl_ray.search.sampling.domains import Domain, build_space

logger = logging.getLogger(__name__)

PATH_KEY = "search"
"""User attribute of the study: the folder of the search."""

_PLAIN = (bool, int, float, str, type(None))


class EndedStudy(optuna.Study):
    """A study whose trials have all ended, so that there is nothing left to stop."""

    def stop(self) -> None:
        """Log that the request came too late."""
        logger.info("the study has ended; %d trials were run", len(self.trials))


def study_of(path: str | Path) -> EndedStudy:
    """Return the trials of a search's folder as a study to be maximised.

    A trial's value is what it is ranked by (`search.rank_by`), so that the best trial is the winner
    of the search. `best_params` are the sampled values that lie in the space; what the best model
    was really built with is in `best_trial.user_attrs["model_kwargs"]`. A trial number is the
    search's own. Trials that were stopped early keep their value and count as complete, as they do
    in the search; a trial beyond the drawdown limit is pruned.

    Raises
    ------
    SearchError
        If the folder is no search's.
    """
    folder = open_folder(path)
    storage = InMemoryStorage()
    name = folder.path.name
    optuna.create_study(storage=storage, study_name=name, direction="maximize")
    study = EndedStudy(study_name=name, storage=storage)
    study.set_user_attr(PATH_KEY, str(folder.path))
    space = build_space(folder.config)
    for record in folder.records().in_order():
        study.add_trial(_trial(record, folder, space))
    return study


def _trial(record: TrialRecord, folder: SearchFolder, space: dict[str, Domain]) -> FrozenTrial:
    settings = settings_of_sample(folder.config, record.sample)
    given = {name: _as_option(record.sample[name]) for name in space if name in record.sample}
    known = {name: _distribution(space[name]) for name in given}
    # an initial point may lie outside of the space, which Optuna's trials may not
    inside = [name for name in given if _lies_in(given[name], known[name])]
    state, value = _outcome(record, folder.config)
    measures = {k: v for k, v in record.last.items() if k.startswith("eval/")}
    return optuna.trial.create_trial(
        state=state,
        value=value,
        params={name: given[name] for name in inside},
        distributions={name: known[name] for name in inside},
        user_attrs={
            **measures,
            "model_kwargs": settings.model_kwargs,
            "n_envs": settings.n_envs,
            "options": dict(settings.options),
            "outcome": record.state,
            "reason": record.reason,
        },
        intermediate_values=scores_by_timesteps(record, folder.config),
    )


def _outcome(record: TrialRecord, config: ExperimentConfig) -> tuple[TrialState, float | None]:
    score = trial_score(record, config)
    if record.state in ("completed", "stopped") and score is not None:
        return TrialState.COMPLETE, score
    if record.state == "rejected":
        return TrialState.PRUNED, None
    return TrialState.FAIL, None


def _distribution(domain: Domain) -> BaseDistribution:
    values = domain.values
    if domain.kind in ("uniform", "loguniform"):
        return FloatDistribution(values[0], values[1], log=domain.kind == "loguniform")
    if domain.kind == "randint":
        return IntDistribution(values[0], values[1] - 1)
    if domain.kind == "quniform":
        return FloatDistribution(values[0], values[1], step=values[2])
    return CategoricalDistribution([_as_option(value) for value in values])


def _lies_in(value: Any, distribution: BaseDistribution) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return bool(distribution.low <= value <= distribution.high)


def _as_option(value: Any) -> Any:
    """Return a value that Optuna can keep as an option: lists and dicts as JSON."""
    return value if isinstance(value, _PLAIN) else json.dumps(value)
