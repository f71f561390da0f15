"""What the process that drives a search sets up around it: Ray, environment variables, signals.

Ray Tune is imported where it is used, because Ray is started before it (`early_ray.py`).
"""

import contextlib
import logging
import math
import os
import signal
import threading
from collections.abc import Iterator

import ray

from finrl_ray.cluster.nodes import cluster_address
from finrl_ray.cluster.session import Preload, ray_session, starts_workers_ahead
from finrl_ray.cluster.watchdog import is_own_ray
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.machine.available_cpus import available_cpus
from finrl_ray.search.run.trial_resources import require_local_capacity, starts_own_ray
from finrl_ray.support.environment_variables import environment
from finrl_ray.support.interruptions import forget, note
from finrl_ray.training.threads import thread_variables, threads_per_trial

logger = logging.getLogger(__name__)

# of each worker, besides its number of threads. A reused actor needs time to clean up after its
# last trial; with one malloc arena its memory does not grow over many trials; the last is Ray's own
WORKER_ENV = {
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",
    "MALLOC_ARENA_MAX": "1",
    "PL_DISABLE_FORK": "1",
}
TRIAL_MODULE = "finrl_ray.search.worker.trainable"
# of the driver: no output and no log files of Ray's own, and its snapshots, which are not read, at
# the end only
DRIVER_ENV = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # `TrialSource` limits how many trials wait
    "TUNE_MAX_PENDING_TRIALS_PG": "100000",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextlib.contextmanager
def search_session(
    config: ExperimentConfig, planned: int, address: str | None, dashboard: bool
) -> Iterator[None]:
    """Use a session of Ray in which a search of this config runs, as `start_session` makes it."""
    with start_session(config, planned, address, dashboard):
        from finrl_ray.cluster.tune_internals import without_worker_variables

        ahead = starts_workers_ahead()
        with without_worker_variables() if ahead else contextlib.nullcontext():
            yield


def start_session(
    config: ExperimentConfig, planned: int, address: str | None, dashboard: bool
) -> contextlib.AbstractContextManager[None]:
    """Return the session of Ray in which a search of this config runs.

    Parameters
    ----------
    config : of the search
    planned : number of its trials
    address, dashboard : as for `run_search`

    Raises
    ------
    ConfigError
        If a Ray of our own would have fewer CPUs or GPUs than one trial asks for.
    """
    if starts_own_ray(address):
        require_local_capacity(config)
    num_cpus, search = None, config.search
    most = search.max_concurrent_trials
    if most is not None and search.scheduler.pauses_trials:
        # trials come back from their pauses; only the number of CPUs keeps them from running
        if is_own_ray():
            pass  # it was started before for this search, with as many CPUs
        elif ray.is_initialized() or cluster_address(address) is not None:
            logger.warning(
                "search.max_concurrent_trials cannot be kept by scheduler %r on a Ray that is "
                "joined: as many trials run as there are CPUs for",
                config.search.scheduler.type,
            )
        else:
            wanted = math.ceil(most * search.cpus_per_trial)
            num_cpus = max(1, min(wanted, available_cpus()))
    cpus = num_cpus or available_cpus()
    at_once = min(planned, math.inf if most is None else most, cpus // search.cpus_per_trial)
    # Ray starts one process per CPU ahead; which of them get the trials is only known if all do
    preload = Preload(module=TRIAL_MODULE, processes=cpus if at_once >= cpus else 0)
    worker_env = {**WORKER_ENV, **thread_variables(threads_per_trial(config))}
    return ray_session(
        worker_env, address=address, num_cpus=num_cpus, dashboard=dashboard, preload=preload
    )


def ray_tunes_switches() -> contextlib.AbstractContextManager[None]:
    """Set Ray Tune's switches, as far as the user has not, while the block runs."""
    return environment({k: v for k, v in DRIVER_ENV.items() if k not in os.environ})


@contextlib.contextmanager
def driver_environment() -> Iterator[None]:
    """Set Ray Tune's switches and loop, and keep it from passing storage keys on to its workers.

    It would put them into the description of the workers' environment, which Ray logs. Workers have
    the environment of their node; on this machine that is ours.
    """
    from finrl_ray.cluster.tune_controller import search_controller
    from finrl_ray.cluster.tune_internals import VARIABLES_FOR_WORKERS

    forwarded = VARIABLES_FOR_WORKERS
    keys = {name for name in forwarded if name.startswith("AWS_")}
    forwarded -= keys
    try:
        with ray_tunes_switches(), search_controller():
            yield
    finally:
        forwarded |= keys


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end a search as Ctrl-C does, with a snapshot (Ray alone would take none)."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGUSR1"):
        yield
        return

    def as_interrupt(number: int, frame: object) -> None:
        note(number)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGTERM, as_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        forget()
