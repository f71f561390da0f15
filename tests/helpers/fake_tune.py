"""Ray Tune's controller and trials as schedulers see them, without Ray: one process, no actors.

`run_trials` plays a whole search in simulated time: each trial reports its curve, and what the
scheduler decides is carried out as Ray's controller would.
"""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from ray import tune
from ray.train._internal.session import _TrainingResult
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

Curve = Callable[["FakeTrial", int], float]


class FakeTrial:
    PAUSED, PENDING = Trial.PAUSED, Trial.PENDING

    def __init__(self, trial_id: str, config: Mapping[str, Any]) -> None:
        self.trial_id = trial_id
        self.config = dict(config)
        self.status = Trial.PENDING
        self.steps = 0
        self.reported: list[tuple[int, float]] = []
        self.experiment_tag = trial_id
        self.evaluated_params: dict[str, Any] = {}
        self.last_result: dict[str, Any] = {}
        self.is_saving = False
        self.temporary_state = SimpleNamespace(saving_to=None, ray_actor=None)
        manager = SimpleNamespace(
            checkpoint_config=tune.CheckpointConfig(), _latest_checkpoint_result=None
        )
        self.run_metadata = SimpleNamespace(checkpoint_manager=manager)

    def __repr__(self) -> str:
        return f"trial_{self.trial_id}"

    @property
    def checkpoint(self) -> tune.Checkpoint | None:
        latest = self.run_metadata.checkpoint_manager._latest_checkpoint_result
        return latest.checkpoint if latest else None

    def is_finished(self) -> bool:
        return self.status in (Trial.TERMINATED, Trial.ERROR)

    def set_config(self, config: Mapping[str, Any]) -> None:
        self.config = dict(config)

    def set_experiment_tag(self, tag: str) -> None:
        self.experiment_tag = tag


class FakeController:
    def __init__(self, scheduler: TrialScheduler, trials: list[FakeTrial], searcher: Any) -> None:
        self.scheduler, self.trials = scheduler, trials
        self.search_alg = SimpleNamespace(searcher=searcher)
        self._cached_trial_decisions: dict[str, str] = {}

    def get_trials(self) -> list[FakeTrial]:
        return self.trials

    def get_live_trials(self) -> set[FakeTrial]:
        return {trial for trial in self.trials if not trial.is_finished()}

    def stop_trial(self, trial: FakeTrial) -> None:
        self.scheduler.on_trial_remove(self, trial)
        trial.status = Trial.TERMINATED

    def pause_trial(self, trial: FakeTrial, should_checkpoint: bool = True) -> None:
        if trial.is_saving and not should_checkpoint:
            # as Ray 2.60 does; it forgets the checkpoint after which this would be carried out
            self._cached_trial_decisions[trial.trial_id] = TrialScheduler.STOP
        trial.status = Trial.PAUSED

    def _schedule_trial_save(self, trial: FakeTrial, result: Any = None) -> tune.Checkpoint | None:
        return trial.checkpoint


def run_trials(
    scheduler: TrialScheduler,
    trials: list[FakeTrial],
    curve: Curve,
    *,
    every: int,
    total: int,
    slots: int = 2,
    fails: Mapping[str, int] | None = None,
    searcher: Any = None,
    lazily: bool = False,
) -> FakeController:
    """Run all trials to their ends, round robin; `fails` gives the timestep at which one crashes.

    `lazily` creates a trial when fewer than `slots` are neither paused nor ended.

    Raises AssertionError if trials are left that the scheduler will never let run.
    """
    controller = FakeController(scheduler, [], searcher)
    scheduler.set_search_properties("objective", "max")
    to_come = list(trials)
    while to_come or controller.get_live_trials():
        while to_come and (not lazily or _active(controller) < slots):
            controller.trials.append(to_come.pop(0))
            scheduler.on_trial_add(controller, controller.trials[-1])
        running = [trial for trial in trials if trial.status == Trial.RUNNING]
        while len(running) < slots:
            chosen = scheduler.choose_trial_to_run(controller)
            if chosen is None:
                break
            _start(chosen)
            running.append(chosen)
        assert running, f"waiting for ever: {[(t.trial_id, t.status, t.steps) for t in trials]}"
        for trial in running:
            if trial.status == Trial.RUNNING:
                _report(controller, trial, curve, every, total, fails or {})
    return controller


def _active(controller: FakeController) -> int:
    return sum(trial.status != Trial.PAUSED for trial in controller.get_live_trials())


def _start(trial: FakeTrial) -> None:
    latest = trial.run_metadata.checkpoint_manager._latest_checkpoint_result
    if latest is not None:
        trial.steps = int(latest.checkpoint.path.rpartition("/")[2])
    trial.status = Trial.RUNNING


def _report(
    controller: FakeController,
    trial: FakeTrial,
    curve: Curve,
    every: int,
    total: int,
    fails: Mapping[str, int],
) -> None:
    scheduler = controller.scheduler
    if trial.steps >= total:
        trial.status = Trial.TERMINATED
        scheduler.on_trial_complete(controller, trial, trial.last_result)
        return
    trial.steps += every
    if fails.get(trial.trial_id) == trial.steps:
        scheduler.on_trial_error(controller, trial)
        trial.status = Trial.ERROR
        return
    value = curve(trial, trial.steps)
    result = {"timesteps": trial.steps, "objective": value, "training_iteration": 1}
    trial.reported.append((trial.steps, value))
    own = tune.Checkpoint(f"/{trial.trial_id}/{trial.steps}")
    manager = trial.run_metadata.checkpoint_manager
    manager._latest_checkpoint_result = _TrainingResult(checkpoint=own, metrics=result)
    decision = scheduler.on_trial_result(controller, trial, result)
    trial.last_result = result
    if decision == TrialScheduler.STOP:
        scheduler.on_trial_complete(controller, trial, result)
        trial.status = Trial.TERMINATED
    elif decision == TrialScheduler.PAUSE:
        trial.status = Trial.PAUSED
