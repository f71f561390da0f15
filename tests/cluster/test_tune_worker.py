"""Results that travel together: which ones, in what order, and when none is waited for."""

import math
import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest
from ray.tune.result import RESULT_DUPLICATE

from finrl_ray.cluster import tune_worker
from finrl_ray.cluster.tune_worker import AGE_S, ReportingTogether

LONG_S = 600.0


class Session:
    """What Ray's session does: the function waits in its report until the next result is asked."""

    def __init__(self, function: Callable[["Session"], None]) -> None:
        self.continue_lock = threading.Semaphore(0)
        self.result_queue: queue.Queue[dict[str, Any]] = queue.Queue(1)
        self._first_report = True
        self.gone_on = 0
        self._thread = threading.Thread(target=self._run, args=(function,), daemon=True)
        self._thread.start()

    def _run(self, function: Callable[["Session"], None]) -> None:
        function(self)
        self.report({RESULT_DUPLICATE: True})

    def report(self, result: dict[str, Any]) -> None:
        self.result_queue.put(result)
        self.continue_lock.acquire()
        self.gone_on += 1

    def get_next(self) -> dict[str, Any]:
        if not self._first_report:
            self.continue_lock.release()
        self._first_report = False
        return self.result_queue.get()


class Actor(ReportingTogether):
    def __init__(self, session: Session) -> None:
        self.session = session

    def train(self) -> dict[str, Any]:
        return self.session.get_next()


@pytest.fixture
def actor(monkeypatch) -> Callable[..., Actor]:
    def made(function: Callable[[Session], None], together_s: float = LONG_S) -> Actor:
        session = Session(function)
        monkeypatch.setattr(tune_worker, "get_session", lambda: session)
        monkeypatch.setattr(tune_worker, "TOGETHER_S", together_s)
        return Actor(session)

    return made


def reports(count: int) -> Callable[[Session], None]:
    def function(session: Session) -> None:
        for k in range(1, count + 1):
            session.report({"timesteps": 10 * k})

    return function


def steps(results: list[dict[str, Any]]) -> list[Any]:
    return [result.get("timesteps", "end") for result in results]


def test_results_up_to_the_one_that_needs_an_answer_travel_together(actor) -> None:
    made = actor(reports(4))
    first = made.train_together("timesteps", 30)
    assert steps(first) == [10, 20, 30]
    assert made.session.gone_on == 2  # it waits for the answer to the third
    assert [AGE_S in result for result in first] == [True, True, False]
    assert all(result[AGE_S] >= 0 for result in first[:2])
    assert steps(made.train_together("timesteps", math.inf)) == [40, "end"]


def test_a_result_without_the_schedulers_time_needs_no_answer(actor) -> None:
    made = actor(reports(2))
    assert steps(made.train_together("paths", 1)) == [10, 20, "end"]


def test_a_result_that_took_long_is_sent_at_once(actor) -> None:
    made = actor(reports(2), together_s=-1.0)
    assert [steps(made.train_together("timesteps", math.inf)) for _ in range(3)] == [
        [10],
        [20],
        ["end"],
    ]


def test_a_function_that_does_not_report_soon_goes_on_once(actor) -> None:
    ready = threading.Event()

    def function(session: Session) -> None:
        session.report({"timesteps": 10})
        ready.wait()
        session.report({"timesteps": 20})
        session.report({"timesteps": 30})

    made = actor(function, together_s=0.05)
    assert steps(made.train_together("timesteps", math.inf)) == [10]
    ready.set()
    assert steps(made.train_together("timesteps", 20)) == [20]
    assert made.session.gone_on == 1  # the answer to the second has not been given
