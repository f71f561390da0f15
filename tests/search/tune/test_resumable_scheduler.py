"""What the search's scheduler mends of Ray's controller."""

from types import SimpleNamespace
from typing import Any

import pytest

from finrl_ray.search.tune.resumable_scheduler import ResumableScheduler


class Controller:
    """Ray's books on one trial's process."""

    def __init__(self, trial: Any, *, actor: bool, resetting: bool) -> None:
        self._staged_trials = {trial}
        self._trial_to_actor = {trial: object()} if actor else {}
        self._resetting_trials = {trial} if resetting else set()

    def _unstage_trial_with_resources(self, trial: Any) -> None:
        self._staged_trials.remove(trial)


@pytest.mark.parametrize(
    ("actor", "resetting", "asks_again"),
    [(True, False, False), (False, True, False), (False, False, True)],
)
def test_a_trial_whose_process_is_lost_gets_another(
    actor: bool, resetting: bool, asks_again: bool
) -> None:
    inner = SimpleNamespace(choose_trial_to_run=lambda controller: "trial")
    records = SimpleNamespace(trials={})
    committer: Any = SimpleNamespace(
        scheduler=inner, records=records, scheduler_changed=lambda: None
    )
    controller: Any = Controller("trial", actor=actor, resetting=resetting)
    scheduler = ResumableScheduler(committer, SimpleNamespace())  # type: ignore[arg-type]
    assert scheduler.choose_trial_to_run(controller) == "trial"
    assert ("trial" not in controller._staged_trials) == asks_again
