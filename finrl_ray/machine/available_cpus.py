"""The CPUs that this process may use, which may be fewer than the machine has."""

import os

from finrl_ray.machine.cgroups import cpu_quota


def available_cpus() -> int:
    """Return the whole CPUs that this process, and those it starts, may use; at least 1.

    The least of those of the machine, of the process's affinity (`taskset`, a batch system) and of
    the quotas of its cgroups (`docker run --cpus`, a Kubernetes limit), rounded down.
    """
    quota = cpu_quota()
    cpus = _affinity()
    return cpus if quota is None else max(1, min(cpus, int(quota)))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
