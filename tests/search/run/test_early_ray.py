"""A Ray that starts in a thread while the search is prepared."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.errors import SearchError
from finrl_ray.search.run import early_ray as module
from finrl_ray.search.run.early_ray import EarlyRay, early_ray


def test_it_is_left_where_it_was_entered_and_its_thread_lives_meanwhile() -> None:
    seen: list[tuple[str, threading.Thread]] = []

    @contextlib.contextmanager
    def session() -> Iterator[None]:
        seen.append(("entered", threading.current_thread()))
        yield
        seen.append(("left", threading.current_thread()))

    early = EarlyRay(session())
    early.wait()
    ((_, thread),) = seen
    # the kernel ends what a thread has started when it ends
    assert thread is not threading.current_thread()
    assert thread.is_alive()
    early.leave()
    assert seen == [("entered", thread), ("left", thread)]


def test_a_start_that_fails_says_so_where_ray_is_needed() -> None:
    @contextlib.contextmanager
    def session() -> Iterator[None]:
        raise SearchError("Ray cannot be started: no room")
        yield

    early = EarlyRay(session())
    with pytest.raises(SearchError, match="no room"):
        early.wait()
    early.leave()


@pytest.mark.parametrize("why", ["joined", "too few CPUs", "TMPDIR"])
def test_nothing_starts_early_where_it_may_not(why: str, monkeypatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(module, "start_session", lambda *_: pytest.fail("it was started"))
    monkeypatch.setattr(module, "starts_own_ray", lambda address: why != "joined")
    monkeypatch.setattr(module, "local_shortage", lambda config: "x" * (why == "too few CPUs"))
    monkeypatch.setattr(
        module, "short_tmpdir", lambda: {"TMPDIR": "/tmp"} if why == "TMPDIR" else {}
    )
    with early_ray(ExperimentConfig(), None, dashboard=False) as early:
        assert early is None


def test_it_starts_before_what_takes_seconds_to_import() -> None:
    heavy = ("torch", "stable_baselines3", "ray.tune", "pandas", "pyarrow", "numba", "gymnasium")
    code = (
        "import sys, finrl_ray.search.run.early_ray\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
