"""Where Ray's trials come from: those of an interrupted search first, then new samples."""

from collections.abc import Callable, Iterable
from typing import Any

from ray.tune.experiment import Experiment, Trial
from ray.tune.registry import get_trainable_cls
from ray.tune.search import SearchAlgorithm, Searcher

from finrl_ray.cluster.tune_internals import restore_from
from finrl_ray.cluster.watchdog import lost_process
from finrl_ray.search.folder.checkpoints import CheckpointStorage
from finrl_ray.search.journal.records import ENDED, PAUSE, TrialRecord, unfinished
from finrl_ray.search.journal.state_files import StoredState
from finrl_ray.search.schedulers.make import METRIC
from finrl_ray.search.tune.commit import StateCommitter
from finrl_ray.search.tune.trial import SearchTrial
from finrl_ray.support.values import to_python

# a worker that outlives its killed driver may still write its next checkpoint
_INDEX_GAP = 10


class TrialSource(SearchAlgorithm):
    """Ray Tune search algorithm over a searcher: numbered trials, each in the journal from birth.

    Parameters
    ----------
    committer : of the search, with its searcher
    state : what the search goes on from; None for a new one
    planned : number of trials
    limit : returns how many trials may be alive at once, not counting paused ones
    storage : where checkpoints are
    pausing : whether the scheduler pauses trials
    """

    def __init__(
        self,
        committer: StateCommitter,
        state: StoredState | None,
        planned: int,
        limit: Callable[[], float],
        storage: CheckpointStorage,
        *,
        pausing: bool = False,
    ) -> None:
        self.pausing = pausing
        self.committer = committer
        self.state = state
        self.planned = planned
        self.limit = limit
        self.storage = storage
        self.alive: dict[str, Trial] = {}
        self._waiting: list[Trial] = []
        self._experiment: Experiment | None = None
        self._trainable_class: Any = None
        self._ended = False

    # -- what Ray asks of a search algorithm ------------------------------------------------------

    @property
    def searcher(self) -> Searcher:
        """The searcher; Ray's BOHB scheduler talks to it."""
        return self.committer.searcher

    @property
    def metric(self) -> str:
        """What is maximised."""
        return METRIC

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        """Return True: the searcher was made with its space."""
        return True

    @property
    def total_samples(self) -> int:
        """Number of trials."""
        return self.planned

    def add_configurations(
        self, experiments: Experiment | list[Experiment] | dict[str, dict[str, Any]]
    ) -> None:
        """Take Ray's description of what each trial runs, and bring unfinished trials back."""
        given: Any = experiments if isinstance(experiments, list) else [experiments]
        (self._experiment,) = given
        self._trainable_class = get_trainable_cls(self._experiment.spec["run"])
        records = self.committer.records.trials.values()
        trials = {record.trial_id: self._make_trial(record) for record in records}
        if self.state is not None:
            self.committer.restore(self.state, trials.__getitem__, self.storage.moved_checkpoint)
        left = sorted(unfinished(records), key=lambda record: record.index)
        self._waiting = [self._continued(trials[record.trial_id], record) for record in left]
        for record in records:
            if record.state in ENDED:
                trials[record.trial_id].set_status(Trial.TERMINATED)

    def next_trial(self) -> Trial | None:
        """Return the next trial, or None if there is none at this moment."""
        if self._waiting:
            trial = self._waiting.pop(0)
            self.alive[trial.trial_id] = trial
            return trial
        # a paused trial leaves room: BOHB samples until its bracket is full
        active = sum(trial.status != Trial.PAUSED for trial in self.alive.values())
        if self._all_made() or active >= self.limit():
            return None
        index = len(self.committer.records.trials)
        trial_id = f"{index:05d}"
        sample: Any = self.committer.searcher.suggest(trial_id)
        if sample == Searcher.FINISHED:
            self.set_finished()
            return None
        if sample is None:
            return None
        self.committer.searcher_changed()
        plain = {name: to_python(value) for name, value in sample.items()}
        self.committer.write("created", trial_id=trial_id, index=index, sample=plain)
        trial = self._make_trial(self.committer.records.trials[trial_id])
        self.alive[trial_id] = trial
        return trial

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tell the searcher, if it listens: a list of samples is not pickled for each result."""
        if type(self.committer.searcher).on_trial_result is Searcher.on_trial_result:
            return
        self.committer.searcher.on_trial_result(trial_id, result)
        self.committer.searcher_changed()

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the searcher; not of a trial that was lost with Ray, which goes on later."""
        if error and lost_process():
            return
        self.alive.pop(trial_id, None)
        self.committer.searcher.on_trial_complete(trial_id, result=result, error=error)
        self.committer.searcher_changed()

    def is_finished(self) -> bool:
        """Return whether no trial is left to be handed out, or to come back from a pause.

        Once this is true Ray ends the actors that a pause leaves idle, and a paused trial would
        start with a new process.
        """
        return self._all_made() and not (self.pausing and self.alive)

    def _all_made(self) -> bool:
        made = len(self.committer.records.trials) >= self.planned
        return not self._waiting and (self._ended or made)

    def set_finished(self) -> None:
        """Hand out no new trial."""
        self._ended = True

    def has_checkpoint(self, dirpath: str) -> bool:
        """Return False: the committer keeps the state."""
        return False

    def save_to_dir(self, dirpath: str, **kwargs: Any) -> None:
        """Do nothing: the committer keeps the state."""

    # -- trials -----------------------------------------------------------------------------------

    def _make_trial(self, record: TrialRecord) -> Trial:
        assert self._experiment is not None
        spec = self._experiment.spec
        trial = SearchTrial(
            spec["run"],
            trainable_class=self._trainable_class,
            config=dict(record.sample),
            trial_id=record.trial_id,
            storage=spec["storage"],
            evaluated_params=dict(record.sample),
            experiment_tag=record.trial_id,
            placement_group_factory=spec.get("resources_per_trial"),
            checkpoint_config=spec["checkpoint_config"],
            trial_name_creator=spec["trial_name_creator"],
            trial_dirname_creator=spec["trial_dirname_creator"],
            max_failures=spec["max_failures"],
        )
        trial.relative_logdir = trial.custom_dirname  # type: ignore[assignment]  # Ray's own type
        assert trial.storage is not None
        trial.storage.trial_dir_name = trial.custom_dirname
        return trial

    def _continued(self, trial: Trial, record: TrialRecord) -> Trial:
        """Put a trial that was created in an earlier life where it was left."""
        assert trial.storage is not None
        there = self.storage.checkpoints(trial.storage.trial_fs_path)
        indices = [int(name.rpartition("_")[2]) for name in there]
        trial.storage.current_checkpoint_index = max(indices, default=-1) + _INDEX_GAP
        trial.run_metadata.num_failures = record.failures
        path = self._checkpoint_path(record, there, trial.storage.trial_fs_path)
        if path:
            metrics = {**record.last, "training_iteration": record.iterations}
            metrics["config"] = dict(record.sample)
            restore_from(trial, self.storage.checkpoint(path), metrics)
            trial.run_metadata.last_result = dict(metrics)
        if record.decision == PAUSE:
            trial.set_status(Trial.PAUSED)
        return trial

    def _checkpoint_path(self, record: TrialRecord, there: Iterable[str], own: str) -> str:
        """Return the checkpoint to go on from, an earlier one if it is gone, or an empty text."""
        if not record.latest_checkpoint:
            return ""
        path = self.storage.absolute(record.latest_checkpoint)
        if self.storage.exists(path):
            return path
        earlier = sorted(name for name in there if f"{own}/{name}" < path)
        name = path.rpartition("/")[2]
        instead = earlier[-1] if earlier else "the start"
        self.committer.write(
            "note",
            trial_id=record.trial_id,
            text=f"{name} is missing; went on from {instead}",
        )
        return f"{own}/{earlier[-1]}" if earlier else ""
