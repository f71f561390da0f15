"""Where trials come from, and what a scheduler hears of those that come back; without Ray."""

from pathlib import Path
from typing import Any

import pytest
from committer_parts import small_committer
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from finrl_ray.search.folder.checkpoints import CheckpointStorage
from finrl_ray.search.tune.commit import StateCommitter, read_for_resume
from finrl_ray.search.tune.resumable_scheduler import ResumableScheduler
from finrl_ray.search.tune.trial_source import TrialSource


def nothing(config: dict[str, Any]) -> None:
    del config


class Storage:
    """What a trial needs of Ray's StorageContext."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.trial_dir_name = ""
        self.current_checkpoint_index = -1

    @property
    def trial_fs_path(self) -> str:
        return f"{self.root}/ray/{self.trial_dir_name}"


class Experiment:
    def __init__(self, root: Path) -> None:
        tune.register_trainable("nothing", nothing)
        self.spec = {
            "run": "nothing",
            "storage": Storage(root),
            "checkpoint_config": tune.CheckpointConfig(),
            "trial_name_creator": None,
            "trial_dirname_creator": lambda trial: f"trial_{trial.trial_id}",
            "max_failures": 2,
        }


def source_of(
    committer: StateCommitter, planned: int = 4, limit: int = 2, state: Any = None
) -> TrialSource:
    storage = CheckpointStorage(committer.folder)
    source = TrialSource(committer, state, planned, lambda: limit, storage)
    source.add_configurations([Experiment(committer.folder)])
    return source


def handed_out(source: TrialSource) -> list[Trial]:
    trials = []
    while (trial := source.next_trial()) is not None:
        trials.append(trial)
    return trials


def result(committer: StateCommitter, trial_id: str, steps: int, **content: Any) -> None:
    folder = committer.folder / f"ray/trial_{trial_id}/checkpoint_{steps:06d}"
    folder.mkdir(parents=True)
    metrics = {"timesteps": steps, "objective": float(steps)}
    committer.write("result", trial_id=trial_id, metrics=metrics, iteration=steps, **content)
    path = str(folder.relative_to(committer.folder))
    committer.write("checkpoint", trial_id=trial_id, timesteps=steps, path=path)


def resumed(folder: Path, **options: Any) -> TrialSource:
    records, state, files = read_for_resume(folder)
    committer = small_committer(folder)
    committer.records, committer.files = records, files
    return source_of(committer, state=state, **options)


def test_trials_are_numbered_limited_and_in_the_journal_from_birth(tmp_path) -> None:
    committer = small_committer(tmp_path)
    source = source_of(committer)
    assert [trial.trial_id for trial in handed_out(source)] == ["00000", "00001"]
    assert committer.records.trials["00001"].sample == {"x": 1}
    source.on_trial_complete("00000", result={"objective": 1.0})
    assert [trial.trial_id for trial in handed_out(source)] == ["00002"]
    source.on_trial_complete("00001", error=True)
    source.on_trial_complete("00002", result={"objective": 2.0})
    assert [trial.trial_id for trial in handed_out(source)] == ["00003"]
    assert source.is_finished()
    told = [("00000", 1.0, False), ("00001", None, True), ("00002", 2.0, False)]
    assert committer.searcher.told == told


def test_a_resumed_search_hands_out_what_is_left_and_then_goes_on(tmp_path) -> None:
    committer = small_committer(tmp_path)
    source = source_of(committer)
    first, _ = handed_out(source)
    for trial_id in ("00000", "00001"):
        committer.write("start", trial_id=trial_id)
        result(committer, trial_id, 10)
    committer.write("end", trial_id="00000", state="completed", reason="")
    source.on_trial_complete("00000", result={"objective": 10.0})
    handed_out(source)  # 00002 is created and never started
    again = resumed(tmp_path)
    trials = handed_out(again)
    assert [trial.trial_id for trial in trials] == ["00001", "00002"]
    assert [trial.status for trial in trials] == [Trial.PENDING, Trial.PENDING]
    assert trials[0].config == {"x": 1}
    assert trials[0].checkpoint.path == str(tmp_path / "ray/trial_00001/checkpoint_000010")
    assert trials[0].latest_checkpoint_result.metrics["training_iteration"] == 10
    # an orphaned worker of the earlier life may still write the next one
    assert trials[0].storage.current_checkpoint_index == 20
    assert trials[1].checkpoint is None
    assert again.committer.searcher.suggested == 3
    again.on_trial_complete("00001", result={"objective": 1.0})
    assert [trial.config for trial in handed_out(again)] == [{"x": 3}]
    assert first.storage.current_checkpoint_index == -1


def test_a_trial_that_was_paused_comes_back_paused(tmp_path) -> None:
    committer = small_committer(tmp_path)
    handed_out(source_of(committer))
    committer.write("start", trial_id="00000")
    result(committer, "00000", 10, decision="PAUSE")
    trials = handed_out(resumed(tmp_path))
    # and leaves room for another
    assert [trial.status for trial in trials] == [Trial.PAUSED, Trial.PENDING, Trial.PENDING]


@pytest.mark.parametrize("left", [1, 0])
def test_a_checkpoint_that_is_gone_is_replaced_and_noted(tmp_path, left) -> None:
    committer = small_committer(tmp_path)
    handed_out(source_of(committer))
    committer.write("start", trial_id="00000")
    result(committer, "00000", 10)
    result(committer, "00000", 20)
    folder = tmp_path / "ray/trial_00000"
    (folder / "checkpoint_000020").rmdir()
    if not left:
        (folder / "checkpoint_000010").rmdir()
    source = resumed(tmp_path)
    trial = handed_out(source)[0]
    instead = "checkpoint_000010" if left else "the start"
    assert source.committer.records.trials["00000"].notes == [
        f"checkpoint_000020 is missing; went on from {instead}"
    ]
    assert (trial.checkpoint is not None) is bool(left)


class Noting(TrialScheduler):
    """A scheduler that notes what it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, str]] = []

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self.heard.append(("add", trial.trial_id))

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        self.heard.append(("error", trial.trial_id))

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: Any) -> str:
        return str(result["decision"])

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: Any) -> None:
        self.heard.append(("complete", trial.trial_id))

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        self.heard.append(("remove", trial.trial_id))

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        return None


