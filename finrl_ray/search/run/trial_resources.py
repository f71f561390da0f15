"""What a trial asks Ray for, and whether any node can ever give it.

Ray lets a trial that fits on no node wait for ever and says nothing, because a cluster may grow. A
Ray that we start on one machine cannot grow, so there it is an error.
"""

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import ray

from finrl_ray.cluster.ray_internals import gpus_here
from finrl_ray.cluster.watchdog import is_own_ray
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.machine.available_cpus import available_cpus
from finrl_ray.support.text import counted

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resources:
    """CPUs and GPUs: of a trial, which may be fractions, or of a node.

    Parameters
    ----------
    cpus, gpus : their numbers
    """

    cpus: float
    gpus: float = 0.0

    def fit_on(self, node: "Resources") -> bool:
        """Return whether a node has as much."""
        return self.cpus <= node.cpus and self.gpus <= node.gpus

    def in_words(self, *, with_gpus: bool) -> str:
        """Return such as `2 CPUs`, or `2 CPUs and 0.5 GPUs`."""
        numbers = [(self.cpus, "CPU"), (self.gpus, "GPU")][: 2 if with_gpus else 1]
        return " and ".join(counted(float(n), kind) for n, kind in numbers)

    def __str__(self) -> str:
        return self.in_words(with_gpus=self.gpus > 0)


def of_one_trial(config: ExperimentConfig) -> Resources:
    """Return what each trial reserves."""
    return Resources(config.search.cpus_per_trial, config.search.gpus_per_trial)


def of_this_machine() -> Resources:
    """Return what a Ray of our own has to give."""
    return Resources(available_cpus(), found_gpus())


def found_gpus() -> int:
    """Return the GPUs that Ray finds on this machine and that this process may use."""
    return gpus_here()


def of_nodes() -> list[Resources]:
    """Return what each living node of the connected Ray has, whether it is in use or not."""
    found: list[dict[str, Any]] = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Resources(one.get("CPU", 0.0), one.get("GPU", 0.0)) for one in found]


def starts_own_ray(address: str | None) -> bool:
    """Return whether a search with `--address` so would start a Ray of its own, on this machine."""
    named = address or os.environ.get("RAY_ADDRESS")
    return not ray.is_initialized() and named in (None, "", "local")


def local_shortage(config: ExperimentConfig) -> str:
    """Return why no trial could start on this machine; empty if they can."""
    wanted, here = of_one_trial(config), of_this_machine()
    for kind, asked, found, have in (
        ("cpus", wanted.cpus, here.cpus, "the CPUs that this process may use"),
        ("gpus", wanted.gpus, here.gpus, "the GPUs that Ray finds on this machine"),
    ):
        if asked > found:
            return (
                f"search.{kind}_per_trial must be <= {found:g}, {have}, got {asked:g}: no trial "
                "could ever start; lower it, or join a cluster that has them (--address)"
            )
    return ""


def require_local_capacity(config: ExperimentConfig) -> None:
    """Check before a Ray of our own is started that it could run a trial.

    Raises
    ------
    ConfigError
        With what a trial asks for and what there is.
    """
    lack = local_shortage(config)
    if lack:
        raise ConfigError(lack)


def cluster_shortage(wanted: Resources, nodes: Iterable[Resources]) -> str:
    """Return in words that no node has what is wanted, with both numbers; empty if one has."""
    nodes = list(nodes)
    if any(wanted.fit_on(node) for node in nodes):
        return ""
    most = Resources(
        max((node.cpus for node in nodes), default=0.0),
        max((node.gpus for node in nodes), default=0.0),
    )
    if wanted.fit_on(most):  # one node has the CPUs, another the GPUs
        return f"one node must have {wanted}, but no node has both"
    largest = most.in_words(with_gpus=wanted.gpus > 0)
    return f"one node must have {wanted}, but the largest has {largest}"


def require_capacity(wanted: Resources, what: str) -> None:
    """Check that a node of the connected Ray can ever run what is wanted.

    On a cluster that is joined a warning says what is waited for.

    Parameters
    ----------
    wanted : by one trial
    what : its name, such as `a trial`

    Raises
    ------
    SearchError
        If the Ray is one of our own, which cannot grow.
    """
    lack = cluster_shortage(wanted, of_nodes())
    if not lack:
        return
    if is_own_ray():
        raise SearchError(
            f"{what} can never start: {lack}; ask for less (search.cpus_per_trial and "
            "search.gpus_per_trial), or join a cluster that has it"
        )
    logger.warning(
        "%s cannot start yet: %s; it waits until the cluster's autoscaler, or somebody, adds such "
        "a node",
        what,
        lack,
    )


def why_none_runs(config: ExperimentConfig) -> str:
    """Return what waiting trials wait for, where no trial is running; empty if it is not known."""
    if not ray.is_initialized():
        return ""
    wanted = of_one_trial(config)
    lack = cluster_shortage(wanted, of_nodes())
    if lack:
        return f"they wait for the autoscaler, or somebody, to add a node: {lack}"
    if is_own_ray():  # used by nobody else: they are about to start
        return ""
    free, total = (
        Resources(found.get("CPU", 0.0), found.get("GPU", 0.0))
        for found in (ray.available_resources(), ray.cluster_resources())
    )
    if wanted.fit_on(free):
        return ""
    with_gpus = wanted.gpus > 0
    return f"{free.in_words(with_gpus=with_gpus)} of {total.in_words(with_gpus=with_gpus)} free"
