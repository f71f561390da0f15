"""A finished search as an Optuna study, for those who know their way around one."""

import json
import logging
import math
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
from finrl_ray.search.folder.folder import SearchFolder, open_folder
from finrl_ray.search.journal.records import TrialRecord
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

    `best_params` are the sampled values; what the best model was really built with is in
    `best_trial.user_attrs["model_kwargs"]`. A trial number is the search's own. Trials that were
    stopped early keep their value and count as complete, as they do in the search; a trial beyond
    the drawdown limit is pruned.

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
    names = [name for name in space if name in record.sample]
    state, value = _outcome(record)
    measures = {k: v for k, v in record.last.items() if k.startswith("eval/")}
    return optuna.trial.create_trial(
        state=state,
        value=value,
        params={name: _as_option(record.sample[name]) for name in names},
        distributions={name: _distribution(space[name]) for name in names},
        user_attrs={
            **measures,
            "model_kwargs": settings.model_kwargs,
            "n_envs": settings.n_envs,
            "options": dict(settings.options),
            "outcome": record.state,
            "reason": record.reason,
        },
        intermediate_values={r["timesteps"]: r["eval_objective"] for r in record.results},
    )


def _outcome(record: TrialRecord) -> tuple[TrialState, float | None]:
    objective = record.last.get("objective")
    ended = record.state in ("completed", "stopped")
    if ended and objective is not None and math.isfinite(objective):
        return TrialState.COMPLETE, float(objective)
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


def _as_option(value: Any) -> Any:
    """Return a value that Optuna can keep as an option: lists and dicts as JSON."""
    return value if isinstance(value, _PLAIN) else json.dumps(value)
