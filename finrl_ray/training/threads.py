"""How many threads a trial computes with, and whether the cores suffice for all trials at once."""

import contextlib
from collections.abc import Iterator

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no types

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.support.text import counted

_POOLS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def threads_per_trial(config: ExperimentConfig) -> int:
    """Return the threads of one trial: as given, else the whole CPUs that it reserves."""
    return config.search.threads


def thread_variables(threads: int) -> dict[str, str]:
    """Return the environment of a worker in which each library uses so many threads.

    Libraries read it when they are imported: it must be there before numpy and torch are.
    """
    return dict.fromkeys(_POOLS, str(threads))


@contextlib.contextmanager
def threads_of_a_trial(config: ExperimentConfig) -> Iterator[None]:
    """Compute in this process with a worker's number of threads while the block runs.

    Sums come out differently in their last digit with another number, and with them the networks.
    """
    # imported where it is used: the number of threads is asked for before torch is needed
    import torch as th

    threads, before = threads_per_trial(config), th.get_num_threads()
    th.set_num_threads(threads)
    try:
        with threadpool_limits(limits=threads):
            yield
    finally:
        th.set_num_threads(before)


def crowding(at_once: float, threads: int, cores: float) -> str:
    """Return in words that trials have more threads than there are cores; empty if they have not.

    Parameters
    ----------
    at_once : trials that run at once
    threads : of each trial
    cores : that they share
    """
    if at_once * threads <= cores:
        return ""
    fitting = max(1, int(cores // threads))
    trials, each, shared = (
        counted(float(count), noun)
        for count, noun in ((at_once, "trial"), (threads, "thread"), (cores, "core"))
    )
    return (
        f"{trials} with {each} each will run at once on {shared}, and slow each other down; set "
        f"search.max_concurrent_trials to {fitting}, or search.cpus_per_trial to the cores that "
        "one trial is to have"
    )
