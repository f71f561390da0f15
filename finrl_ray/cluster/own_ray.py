"""How a Ray of our own is started: on loopback alone, in a short folder, with a guard process."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from finrl_ray.cluster.process_guard import guarded
from finrl_ray.cluster.ray_internals import (
    CLUSTERS_VARIABLE,
    loopback_as_it_is,
    options_of_own_ray,
)
from finrl_ray.cluster.security import host_of, is_loopback
from finrl_ray.cluster.temp_folder import ray_folder, short_tmpdir

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class OwnRay:
    """How a Ray of our own is started.

    Parameters
    ----------
    options : arguments of `ray.init`
    variables : the environment that `ray.init` must be called with
    worker_env : what its workers must have otherwise
    """

    options: Mapping[str, Any]
    variables: Mapping[str, str]
    worker_env: Mapping[str, str]


@contextmanager
def own_ray() -> Iterator[OwnRay]:
    """Prepare a Ray of our own, and end what is left of it once the block or the process ends.

    Raises
    ------
    ConfigError
        If there is no folder for Ray's files.
    """
    options = options_of_own_ray(LOOPBACK, str(ray_folder()))
    short = short_tmpdir()
    # what a trial writes for a while goes where the user wants it
    worker_env = {name: os.environ[name] for name in short}
    with guarded() as variables:
        # the last is for what Ray's processes start in turn, such as the drivers of jobs
        clusters = {CLUSTERS_VARIABLE: "0"}
        yield OwnRay(options, {**variables, **short, **clusters}, worker_env)


@contextmanager
def loopback_stays(address: str = LOOPBACK) -> Iterator[None]:
    """Let Ray take a loopback address as it is while the block runs.

    On Linux it replaces it by that of a network card, so that other machines can join, and listens
    on every address; on macOS and Windows, where it supports no clusters, it does not. An address
    that is not of loopback is not concerned.
    """
    if not is_loopback(host_of(address)):
        yield
        return
    with loopback_as_it_is():
        yield
