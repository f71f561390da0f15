"""How many trials may run at once: asked of Ray now and then, and part of what Ray pickles."""

import pytest
from ray import cloudpickle
from small_search import small_config

from finrl_ray.search.run import concurrency


def test_ray_pickles_the_limit_with_the_searcher_that_asks_for_it(tmp_path) -> None:
    for most in (None, 3):
        config = small_config(tmp_path, search={"max_concurrent_trials": most})
        limit = cloudpickle.loads(cloudpickle.dumps(concurrency.concurrency_limit(config)))
        assert callable(limit)
    assert limit() == 3


def test_ray_is_asked_once_a_second(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = [0.0], []

    def fitting(cpus: float, gpus: float) -> float:
        asked.append(cpus)
        return 2.0

    timed = concurrency.TTLCache
    monkeypatch.setattr(concurrency, "_trials_that_fit", fitting)
    monkeypatch.setattr(
        concurrency, "TTLCache", lambda **given: timed(**given, timer=lambda: now[0])
    )
    limit = concurrency.concurrency_limit(small_config(tmp_path))
    assert [limit(), limit()] == [2.0, 2.0]
    assert asked == [1.0]
    now[0] = concurrency.REFRESH_S
    assert limit() == 2.0
    assert asked == [1.0, 1.0]
