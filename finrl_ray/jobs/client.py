"""The job server of a cluster: sending, following and stopping a job."""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import ray
import requests
from ray.job_submission import JobSubmissionClient

from finrl_ray.cluster.nodes import cluster_address, dashboard_of, present_token, token_refused
from finrl_ray.cluster.proxies import proxy_words, without_proxy
from finrl_ray.cluster.security import dashboard_exposure, host_of, is_loopback, token_mode_wanted
from finrl_ray.errors import SearchError
from finrl_ray.support.environment_variables import environment

logger = logging.getLogger(__name__)

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
ADDRESS_VARIABLE = "RAY_API_SERVER_ADDRESS"
_OTHER_VARIABLES = (ADDRESS_VARIABLE, "RAY_ADDRESS")
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
_POLL_S = 0.5
_PATIENCE_S = 120.0
_NOT_FOUND = 404
EXIT_STOPPED = 130

JOB_ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    # a stopped search writes down what it has, as after Ctrl-C; Ray alone would wait for 3 s
    "RAY_JOB_STOP_WAIT_TIME_S": "60",
}


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a job ended.

    Parameters
    ----------
    state : Ray's word: SUCCEEDED, FAILED or STOPPED
    exit_code : of the command; None if it was never run
    message : Ray's own words
    """

    state: str
    exit_code: int | None
    message: str


class JobServer:
    """A connection to the job server of a cluster.

    Parameters
    ----------
    address : the dashboard's URL, or `auto` or `host:port` of a head whose dashboard is looked up;
        None: RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265, where an SSH tunnel ends

    Raises
    ------
    SearchError
        If none answers there, or it refuses our token.
    """

    def __init__(self, address: str | None = None) -> None:
        self.url, self.direct = _dashboard_url(address)
        warning = dashboard_exposure(self.url) if self.url.startswith("http://") else None
        if warning:
            logger.warning(warning)
        present_token()
        try:
            with _without_other_addresses(), self._past_proxies():
                self._client = JobSubmissionClient(self.url)
        except (ConnectionError, requests.RequestException) as error:
            # a proxy's answer that is no Ray's is among these
            said = "" if isinstance(error, ConnectionError) else f" ({error})"
            raise SearchError(
                f"no Ray dashboard answers at {self.url}{self._asked()}{said}; open the tunnel to "
                "the cluster with `ray dashboard cluster.yaml`, or give --address"
            ) from error
        except (RuntimeError, KeyError, ray.exceptions.RayError) as error:
            text = str(error)
            if "401" in text or "403" in text or "oken" in text:
                refused = token_refused(self.url, token_mode_wanted())
                asked = f" (it was asked{self._asked()})" if self._asked() else ""
                raise SearchError(f"{refused}{asked}") from None
            raise SearchError(f"the job server at {self.url} refuses: {text}") from error

    def _past_proxies(self) -> contextlib.AbstractContextManager[None]:
        """Reach the server directly while the block runs, where no proxy lies between."""
        return without_proxy(self.url) if self.direct else contextlib.nullcontext()

    def _asked(self) -> str:
        return "" if self.direct else proxy_words(self.url)

    def submit(
        self,
        entrypoint: str,
        *,
        job_id: str | None = None,
        folder: Path | None = None,
        metadata: dict[str, str] | None = None,
    ) -> str:
        """Send a job with this very finrl_ray, and return its id.

        Parameters
        ----------
        entrypoint : a command for the cluster's shell
        job_id : its id; made by Ray if None
        folder : sent along, and the job's working folder
        metadata : kept with the job, readable by all who can list jobs
        """
        package = Path(__file__).parents[1]
        environment: dict[str, Any] = {
            "py_modules": [str(package)],
            "excludes": ["__pycache__"],
            "env_vars": JOB_ENVIRONMENT,
        }
        if folder is not None:
            environment["working_dir"] = str(folder)
        with self._plain_errors("the job could not be sent"):
            return str(
                self._client.submit_job(
                    entrypoint=entrypoint,
                    submission_id=job_id,
                    runtime_env=environment,
                    metadata=metadata,
                )
            )

    def ended(self, job_id: str) -> Ended | None:
        """Return how a job ended; None while it has not.

        Raises
        ------
        SearchError
            If the cluster knows no such job.
        """
        info = self._info(job_id)
        state = str(getattr(info.status, "value", info.status))
        if state not in _ENDED:
            return None
        return Ended(state=state, exit_code=info.driver_exit_code, message=info.message or "")

    def metadata(self, job_id: str) -> dict[str, str]:
        """Return what was kept with a job."""
        return dict(self._info(job_id).metadata or {})

    def node_of(self, job_id: str) -> str:
        """Return the id of the node that a job's command ran on."""
        return str(self._info(job_id).driver_node_id)

    def log(self, job_id: str) -> str:
        """Return all that a job has written."""
        with self._plain_errors(f"the log of {job_id} cannot be read"):
            return str(self._client.get_job_logs(job_id))

    def stop(self, job_id: str) -> None:
        """Ask a job to end, as Ctrl-C would."""
        with self._plain_errors(f"{job_id} cannot be stopped"):
            self._client.stop_job(job_id)

    def delete(self, job_id: str) -> None:
        """Take an ended job off the cluster's list."""
        with contextlib.suppress(RuntimeError, OSError), self._past_proxies():
            self._client.delete_job(job_id)

    def follow(self, job_id: str, write: Callable[[str], None]) -> Ended:
        """Write a job's log as it grows, until the job has ended.

        A connection that breaks is made again, for two minutes; nothing is written twice.

        Raises
        ------
        SearchError
            If the server does not come back, or knows no such job.
        """
        printed = _Printed(write)
        lost_at: float | None = None
        while True:
            before = printed.total
            try:
                self._read_on(job_id, printed)
                ended = self.ended(job_id)
                if ended is not None:
                    printed.from_the_start()
                    printed.take(self.log(job_id))
                    return ended
                lost_at = None
            except (OSError, aiohttp.ClientError, RuntimeError) as error:
                if isinstance(error, SearchError):
                    raise
                if getattr(error, "status", None) == _NOT_FOUND:
                    self._info(job_id)  # says so if there is no such job
                lost_at = time.monotonic() if lost_at is None or printed.total > before else lost_at
                if time.monotonic() - lost_at > _PATIENCE_S:
                    raise SearchError(
                        f"the connection to {self.url} is lost: {error}. The job goes on; follow "
                        f"it with `finrl-ray submit --follow {job_id}`"
                    ) from error
            time.sleep(_POLL_S)

    def _read_on(self, job_id: str, printed: "_Printed") -> None:
        if self._asked():  # Ray's stream of a log knows of no proxies
            printed.from_the_start()
            printed.take(self.log(job_id))
        else:
            asyncio.run(self._stream(job_id, printed))

    async def _stream(self, job_id: str, printed: "_Printed") -> None:
        printed.from_the_start()
        async for text in self._client.tail_job_logs(job_id):
            printed.take(text)

    def wait(self, job_id: str, timeout_s: float) -> Ended:
        """Return how a job ended, once it has.

        Raises
        ------
        SearchError
            If it has not within `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            ended = self.ended(job_id)
            if ended is not None:
                return ended
            time.sleep(_POLL_S)
        raise SearchError(f"{job_id} has not ended within {timeout_s:.0f} s")

    def _info(self, job_id: str) -> Any:
        with self._plain_errors(f"the cluster at {self.url} knows nothing of the job {job_id}"):
            return self._client.get_job_info(job_id)

    @contextlib.contextmanager
    def _plain_errors(self, what: str) -> Iterator[None]:
        try:
            with self._past_proxies():
                yield
        except ConnectionError:
            raise
        except (RuntimeError, ValueError) as error:
            raise SearchError(f"{what}: {_short(str(error))}") from error


class _Printed:
    """Writes a log that is read again from its start after each lost connection, each part once."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.write = write
        self.total = 0
        self.at = 0

    def from_the_start(self) -> None:
        """The next text is the log's first."""
        self.at = 0

    def take(self, text: str) -> None:
        """Write what of `text` has not been written yet."""
        fresh = text[max(0, self.total - self.at) :]
        self.at += len(text)
        if fresh:
            self.write(fresh)
            self.total = self.at


def _short(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1][:500] if lines else text


def _dashboard_url(address: str | None) -> tuple[str, bool]:
    """Return the dashboard's URL, and whether it is to be reached without a proxy."""
    address = address or os.environ.get(ADDRESS_VARIABLE) or DEFAULT_ADDRESS
    if address.startswith(("http://", "https://")):
        return address.rstrip("/"), is_loopback(host_of(address))
    joined = cluster_address(address)
    url = dashboard_of(joined) if joined else None
    if url is None:
        raise SearchError(
            f"a job is sent to a dashboard, such as {DEFAULT_ADDRESS}, but the Ray at {address} "
            "has none that answers; start its head with the dashboard"
        )
    return url, True  # Ray, which uses no proxy, has told its address


def _without_other_addresses() -> contextlib.AbstractContextManager[None]:
    """Hide the variables that win over the address given to Ray's client."""
    return environment(dict.fromkeys(_OTHER_VARIABLES))
