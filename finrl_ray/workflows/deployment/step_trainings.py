"""The trainings of a chain: one after the other here, or side by side on Ray."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import SearchError
from finrl_ray.own_code.code_files import CodeFiles
from finrl_ray.search.folder.own_code import run_code
from finrl_ray.support.progress import Progress
from finrl_ray.training.threads import thread_variables, threads_per_trial
from finrl_ray.workflows.deployment.chain import read_files
from finrl_ray.workflows.deployment.planned import AgentPlan, train_planned
from finrl_ray.workflows.deployment.steps import Step

RETRIES_OF_LOST_TASKS = 2
"""A training whose worker or node is lost is run again, with the same result."""
# with one malloc arena a worker's memory stays flat over many trainings
_WORKER_ENV = {"MALLOC_ARENA_MAX": "1"}


@dataclass(frozen=True, kw_only=True, eq=False)
class StepTraining:
    """The model of one step.

    Parameters
    ----------
    model : path of its zip file, or of its ensemble's folder, within `files`
    files : content by path
    timesteps : of each training
    """

    model: str
    files: Mapping[str, bytes]
    timesteps: tuple[int, ...]


def train_step(
    market: MarketData, plan: AgentPlan, step: Step, code: CodeFiles | None = None
) -> StepTraining:
    """Train the agent of one step; the same here and on a worker.

    Parameters
    ----------
    market : rows up to the last that is trained on, or more
    plan : of the agent
    step : its rows
    code : the user's own, where it does not run in this process yet
    """
    if code is not None:
        run_code(plan.config, code)
    with tempfile.TemporaryDirectory() as scratch:
        agent = train_planned(plan, market.rows(*step.train), Path(scratch))
        folder = agent.model if agent.model.is_dir() else agent.model.parent
        return StepTraining(
            model=agent.model.relative_to(folder.parent).as_posix(),
            files=read_files(agent.model),
            timesteps=tuple(one.timesteps for one in agent.trainings),
        )


def train_here(
    market: MarketData, plan: AgentPlan, steps: Sequence[Step], progress: Progress
) -> list[StepTraining]:
    """Train one step after the other in this process."""
    done = []
    for number, step in enumerate(steps):
        progress(f"training agent {step.number} of {len(steps)}", number, len(steps))
        done.append(train_step(market, plan, step))
    progress("trained", len(steps), len(steps))
    return done


def train_on_ray(
    market: MarketData,
    plan: AgentPlan,
    steps: Sequence[Step],
    progress: Progress,
    *,
    code: CodeFiles,
    address: str | None = None,
) -> list[StepTraining]:
    """Train the steps side by side, each a task with the CPUs and GPUs of a trial.

    Parameters
    ----------
    market, plan, steps : see `train_step`
    progress : told of each that has ended
    code : the user's own, which runs on every worker
    address : as in `finrl_ray.cluster.session.ray_session`

    Raises
    ------
    SearchError
        If Ray cannot be started or reached, could never run a training, or a training failed.
    """
    # seconds, which a chain that is trained here does without
    import ray

    with _session(plan, address):
        search = plan.config.search
        run: Any = ray.remote(
            num_cpus=search.cpus_per_trial,
            num_gpus=search.gpus_per_trial,
            max_retries=RETRIES_OF_LOST_TASKS,
        )(train_step)
        rows, own = ray.put(market), ray.put(code)
        waiting = {run.remote(rows, plan, step, own): step for step in steps}
        done: dict[int, StepTraining] = {}
        try:
            while waiting:
                progress(f"training {len(steps)} agents", len(done), len(steps))
                (ready, *_), _ = ray.wait(list(waiting), num_returns=1)
                step = waiting.pop(ready)
                done[step.number] = _result(ready, step)
        finally:
            for reference in waiting:
                ray.cancel(reference, force=True)
    progress("trained", len(steps), len(steps))
    return [done[step.number] for step in steps]


@contextmanager
def _session(plan: AgentPlan, address: str | None) -> Iterator[None]:
    from finrl_ray.cluster.session import ray_session
    from finrl_ray.search.run.trial_resources import Resources, require_capacity

    worker_env = {**_WORKER_ENV, **thread_variables(threads_per_trial(plan.config))}
    with ray_session(worker_env, address=address):
        search = plan.config.search
        wanted = Resources(search.cpus_per_trial, search.gpus_per_trial)
        require_capacity(wanted, "a training of the chain")
        yield


def _result(reference: Any, step: Step) -> StepTraining:
    import ray

    try:
        training: StepTraining = ray.get(reference)
        return training
    except ray.exceptions.RayTaskError as error:
        cause = str(error.cause or error).strip().splitlines()[-1]
        failed = f"the training of agent {step.number} of the chain failed: {cause}"
        raise SearchError(failed) from error
    except ray.exceptions.RayError as error:
        raise SearchError(
            f"the training of agent {step.number} of the chain was lost: {type(error).__name__}: "
            f"{error}"
        ) from error
