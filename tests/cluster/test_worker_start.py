"""What workers of a Ray of our own do before their first task."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from finrl_ray.cluster import worker_start
from finrl_ray.cluster.ray_internals import HOOK_VARIABLE
from finrl_ray.cluster.worker_start import START_VARIABLE, begin

ENV = {"FINRL_RAY_TOLD": "yes", "MALLOC_ARENA_MAX": "1"}
WORKER = """
import os, sys
from ray._private.runtime_env.setup_hook import load_and_execute_setup_hook
assert load_and_execute_setup_hook(os.environ["HOOK"]) is None
print(os.environ.get("FINRL_RAY_TOLD"), "colorsys" in sys.modules)
"""


def worker(variables: dict[str, str]) -> str:
    """What a worker finds that Ray starts with these variables."""
    env = {**os.environ, **variables, "HOOK": variables[HOOK_VARIABLE]}
    done = subprocess.run(
        [sys.executable, "-c", WORKER], env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_as_many_workers_as_trials_import_what_trials_need() -> None:
    with worker_start.worker_start(ENV, "colorsys", 1) as variables:
        # the C library reads it before Python can set it
        assert variables["MALLOC_ARENA_MAX"] == "1"
        assert "FINRL_RAY_TOLD" not in variables
        assert [worker(variables) for _ in range(2)] == ["yes True", "yes False"]
    # after its end nothing is imported, and nothing is left on the disk
    assert worker(variables) == "yes False"
    assert not Path(json.loads(variables[START_VARIABLE])["places"]).exists()


def test_a_module_that_cannot_be_imported_is_left_to_the_trial(monkeypatch) -> None:
    with worker_start.worker_start({}, "finrl_ray.not_there", 1) as variables:
        monkeypatch.setenv(START_VARIABLE, variables[START_VARIABLE])
        begin()


@pytest.mark.parametrize("places", [0, 1, 3])
def test_each_place_is_taken_once(places: int, tmp_path: Path) -> None:
    taken = [worker_start._has_place(tmp_path, places) for _ in range(5)]
    assert sum(taken) == places
    assert taken == sorted(taken, reverse=True)


def test_a_process_that_was_told_nothing_is_as_it_was(monkeypatch) -> None:
    monkeypatch.delenv(START_VARIABLE, raising=False)
    before = dict(os.environ)
    begin()
    assert dict(os.environ) == before
