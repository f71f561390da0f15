"""What a driver sets up for its workers."""

import os
from pathlib import Path

import pytest
import ray
from ray.tune.execution import class_cache

from finrl_ray.cluster.session import starts_workers_ahead
from finrl_ray.cluster.tune_internals import without_worker_variables
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.search.run import driver
from finrl_ray.search.run.driver import WORKER_ENV, driver_environment, search_session


def test_what_ray_tune_gives_its_workers_is_among_what_ours_have() -> None:
    assert class_cache.DEFAULT_ENV_VARS.items() <= WORKER_ENV.items()


def test_ray_tune_asks_for_workers_that_were_started_ahead(monkeypatch) -> None:
    class Trainable:
        pass

    monkeypatch.setenv("RAY_CHDIR_TO_TRIAL_DIR", "0")
    kept = dict(class_cache.DEFAULT_ENV_VARS), set(class_cache.ENV_VARS_TO_PROPAGATE)
    with without_worker_variables():
        made = class_cache._ActorClassCache().get(Trainable)
        assert made._default_options["runtime_env"].get("env_vars", {}) == {}
    assert kept == (class_cache.DEFAULT_ENV_VARS, class_cache.ENV_VARS_TO_PROPAGATE)


@pytest.mark.parametrize(
    ("planned", "search", "processes"),
    [(8, {}, 4), (3, {}, 0), (8, {"max_concurrent_trials": 2}, 0), (8, {"cpus_per_trial": 2}, 0)],
)
def test_workers_import_ahead_where_each_will_have_a_trial(
    planned: int, search: dict[str, int], processes: int, monkeypatch
) -> None:
    told = []
    monkeypatch.setattr(driver, "available_cpus", lambda: 4)
    monkeypatch.setattr(driver, "require_local_capacity", lambda config: None)
    monkeypatch.setattr(driver, "ray_session", lambda *_, preload, **__: told.append(preload))
    driver.start_session(ExperimentConfig(search=SearchConfig(**search)), planned, None, False)
    assert told[0].processes == processes


@pytest.mark.slow
def test_a_worker_of_our_own_ray_is_ready_before_it_is_asked_for(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(driver, "TRIAL_MODULE", "colorsys")
    config = ExperimentConfig(search=SearchConfig(max_concurrent_trials=1))
    monkeypatch.setattr(driver, "available_cpus", lambda: 1)

    class Worker:
        def facts(self) -> tuple[bool, str, str]:
            import sys

            variables = os.environ["OMP_NUM_THREADS"], os.environ["RAY_CHDIR_TO_TRIAL_DIR"]
            return "colorsys" in sys.modules, *variables

    told = []
    for _ in range(3):  # a busy machine may start another worker, which has not imported it
        with driver_environment(), search_session(config, 1, None, False):
            assert starts_workers_ahead()
            actor = class_cache._ActorClassCache().get(Worker).remote()
            told.append(ray.get(actor.facts.remote()))
        assert not starts_workers_ahead()
        if told[-1][0]:
            break
    assert told[-1] == (True, "1", "0")
