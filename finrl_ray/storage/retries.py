"""Requests to an object store, repeated while it does not answer."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from finrl_ray.files.disk_full import is_disk_full

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 15.0
# errors that no repetition helps against, in pyarrow's words for S3 and in Google's
_PERMANENT = (
    "ACCESS_DENIED",
    "NO_SUCH_BUCKET",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_CLIENT_TOKEN_ID",
    "SIGNATURE_DOES_NOT_MATCH",
    "UNRECOGNIZED_CLIENT",
    "MISSING_AUTHENTICATION_TOKEN",
    "HTTP status 403",
    "HTTP status 401",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
)
_T = TypeVar("_T")


def is_permanent(error: OSError) -> bool:
    """Return whether repeating a request cannot help."""
    if isinstance(error, FileNotFoundError | FileExistsError | PermissionError):
        return True
    return is_disk_full(error) or any(word in str(error) for word in _PERMANENT)


class Retries:
    """Repeats requests to a store, with growing pauses, while it does not answer.

    The time counts from the first request without an answer to the next answer, over all requests:
    the second one of an outage does not wait as long again.

    Parameters
    ----------
    name : of the store, for the log
    limit_s : seconds after which a request fails; 0: every request is made once
    """

    def __init__(self, name: str, limit_s: float) -> None:
        self.name = name
        self.limit_s = limit_s
        self.away_since: float | None = None
        self._lock = threading.Lock()

    def call(self, request: Callable[[], _T]) -> _T:
        """Return the answer to a request.

        Raises
        ------
        OSError
            The last one, when the time is over or a repetition cannot help.
        """
        pause = _FIRST_PAUSE_S
        while True:
            asked_at = time.monotonic()
            try:
                answer = request()
            except OSError as error:
                if is_permanent(error):
                    self._note_answer()
                    raise
                left = self._note_outage(asked_at, error) + self.limit_s - time.monotonic()
                if left <= 0:
                    raise
                time.sleep(min(pause, left))
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            else:
                self._note_answer()
                return answer

    def _note_outage(self, asked_at: float, error: OSError) -> float:
        """Return when the outage began."""
        with self._lock:
            since, self.away_since = (
                self.away_since,
                asked_at if self.away_since is None else self.away_since,
            )
        if since is None and self.limit_s > 0:
            text = "%s does not answer; asking again for up to %g s (%s)"
            logger.warning(text, self.name, self.limit_s, error)
        return asked_at if since is None else since

    def _note_answer(self) -> None:
        with self._lock:
            since, self.away_since = self.away_since, None
        if since is not None and self.limit_s > 0:
            away_s = time.monotonic() - since
            logger.warning("%s answers again, after %.0f s", self.name, away_s)
