"""How long a search takes and how much memory, from a short measured training."""

import dataclasses
import math
import time
from dataclasses import dataclass, field

import psutil
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from finrl_ray.agents.algorithm_registry import entry_of
from finrl_ray.agents.algorithms import model_keywords
from finrl_ray.agents.hyperparameters import TrialSettings, resolve_sample
from finrl_ray.agents.rollout import evaluate_episodes
from finrl_ray.agents.state.training_state import learn_from
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.windows.split import Split
from finrl_ray.diagnostics.doctor.compute_checks import (
    TrialMemory,
    available_memory,
    concurrent_trials,
)
from finrl_ray.diagnostics.findings import FindingList
from finrl_ray.diagnostics.memory_estimate import memory_estimate
from finrl_ray.search.run.prepare import PreparedSearch
from finrl_ray.support.text import counted, estimated_time, readable_bytes
from finrl_ray.training.agent import make_trial_envs
from finrl_ray.training.build_model import build_model, device_of
from finrl_ray.training.threads import threads_of_a_trial

MEASURED_S = 2.0
"""Seconds of training that are measured, after a warm-up."""
_LONGEST_ROLLOUT = 4096
_MOST_BUFFER = 20_000
_WARM_UPDATES = 32
_RANDOM_STEPS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What a short training of the agent as configured took.

    Parameters
    ----------
    timesteps : that were measured
    seconds : of these
    evaluation_s : of one evaluation
    process_bytes : of this process with the model in training
    buffer_bytes : of that model's buffers and networks
    """

    timesteps: int
    seconds: float
    evaluation_s: float
    process_bytes: int
    buffer_bytes: int


def measure_training(
    config: ExperimentConfig, market_data: MarketData, split: Split, measured_s: float = MEASURED_S
) -> Measured:
    """Train the agent as configured for a moment, with a trial's learner and threads.

    Off-policy, the random steps before learning are cut short and the buffer is small: what takes
    time is what comes after them. On-policy, a rollout is cut to 4,096 timesteps.
    """
    config = _cut_short(config)
    settings = resolve_sample({}, config.agent)
    train_data, validation_data = split.train.cut(market_data), split.validation.cut(market_data)
    with threads_of_a_trial(config):
        env, eval_env = make_trial_envs(config, settings, config.seed, train_data, validation_data)
        model = build_model(config, settings, env, config.seed, device=device_of(config))
        watch = _Watch(measured_s=measured_s)
        total = max(config.agent.total_timesteps, 100 * _LONGEST_ROLLOUT)
        learn_from(model, total, None, watch.go_on)
        evaluate_episodes(model, eval_env, 1, True, seed=0)
        started = time.perf_counter()
        evaluate_episodes(model, eval_env, 1, True, seed=0)
        evaluation_s = time.perf_counter() - started
        rss = int(psutil.Process().memory_info().rss)
        env.close()
        eval_env.close()
    return Measured(
        timesteps=model.num_timesteps - watch.first,
        seconds=watch.seconds,
        evaluation_s=evaluation_s,
        process_bytes=rss,
        buffer_bytes=_buffer_bytes(config, settings, market_data),
    )


@dataclass
class _Watch:
    """Lets a training warm up, then run for a while; called at each safe point."""

    measured_s: float
    first: int = field(init=False, default=-1)
    seconds: float = field(init=False, default=0.0)
    _calls: int = field(init=False, default=0)
    _started: float = field(init=False, default=0.0)

    def go_on(self, model: BaseAlgorithm) -> bool:
        now = time.perf_counter()
        if self.first >= 0:
            self.seconds = now - self._started
            return self.seconds < self.measured_s
        learns = True
        if isinstance(model, OffPolicyAlgorithm):
            learns = model.num_timesteps > model.learning_starts
        self._calls += int(learns and model.num_timesteps > 0)
        # the first updates compile; on-policy one of them is a whole rollout
        if self._calls > (_WARM_UPDATES if isinstance(model, OffPolicyAlgorithm) else 0):
            self.first, self._started = int(model.num_timesteps), now
        return True


def _cut_short(config: ExperimentConfig) -> ExperimentConfig:
    agent, known = config.agent, model_keywords(config.agent.algorithm)
    kwargs = {**entry_of(agent.algorithm).defaults, **agent.model_kwargs}
    short = dict(agent.model_kwargs)
    if "learning_starts" in known:
        short["learning_starts"] = min(int(kwargs.get("learning_starts", 100)), _RANDOM_STEPS)
        short["buffer_size"] = min(int(kwargs.get("buffer_size", 1_000_000)), _MOST_BUFFER)
    if "n_steps" in known and "n_steps" in kwargs:
        longest = max(2, _LONGEST_ROLLOUT // agent.n_envs)
        short["n_steps"] = min(int(kwargs["n_steps"]), longest)
    return dataclasses.replace(config, agent=dataclasses.replace(agent, model_kwargs=short))


def _buffer_bytes(
    config: ExperimentConfig, settings: TrialSettings, market_data: MarketData
) -> int:
    n_assets, n_features = market_data.n_assets, len(market_data.feature_names)
    return memory_estimate(
        config.agent.algorithm,
        settings.model_kwargs,
        (1 + n_assets * (2 + n_features)) * config.agent.n_stack,
        n_assets,
        settings.n_envs,
        shares_market=config.agent.n_stack == 1,
    )


def check_duration(
    config: ExperimentConfig,
    prepared: PreparedSearch,
    measured: Measured,
    largest: TrialMemory,
    findings: FindingList,
) -> None:
    """Say how long the search takes and how much memory, and what that rests on.

    Parameters
    ----------
    config, prepared : the experiment, and what its search would run
    measured : a short training of the agent as configured
    largest : the memory of the largest trial, by the config alone
    findings : what is said is added
    """
    at_once = concurrent_trials(config, prepared.space)
    trainings = 1 if prepared.plan is None else len(prepared.plan.folds)
    steps, per_second = config.agent.total_timesteps, measured.timesteps / measured.seconds
    evaluations = 1 if prepared.plan else -(-steps // config.evaluation.eval_freq)
    per_trial = trainings * (steps / per_second + evaluations * measured.evaluation_s)
    rounds = math.ceil(prepared.planned / at_once)
    whole = rounds * per_trial
    budget = config.search.time_budget_s
    cut = budget is not None and whole > budget
    total = min(whole, budget) if budget is not None else whole
    early = config.search.scheduler.type != "fifo" or config.evaluation.max_no_improvement_evals
    folds = f" on each of {trainings} folds" if trainings > 1 else ""
    findings.ok(
        "time",
        f"{_bound(early, total)}{estimated_time(total)} on this machine"
        f"{' (search.time_budget_s)' if cut else ''}: {counted(prepared.planned, 'trial')} of "
        f"{estimated_time(per_trial)}, {at_once} at once. Measured were "
        f"{measured.timesteps:,} timesteps in {measured.seconds:.1f} s ({per_second:,.0f} per "
        f"second) and an evaluation of {1000 * measured.evaluation_s:,.0f} ms, with the agent as "
        f"configured, alone and after a warm-up; counted are {steps:,} timesteps and "
        f"{counted(evaluations, 'evaluation')} a training{folds}. Sampled values "
        "and trials beside each other change the pace; the start of Ray and checkpoints come on "
        "top",
    )
    _check_memory(measured, largest, at_once, findings)


def _check_memory(
    measured: Measured, largest: TrialMemory, at_once: int, findings: FindingList
) -> None:
    per_trial = measured.process_bytes - measured.buffer_bytes + largest.buffer_bytes
    total = at_once * per_trial + measured.process_bytes
    available = available_memory() + measured.process_bytes
    words = (
        f"about {readable_bytes(total)} from the measured training: {at_once} x "
        f"{readable_bytes(per_trial)} for trials ({readable_bytes(measured.process_bytes)} was the "
        f"whole process, buffers and networks grow to {readable_bytes(largest.buffer_bytes)}) and "
        f"one process that leads them; {readable_bytes(available)} are available, Ray's own "
        "processes need some"
    )
    if total > available:
        findings.warning("memory", words, "lower search.max_concurrent_trials")
    else:
        findings.ok("memory", words)


def _bound(early: int | None, seconds: float) -> str:
    """Return `at most about `, or what of it fits before a time in words."""
    return f"{'at most ' if early else ''}about " if seconds >= 1 else ""
