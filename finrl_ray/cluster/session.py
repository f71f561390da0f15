"""`ray_session`: the one place that starts Ray, or joins a cluster, and leaves it again."""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import ray

from finrl_ray._version import __version__
from finrl_ray.cluster.nodes import (
    cluster_address,
    current_dashboard,
    join_error,
    present_token,
    require_reachable,
    require_workers,
)
from finrl_ray.cluster.own_ray import LOOPBACK, loopback_stays, own_ray
from finrl_ray.cluster.ray_internals import read_token_again, without_log_monitor
from finrl_ray.cluster.security import (
    dashboard_exposure,
    ensure_token_file,
    exposure,
    token_mode_wanted,
)
from finrl_ray.cluster.watchdog import lost_process
from finrl_ray.cluster.worker_start import worker_start
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.files.disk_full import DiskFullError, free_bytes, free_space_in_words
from finrl_ray.machine.available_cpus import available_cpus
from finrl_ray.support.environment_variables import environment
from finrl_ray.support.interruptions import ONE_SIGNAL_S, interrupted, leave_at_once

logger = logging.getLogger(__name__)

_SHUTDOWN_S = 5.0
_FAILURES = (ConnectionError, OSError, RuntimeError, ray.exceptions.RayError)
RAY_BYTES = 16 * 10**6
"""Bytes that the logs of a short session take, with a margin."""


@dataclass(frozen=True, kw_only=True)
class Preload:
    """What workers of a Ray of our own import before a task asks for it.

    Parameters
    ----------
    module : name of the module
    processes : how many workers
    """

    module: str = ""
    processes: int = 0


NOTHING = Preload()
_ahead = threading.Event()


@contextmanager
def ray_session(
    worker_env: Mapping[str, str],
    *,
    address: str | None = None,
    num_cpus: int | None = None,
    dashboard: bool = False,
    preload: Preload = NOTHING,
) -> Iterator[None]:
    """Use the Ray that this process is connected to, or connect while the block runs.

    Parameters
    ----------
    worker_env : environment variables of the workers; a Ray that is connected to already keeps its
        own
    address : a cluster to join (`auto` or `host:port`); None: the one that RAY_ADDRESS names, or
        else a Ray of our own on this machine
    num_cpus : CPUs of a Ray of our own; None: those that this process may
        use
    dashboard : start the dashboard of a Ray of our own, on loopback alone
    preload : what workers of a Ray of our own import ahead

    Raises
    ------
    ConfigError
        If `num_cpus` is given for a cluster that is joined, or a search cannot run under `address`.
    SearchError
        If Ray cannot be started or reached, or a node of the cluster lacks finrl_ray.
    """
    if ray.is_initialized():
        yield
        return
    # failures are kept where they belong, in tables; Ray would print each traceback as well
    for name in ("ray", "ray.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    joined = cluster_address(address)
    if joined is None:
        with _started(num_cpus, dashboard, worker_env, preload):
            yield
    else:
        if num_cpus is not None:
            raise ConfigError(
                f"num_cpus is for a Ray that is started here, but {joined} is joined; use "
                "max_concurrent to run fewer trainings at once"
            )
        with _joined(joined, worker_env):
            yield


@contextmanager
def _started(
    num_cpus: int | None, dashboard: bool, worker_env: Mapping[str, str], preload: Preload
) -> Iterator[None]:
    with own_ray() as own:
        # workers begin with Ray's own environment, and so with its temporary folder; where the
        # user's is another one, it is part of what each task asks for
        ahead = not own.worker_env
        begin: AbstractContextManager[dict[str, str]] = nullcontext({})
        if ahead:
            begin = worker_start(worker_env, preload.module, preload.processes)
        with begin as variables:
            try:
                given = environment({**own.variables, **variables})
                with loopback_stays(), without_log_monitor(), given:
                    connection = {**_own_ray(num_cpus, dashboard), **own.options}
                    require_room_for_ray(own.options["_temp_dir"])
                    asked = {} if ahead else {**own.worker_env, **worker_env}
                    _init(connection, asked, "here")
                if ahead:
                    _ahead.set()
                yield
            finally:
                _ahead.clear()
                _shut_down()


def starts_workers_ahead() -> bool:
    """Return whether workers of the connected Ray have their environment as they are started.

    A task or an actor that asks for no environment of its own then need not wait for a new process.
    """
    return _ahead.is_set()


def _shut_down() -> None:
    """Leave Ray; one that is lost is not waited for.

    Its client asks the lost one for a minute, and then ends this process without a word.
    """
    if not lost_process():
        ray.shutdown()
        return
    leave_at_once()
    leaving = threading.Thread(target=ray.shutdown, name="ray-shutdown", daemon=True)
    leaving.start()
    leaving.join(_SHUTDOWN_S)


@contextmanager
def _joined(address: str, worker_env: Mapping[str, str]) -> Iterator[None]:
    with loopback_stays(address):
        _join(address, worker_env)
    try:
        require_workers(__version__)
        _warn_of_an_open_dashboard()
        yield
    finally:
        ray.shutdown()


def _own_ray(num_cpus: int | None, dashboard: bool) -> dict[str, Any]:
    ensure_token_file()
    read_token_again()
    return {
        "address": "local",
        "num_cpus": num_cpus or available_cpus(),
        "include_dashboard": dashboard,
        "dashboard_host": LOOPBACK,
    }


def _join(address: str, worker_env: Mapping[str, str]) -> None:
    warning = exposure(address, with_token=token_mode_wanted())
    if warning:
        logger.warning(warning)
    require_reachable(address)
    present_token()
    _init({"address": address}, worker_env, address)


def require_room_for_ray(folder: str) -> None:
    """Refuse to start Ray on a full disk: without its logs it would fail in ways hard to read.

    Raises
    ------
    DiskFullError
        With the folder and the room in it.
    """
    room = free_bytes(folder)
    if room is not None and room < RAY_BYTES:
        raise DiskFullError(
            f"Ray cannot be started: its temporary folder needs {RAY_BYTES // 10**6} MB for logs, "
            f"and {free_space_in_words(folder)}. Make room there, or name another folder in "
            "RAY_TMPDIR"
        )


def _init(connection: Mapping[str, Any], worker_env: Mapping[str, str], where: str) -> None:
    try:
        ray.init(
            **connection,
            logging_level=logging.ERROR,
            log_to_driver=False,
            runtime_env={"env_vars": dict(worker_env)} if worker_env else None,
        )
    except Exception as error:
        # for a node or a dashboard that starts too slowly Ray raises Exception itself
        if type(error) is not Exception and not isinstance(error, _FAILURES):
            raise
        if interrupted(ONE_SIGNAL_S):  # and Ray with it: the signal came to the whole group
            raise KeyboardInterrupt from error
        if where == "here":
            raise SearchError(f"Ray cannot be started: {str(error).strip()}") from error
        raise SearchError(join_error(where, error)) from error


def _warn_of_an_open_dashboard() -> None:
    url = current_dashboard()
    warning = dashboard_exposure(url) if url else None
    if warning:
        logger.warning(warning)
