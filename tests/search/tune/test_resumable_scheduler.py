"""What the search's scheduler mends of Ray's controller."""

from types import SimpleNamespace
from typing import Any

import pytest
from fake_tune import FakeTrial
from scheduler_configs import scheduler_config

from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.search.sampling.domains import build_space
from finrl_ray.search.schedulers.make import make_scheduler
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


@pytest.mark.parametrize(
    ("kind", "together"),
    [("fifo", True), ("asha", True), ("hyperband", False), ("pbt", False), ("median", False)],
)
def test_results_travel_together_where_the_scheduler_passes_them_by(kind, together) -> None:
    config = ExperimentConfig(
        agent=AgentConfig(total_timesteps=8000),
        search=SearchConfig(scheduler=scheduler_config(kind)),
    )
    inner: Any = make_scheduler(config, build_space(config))
    inner.set_search_properties("objective", "max")
    inner.on_trial_add(SimpleNamespace(search_alg=None), FakeTrial("00000", {}))
    committer: Any = SimpleNamespace(scheduler=inner, records=SimpleNamespace(trials={}))
    scheduler = ResumableScheduler(committer, SimpleNamespace())  # type: ignore[arg-type]
    asks_from = scheduler.asks_from("00000")
    assert (asks_from is not None) == together
    if kind == "asha":
        assert asks_from == 1000
        assert scheduler.time_attr == "timesteps"
    storage: Any = SimpleNamespace()
    assert ResumableScheduler(committer, storage, each=True).asks_from("00000") is None
