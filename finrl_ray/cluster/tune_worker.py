"""Ray Tune's actor for a function, which sends several results in one message.

Tried with Ray 2.60.0. Ray's own buffer (`TUNE_RESULT_BUFFER_LENGTH`) ends at every result with a
checkpoint, and waits for the next result however long that takes.
"""

import math
import time
from collections.abc import Callable
from typing import Any

from ray.train._internal.session import get_session
from ray.tune.result import DONE, RESULT_DUPLICATE
from ray.tune.trainable import wrap_function
from ray.tune.trainable.function_trainable import FunctionTrainable

AGE_S = "sys/age_s"
"""Key of how long ago a result was reported when it was sent, s; of those that waited alone."""
TOGETHER_S = 1.0
"""Seconds that a result waits for those after it; one that took longer to come is sent at once."""


class ReportingTogether(FunctionTrainable):
    """Ray's actor for a function, whose results travel together as far as no answer is needed."""

    def train_together(self, time_attr: str, asks_from: float) -> list[dict[str, Any]]:
        """Let the function run until a result needs an answer, or has waited long enough.

        The function goes on after a result that needs none. It waits in its report as ever where
        one does, so that it has done nothing that a stop would have to undo.

        Parameters
        ----------
        time_attr : key of a result in which the scheduler counts time
        asks_from : time from which on the scheduler decides on a result

        Returns
        -------
        list of dict
            At least one result, in order.
        """
        results: list[dict[str, Any]] = []
        arrived: list[float] = []
        began = time.monotonic()
        while True:
            results.append(self.train())  # type: ignore[no-untyped-call]  # Ray's
            arrived.append(time.monotonic())
            took = arrived[-1] - (arrived[-2] if len(arrived) > 1 else began)
            latest = results[-1]
            if latest.get(DONE) or RESULT_DUPLICATE in latest:
                break
            if latest.get(time_attr, -math.inf) >= asks_from or took > TOGETHER_S:
                break
            if not self._comes_within(arrived[0] + TOGETHER_S - arrived[-1]):
                break
        now = time.monotonic()
        for result, at in zip(results[:-1], arrived, strict=False):
            result[AGE_S] = now - at
        return results

    def _comes_within(self, wait_s: float) -> bool:
        """Let the function go on, and return whether it reports again within so many seconds."""
        session = get_session()
        assert session is not None
        session.continue_lock.release()
        # what lets `get_next` wait without letting the function go on a second time
        session._first_report = True
        waiting = session.result_queue
        with waiting.not_empty:
            return bool(waiting.not_empty.wait_for(waiting._qsize, max(0.0, wait_s)))


def reporting_together(function: Callable[..., Any]) -> type[FunctionTrainable]:
    """Return the class of actors that run a function; what it reports may travel together."""
    wrapped: type[FunctionTrainable] = wrap_function(function)
    return type(wrapped.__name__, (ReportingTogether, wrapped), {})
