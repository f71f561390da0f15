"""What a search's controller does without asking a process, and what it leaves alone."""

from types import SimpleNamespace
from typing import Any

import pyarrow.fs as pafs
import pytest
from ray.air._internal import usage
from ray.tune import tune as tune_module
from ray.tune.execution import tune_controller as rays

from finrl_ray.cluster.tune_controller import EventManager, SearchController, search_controller
from finrl_ray.cluster.tune_internals import TrialHooks


def trial_of(result: dict[str, Any], *, actor: object | None) -> TrialHooks:
    trial = TrialHooks.__new__(TrialHooks)
    trial.temporary_state = SimpleNamespace(ray_actor=actor, saving_to=None)  # type: ignore[assignment]
    trial.trial_id = "00000"
    trial.run_metadata = SimpleNamespace(last_result=result)  # type: ignore[assignment]
    trial._default_result_or_future = None
    trial.storage = SimpleNamespace(  # type: ignore[assignment]
        trial_fs_path="/runs/ray/trial_00000", storage_filesystem=pafs.LocalFileSystem()
    )
    trial.taken = []  # type: ignore[attr-defined]
    trial.on_checkpoint = trial.taken.append  # type: ignore[attr-defined,method-assign]
    return trial


def test_a_checkpoint_is_where_the_result_says() -> None:
    result = {"checkpoint_dir_name": "checkpoint_000003", "timesteps": 9, "trial_id": "00000"}
    trial: Any = trial_of(result, actor=object())
    assert trial.take_reported_checkpoint()
    (taken,) = trial.taken
    assert taken.checkpoint.path == "/runs/ray/trial_00000/checkpoint_000003"
    assert taken.metrics == result
    assert taken.metrics is not result


def test_a_trial_that_was_exchanged_meanwhile_keeps_the_others_checkpoint() -> None:
    trial: Any = trial_of({"checkpoint_dir_name": "checkpoint_000003"}, actor=None)
    assert trial.take_reported_checkpoint()
    assert trial.taken == []


def test_a_result_without_a_checkpoint_gives_none() -> None:
    assert not trial_of(
        {"checkpoint_dir_name": None, "timesteps": 9}, actor=object()
    ).take_reported_checkpoint()


@pytest.mark.parametrize(
    ("started", "all_made", "taken_over"),
    [(True, False, False), (True, True, True), (False, False, True), (None, False, True)],
)
def test_a_process_that_starts_is_not_ended_for_one_that_is_free(
    started, all_made, taken_over, monkeypatch
) -> None:
    controller: Any = SearchController.__new__(SearchController)
    trial = object()
    controller._trial_to_actor = {} if started is None else {trial: "actor"}
    controller._actor_manager = SimpleNamespace(is_actor_started=lambda actor: started)
    controller._search_alg = SimpleNamespace(is_finished=lambda: all_made)
    monkeypatch.setattr(rays.TuneController, "_maybe_reuse_cached_actor", lambda self, trial: True)
    assert controller._maybe_reuse_cached_actor(trial) == taken_over


def test_ray_has_its_own_controller_again_afterwards() -> None:
    before = (tune_module.TuneController, rays.RayActorManager, usage.tag_callbacks)

    def fail() -> None:
        with search_controller():
            assert tune_module.TuneController is SearchController
            assert rays.RayActorManager is EventManager
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (tune_module.TuneController, rays.RayActorManager, usage.tag_callbacks) == before