def test_a_scheduler_does_not_hear_of_a_crash_after_which_the_trial_goes_on(tmp_path) -> None:
    committer = small_committer(tmp_path, Noting())
    scheduler = ResumableScheduler(committer, CheckpointStorage(tmp_path))
    (trial, _) = handed_out(source_of(committer))
    scheduler.on_trial_add(None, trial)
    trial.run_metadata.num_failures = 1
    scheduler.on_trial_error(None, trial)
    scheduler.on_trial_add(None, trial)  # as Ray does to start it again
    assert committer.scheduler.heard == [("add", "00000")]
    trial.run_metadata.num_failures = 3
    scheduler.on_trial_error(None, trial)
    assert committer.scheduler.heard == [("add", "00000"), ("error", "00000")]


def test_a_scheduler_that_comes_back_is_not_given_its_trials_again(tmp_path) -> None:
    committer = small_committer(tmp_path, Noting())
    source = source_of(committer)
    scheduler = ResumableScheduler(committer, CheckpointStorage(tmp_path))
    for trial in handed_out(source):
        scheduler.on_trial_add(None, trial)
        committer.write("start", trial_id=trial.trial_id)
    again = resumed(tmp_path)
    scheduler = ResumableScheduler(again.committer, CheckpointStorage(tmp_path))
    for trial in handed_out(again):
        scheduler.on_trial_add(None, trial)
    assert again.committer.scheduler.heard == [("add", "00000"), ("add", "00001")]


class Controller:
    """Ray's controller, as far as a decision is carried out."""

    def __init__(self, trials: list[Trial]) -> None:
        self.trials = {trial.trial_id: trial for trial in trials}
        self.stopped: list[tuple[str, str]] = []

    def get_trial(self, trial_id: str) -> Trial | None:
        return self.trials.get(trial_id)

    def _set_trial_status(self, trial: Trial, status: str) -> None:
        trial.set_status(status)

    def stop_trial(self, trial: Trial) -> None:
        self.stopped.append((trial.trial_id, trial.status))


def test_a_stop_that_was_decided_before_a_kill_is_carried_out_once(tmp_path) -> None:
    committer = small_committer(tmp_path, Noting())
    handed_out(source_of(committer))
    committer.write("start", trial_id="00001")
    result(committer, "00001", 10, decision="STOP")
    again = resumed(tmp_path)
    controller = Controller(handed_out(again))
    scheduler = ResumableScheduler(again.committer, CheckpointStorage(tmp_path))
    assert scheduler.choose_trial_to_run(controller) is None
    assert scheduler.choose_trial_to_run(controller) is None
    # as a running trial: its last result reaches the searcher
    assert controller.stopped == [("00001", Trial.RUNNING)]
    assert controller.trials["00001"].last_result["objective"] == 10.0


def test_a_searcher_that_does_not_listen_is_not_pickled_for_each_result(
    tmp_path, monkeypatch
) -> None:
    committer = small_committer(tmp_path)
    source = source_of(committer)
    handed_out(source)
    changes: list[bool] = []
    monkeypatch.setattr(committer, "searcher_changed", lambda: changes.append(True))
    source.on_trial_result("00000", {"objective": 1.0})
    assert changes == []
    monkeypatch.setattr(
        type(committer.searcher), "on_trial_result", lambda *args: None, raising=False
    )
    source.on_trial_result("00000", {"objective": 1.0})
    assert changes == [True]
