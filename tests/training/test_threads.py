"""Threads of a trial: in its environment before any import, and counted against the cores."""

import dataclasses
import re

import pytest

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.training.threads import crowding, thread_variables, threads_per_trial


@pytest.mark.parametrize(("cpus", "threads"), [(0.25, 1), (1.0, 1), (1.5, 1), (2.0, 2), (3.9, 3)])
def test_a_trial_has_as_many_threads_as_whole_cpus(cpus: float, threads: int) -> None:
    search = dataclasses.replace(SearchConfig(), cpus_per_trial=cpus)
    assert threads_per_trial(dataclasses.replace(ExperimentConfig(), search=search)) == threads


def test_every_library_is_told() -> None:
    variables = thread_variables(2)
    assert {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"} < variables.keys()
    assert "NUMBA_NUM_THREADS" in variables
    assert set(variables.values()) == {"2"}


@pytest.mark.parametrize(("at_once", "threads", "cores"), [(2, 1, 2), (1, 2, 2), (3, 2, 8)])
def test_trials_that_have_their_cores_are_not_crowded(at_once, threads, cores) -> None:
    assert crowding(at_once, threads, cores) == ""


@pytest.mark.parametrize(
    ("at_once", "threads", "cores", "said", "remedy"),
    [
        (4, 1, 2, "4 trials with 1 thread each will run at once on 2 cores", "to 2"),
        (2, 1, 1, "2 trials with 1 thread each will run at once on 1 core,", "to 1"),
        (3, 4, 8, "3 trials with 4 threads each will run at once on 8 cores", "to 2"),
        (1, 4, 2, "1 trial with 4 threads each will run at once on 2 cores", "to 1"),
    ],
)
def test_crowded_trials_are_told_of_with_what_to_set(at_once, threads, cores, said, remedy) -> None:
    warning = crowding(at_once, threads, cores)
    assert said in warning
    assert re.search(rf"search.max_concurrent_trials {remedy}\b", warning)
