"""`ray_session`: the one place that starts Ray, or joins a cluster, and leaves it again."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray

from finrl_ray.errors import ConfigError, SearchError


@contextmanager
def ray_session(
    worker_env: Mapping[str, str], *, address: str | None = None, num_cpus: int | None = None
) -> Iterator[None]:
    """Use the Ray that this process is connected to, or connect while the block runs.

    Parameters
    ----------
    worker_env : environment variables of the workers; a Ray that is connected to already keeps its
        own
    address : a cluster to join; None: the one that RAY_ADDRESS names, or else a Ray of our own on
        this machine
    num_cpus : CPUs of a Ray of our own; None: those of the machine

    Raises
    ------
    ConfigError
        If `num_cpus` is given for a cluster that is joined.
    SearchError
        If Ray cannot be started or reached.
    """
    if ray.is_initialized():
        yield
        return
    # failures are kept where they belong, in tables; Ray would print each traceback as well
    for name in ("ray", "ray.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        ray.init(
            **_connection(address, num_cpus),
            logging_level=logging.ERROR,
            log_to_driver=False,
            runtime_env={"env_vars": dict(worker_env)},
        )
    except (ConnectionError, OSError) as error:
        raise SearchError(f"Ray cannot be started or reached: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _connection(address: str | None, num_cpus: int | None) -> dict[str, Any]:
    address = address or os.environ.get("RAY_ADDRESS")
    if not address or address == "local":
        return {"address": "local", "num_cpus": num_cpus, "include_dashboard": False}
    if num_cpus is not None:
        raise ConfigError(
            f"num_cpus is for a Ray that is started here, but {address} is joined; use "
            "max_concurrent to run fewer trainings at once"
        )
    return {"address": address}
