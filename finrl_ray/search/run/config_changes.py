"""What changes in a search between its start and a resume: more trials, budgets, resources."""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace

from finrl_ray.config.dump import config_text, config_to_dict
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import parse_config, read_config
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.files.atomic import atomic_path
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.folder.names import CONFIG_FILE, EXPERIMENT_FILE, VERDICT_FILE
from finrl_ray.search.folder.sealed_config import (
    Change,
    free_changes,
    lay_free_keys,
    require_free,
    seal_of,
    with_free_keys,
)
from finrl_ray.search.journal.events import append_event
from finrl_ray.search.journal.records import TrialRecords, is_finished, unfinished
from finrl_ray.search.run.plan_checks import MIN_POPULATION, check_plan
from finrl_ray.search.sampling.domains import build_space, planned_trials
from finrl_ray.search.sampling.drawn_samples import grid_size
from finrl_ray.search.tune.stopper import BudgetStopper

logger = logging.getLogger(__name__)

_NUMBER = "search.num_samples"
_BUDGETS = (
    "search.time_budget_s",
    "search.timesteps_budget",
    "search.stop_after_no_improvement",
    "search.max_disk_gb",
)


def take_changes(
    folder: SearchFolder,
    records: TrialRecords,
    *,
    add_trials: int | None = None,
    overrides: Sequence[str] = (),
) -> SearchFolder:
    """Return the folder with what has changed in its config, which is noted in its journal.

    What has changed is what `config.yaml` says otherwise than when the search was last resumed, and
    what is asked for here. A search that had ended is open again if it gets more trials, or if its
    budget had ended it and is larger.

    Parameters
    ----------
    folder : opened, and held by this process
    records : what its journal says; the change is folded into them
    add_trials : trials more than are planned
    overrides : `key=value` strings, of keys that may change

    Raises
    ------
    ConfigError
        If a key may not change, or the number of trials cannot be this one.
    SearchError
        If there would be nothing to go on with, or the folder cannot be written to.
    """
    config = folder.config
    if add_trials is not None or overrides:
        require_search(folder)
    if overrides:
        config = _overridden(folder, overrides)
    if add_trials is not None:
        config = with_more_trials(config, add_trials)
    changes = free_changes(folder.accepted or folder.config, config)
    if not changes and config == folder.config and folder.accepted is not None:
        return folder
    _check_number(folder, records, config, changes)
    reopens = _reopens(records, config, changes)
    try:
        if config != folder.config:
            with atomic_path(folder.path / CONFIG_FILE) as temporary:
                temporary.write_text(config_text(config), encoding="utf-8")
        if not is_finished(records, planned_trials(config)) or reopens:
            # it counts the trials that there were; without it the next end writes it again
            (folder.path / VERDICT_FILE).unlink(missing_ok=True)
        if changes:
            noted = {change.key: [change.former, change.now] for change in changes}
            append_event(folder.path, records, "config", changes=noted, reopens=reopens)
        _seal_again(folder, config)
    except OSError as error:
        raise SearchError(f"{folder.path} cannot be written to: {error}") from error
    for change in changes:
        logger.warning("%s; noted in the journal", change)
    return replace(folder, config=config, accepted=config)


def require_search(folder: SearchFolder) -> None:
    """Refuse to change a confirmation or a training.

    Raises
    ------
    SearchError
        With what the folder is.
    """
    if folder.kind != "search":
        what = "one training" if folder.kind == "train" else "a confirmation, whose trials are set"
        raise SearchError(
            f"{folder.path} holds {what}: --add-trials and --set are for searches; resume it "
            "without them"
        )


def _overridden(folder: SearchFolder, overrides: Sequence[str]) -> ExperimentConfig:
    path = folder.path / CONFIG_FILE
    wanted = parse_config(read_config(path, overrides), where="--set")
    require_free(folder.config, wanted, path)
    return with_free_keys(folder.config, wanted)


def with_more_trials(config: ExperimentConfig, count: int) -> ExperimentConfig:
    """Return the config of a search with `count` trials more.

    Raises
    ------
    ConfigError
        If the count is less than 1, or cuts a grid.
    """
    if count < 1:
        raise ConfigError(f"--add-trials must be >= 1, got {count}")
    size = grid_size(build_space(config))
    if count % size:
        runs = config.search.num_samples
        raise ConfigError(
            f"the grid of this search has {size:,} combinations, all of which it runs"
            f"{f' {runs} times' if runs > 1 else ''}; trials can be added for a whole grid, which "
            f"then runs again with other seeds: --add-trials {size}, or a multiple of it, got "
            f"{count}. For other combinations start a new search"
        )
    more = replace(config.search, num_samples=config.search.num_samples + count // size)
    changed = replace(config, search=more)
    check_plan(changed, build_space(changed))
    return changed


def _check_number(
    folder: SearchFolder, records: TrialRecords, config: ExperimentConfig, changes: Sequence[Change]
) -> None:
    """Refuse numbers of trials that the scheduler, or what there is already, cannot do with."""
    change = next((change for change in changes if change.key == _NUMBER), None)
    if change is None:
        return
    planned, created = planned_trials(config), len(records.trials)
    if planned < created:
        raise ConfigError(f"{change}, and the search has {created:,} trials already, which count")
    kind = config.search.scheduler.type
    if not config.search.scheduler.is_population or not created:
        return
    if unfinished(records.trials.values()):
        raise ConfigError(
            f"{change}, in the middle of a population that scheduler {kind!r} trains together. Set "
            f"it to {change.former} and let the population end (finrl-ray resume {folder.path}); "
            "trials that are added then are a population of their own"
        )
    if planned - created < MIN_POPULATION:
        raise ConfigError(
            f"trials that are added under scheduler {kind!r} are a population of their own, and "
            f"learn from each other: add at least {MIN_POPULATION}, got {planned - created}"
        )


def _reopens(records: TrialRecords, config: ExperimentConfig, changes: Sequence[Change]) -> bool:
    """Return whether a search that a budget has ended goes on.

    Raises
    ------
    SearchError
        If the budget is spent all the same.
    """
    asked = any(change.key in (_NUMBER, *_BUDGETS) for change in changes)
    if not records.ended_by or not asked:
        return False
    stopper = BudgetStopper(records, config)
    stopper.reason = ""
    if stopper.stop_all():
        keys = " or ".join(key for key in _BUDGETS if _is_set(config, key))
        raise SearchError(
            f"no trial could be added: {stopper.reason}. Give it more with --set {keys}=..."
        )
    return True


def _is_set(config: ExperimentConfig, key: str) -> bool:
    return getattr(config.search, key.partition(".")[2]) is not None


def _seal_again(folder: SearchFolder, config: ExperimentConfig) -> None:
    """Keep in `experiment.json` what the search goes on with; the sealed keys stay."""
    path = folder.path / EXPERIMENT_FILE
    facts = json.loads(path.read_text(encoding="utf-8"))
    if folder.accepted is None:
        logger.warning(
            "the config of %s was not sealed, as an earlier version made it; it is sealed as it is",
            folder.path,
        )
        facts |= seal_of(config)
    else:
        lay_free_keys(config_to_dict(config), facts["config"])
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
