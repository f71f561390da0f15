"""`JournalCallback`: the Ray Tune callback that writes down what happens to each trial."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune

from finrl_ray.cluster.tune_worker import AGE_S
from finrl_ray.cluster.watchdog import lost_process
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.search.folder.checkpoints import CheckpointStorage
from finrl_ray.search.journal.events import error_line, reported_metrics
from finrl_ray.search.journal.lines import TrialState
from finrl_ray.search.journal.records import PAUSE, STOP, TrialRecords, interruption
from finrl_ray.search.sampling.objective import full_budget, time_attr
from finrl_ray.search.schedulers.make import stop_reason
from finrl_ray.search.tune.commit import StateCommitter
from finrl_ray.search.tune.trial import SearchTrial
from finrl_ray.support.interruptions import ONE_SIGNAL_S, interrupted
from finrl_ray.support.text import counted

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

logger = logging.getLogger(__name__)

_WORKER_DIED = "The actor died unexpectedly before finishing this task"


class JournalCallback(tune.Callback):
    """Ray Tune callback that writes every event through the committer.

    Parameters
    ----------
    committer : of the search
    config : the experiment
    storage : where checkpoints are
    """

    def __init__(
        self, committer: StateCommitter, config: ExperimentConfig, storage: CheckpointStorage
    ) -> None:
        self.committer = committer
        self.config = config
        self.storage = storage

    @property
    def folder(self) -> Path:
        """The search's folder."""
        return self.committer.folder

    @property
    def records(self) -> TrialRecords:
        """What the journal says at this moment."""
        return self.committer.records

    def on_trial_start(
        self, iteration: int, trials: list["Trial"], trial: "Trial", **info: Any
    ) -> None:
        """Note a trial's first start, or a later one from its checkpoint."""
        self.committer.write("start", trial_id=trial.trial_id)

    def on_trial_result(
        self,
        iteration: int,
        trials: list["Trial"],
        trial: "Trial",
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """Note an evaluation, its checkpoint, and what the scheduler has decided on it."""
        own = {"trial_id": trial.trial_id}
        metrics = reported_metrics(result)
        if metrics.get("notes"):  # what a worker logs is in its node's files
            logger.warning("trial %s: %s", trial.trial_id, metrics["notes"])
        content = {**own, "metrics": metrics, "iteration": result["training_iteration"]}
        # it has waited for those that were sent with it; nobody else is to see how long
        waited_s = result.pop(AGE_S, None)
        if waited_s is not None:
            content["time"] = time.time() - waited_s
        decision = self.committer.decisions.get(trial.trial_id, "")
        if decision in (STOP, PAUSE):
            content["decision"] = decision
        events: list[tuple[str, dict[str, Any]]] = [("result", content)]
        name = result.get("checkpoint_dir_name")
        if name:
            assert trial.storage is not None
            path = self.storage.relative(f"{trial.storage.trial_fs_path}/{name}")
            where = {**own, "timesteps": metrics["timesteps"], "path": path}
            events.append(("checkpoint", where))
        self.committer.commit(*events)

    def on_trial_complete(
        self, iteration: int, trials: list["Trial"], trial: "Trial", **info: Any
    ) -> None:
        """Note a trial that ended without an error, and why."""
        state, reason = self._end_state(trial.trial_id)
        self.committer.write("end", trial_id=trial.trial_id, state=state, reason=reason)

    def _end_state(self, trial_id: str) -> tuple[TrialState, str]:
        record = self.records.trials[trial_id]
        last = record.last
        own = str(last.get("stop_reason", ""))
        if own.startswith("drawdown"):
            return "rejected", own
        if last.get(time_attr(self.config), 0) >= full_budget(self.config):
            return "completed", f"completed {_distance(last)}"
        if own:
            return "stopped", own
        by_scheduler = stop_reason(self.committer.scheduler, trial_id)
        if by_scheduler:
            return "stopped", by_scheduler
        return "interrupted", interruption(record)

    def on_trial_error(
        self, iteration: int, trials: list["Trial"], trial: "Trial", **info: Any
    ) -> None:
        """Note a trial that failed for good, with the line that names its error as the reason."""
        own = {"trial_id": trial.trial_id}
        text = trial.error_file and Path(trial.error_file).read_text(encoding="utf-8")
        text = text or "no traceback was left"
        lost = lost_process()
        # a signal to the whole group comes to Ray's processes, and the news of their end, at once
        if lost or interrupted(ONE_SIGNAL_S if _WORKER_DIED in text else 0.0):
            reason = interruption(self.records.trials[trial.trial_id])
            # with Ray's process died the trial, whose fault it was not
            reason += f": {lost} has died" if lost and not interrupted() else ""
            self.committer.write("end", **{**own, "state": "interrupted", "reason": reason})
            return
        reason = self._failure(trial.trial_id, text)
        self.committer.write("end", **own, state="failed", reason=reason, error=text)

    def _failure(self, trial_id: str, text: str) -> str:
        latest = text[text.rfind("Failure #") :]
        if "OutOfMemoryError" in latest or "running low on memory" in latest:
            return "out of memory: its node was running out of it, and Ray ended its process"
        if _WORKER_DIED not in latest:
            return error_line(text)
        timeout = self.config.search.trial_timeout_s
        silent = time.time() - self.records.trials[trial_id].started_at
        if timeout is not None and silent >= timeout:
            return f"no result for {timeout:g} s (search.trial_timeout_s); its process was ended"
        return "its process died: killed from outside, or out of memory"

    def on_trial_recover(
        self, iteration: int, trials: list["Trial"], trial: "Trial", **info: Any
    ) -> None:
        """Note a crash after which the trial is started again from its checkpoint."""
        counted = not isinstance(trial, SearchTrial) or trial.last_failure_counted
        counted = counted and not lost_process() and not interrupted()
        self.committer.write("recover", trial_id=trial.trial_id, counted=counted)


def _distance(last: Mapping[str, Any]) -> str:
    """Return in words how far a trial has come."""
    steps = f"{last['timesteps']:,} timesteps"
    if "paths" not in last:
        return steps
    return f"{counted(last['paths'], 'path')} of {counted(last['folds'], 'training')}"
