"""`diagnose_config`: every problem of an experiment, found before its search starts."""

import contextlib
import dataclasses
import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.agents.algorithms import model_keywords
from finrl_ray.agents.hyperparameters import resolve_sample
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.windows.split import Split
from finrl_ray.diagnostics.doctor.agent_checks import check_agent, check_experiment
from finrl_ray.diagnostics.doctor.compute_checks import check_compute, fits
from finrl_ray.diagnostics.doctor.config_salvage import read_as_far_as_possible
from finrl_ray.diagnostics.doctor.data_checks import check_data, check_windows
from finrl_ray.diagnostics.doctor.search_estimate import check_duration, measure_training
from finrl_ray.diagnostics.findings import Finding, FindingList, FindingsReport
from finrl_ray.diagnostics.learning.diagnose import diagnose_learning
from finrl_ray.diagnostics.learning.episodes import random_policy
from finrl_ray.diagnostics.learning.sentences import policy_sentences
from finrl_ray.diagnostics.setup.validate import TRAINING_ERRORS, inspect_training_setup
from finrl_ray.errors import ConfigError, FinRLRayError
from finrl_ray.machine.available_cpus import available_cpus
from finrl_ray.own_code.code_files import CodeFiles
from finrl_ray.search.folder.own_code import code_of, run_code
from finrl_ray.search.run.prepare import PreparedSearch, prepare_search
from finrl_ray.support.text import counted
from finrl_ray.training.agent import make_trial_envs
from finrl_ray.training.build_model import build_model
from finrl_ray.training.threads import threads_of_a_trial, threads_per_trial

logger = logging.getLogger(__name__)

TEST_STEPS = 256
"""Timesteps of the trial training."""
_SMALL_BUFFER = 10_000
_SETTLING_STEPS = 200


def diagnose_config(
    config: str | Path | ExperimentConfig,
    overrides: Sequence[str] = (),
    *,
    base_dir: Path | None = None,
    n_test_steps: int = TEST_STEPS,
    measure: bool = True,
    listener: Callable[[Finding], None] | None = None,
) -> FindingsReport:
    """Look through an experiment and report every problem, not only the first.

    In this order: the keys of the file, the agent's keywords and the search space, every cell of
    the data, the windows, memory and cores, everything that a search checks, and, where these leave
    something to run, a trial training of the agent, a look at what it does before training, and a
    measured training, from which the time and the memory of the search are estimated.
    Nothing is written, and no trial of the experiment is run; of the test window only the
    presence of values and jumps that look like splits are looked at.

    Parameters
    ----------
    config : a YAML file, or an ExperimentConfig
    overrides : `dotted.key=value` strings, for a file
    base_dir : folder that a relative `data.source`, and own code, are looked up from; None: that of
        the file
    n_test_steps : timesteps of the trial training
    measure : train for some seconds to estimate the search
    listener : called with each finding as it is found

    Returns
    -------
    FindingsReport
        The findings, in the order of the experiment.
    """
    findings = FindingList(listener)
    if isinstance(config, ExperimentConfig):
        loaded: ExperimentConfig | None = config
        folder = base_dir or Path()
    else:
        path = Path(config)
        folder = path.parent if base_dir is None else base_dir
        loaded = read_as_far_as_possible(path, overrides, findings)
    if loaded is not None:
        with warnings.catch_warnings():
            # SB3 warns of batches and buffers in its own words; they are findings here
            warnings.simplefilter("ignore")
            _look_through(loaded, folder, n_test_steps, findings, measure=measure)
    return FindingsReport(findings=tuple(findings))


def _look_through(
    config: ExperimentConfig,
    base_dir: Path,
    n_test_steps: int,
    findings: FindingList,
    *,
    measure: bool,
) -> None:
    try:
        code = code_of(config, base_dir)
    except ConfigError as error:
        findings.error("own code", str(error))
        return
    run_code(config, code)
    usable = check_agent(config, findings)
    check_experiment(config, findings)
    market_data = check_data(usable, base_dir, findings)
    if market_data is None:
        findings.note("agent", "it was not tried, as there are no data to try it on")
        return
    largest = check_compute(usable, market_data, findings)
    settled = check_windows(usable, market_data, findings)
    if settled is None:
        findings.note("agent", "it was not tried, as there are no windows to try it on")
        return
    usable, split = settled
    prepared = _check_search(usable, market_data, code, findings)
    try:
        # more threads only wait for each other, and those of 1,000 CPUs cannot be had here
        few = threads_per_trial(usable) <= available_cpus()
        with threads_of_a_trial(usable) if few else contextlib.nullcontext():
            _try_agent(usable, market_data, split, n_test_steps, findings)
        if measure and prepared is not None and findings.of_level("error") == 0:
            measured = measure_training(usable, market_data, split)
            check_duration(usable, prepared, measured, largest, findings)
    except (FinRLRayError, *TRAINING_ERRORS) as error:
        # a search builds it too, and may have said so
        if not any(str(error) in item.what for item in findings if item.level == "error"):
            findings.error("agent", f"it cannot be built and tried: {error}")


def _check_search(
    config: ExperimentConfig, market_data: MarketData, code: CodeFiles, findings: FindingList
) -> PreparedSearch | None:
    """Run the checks with which every search begins; return what it would run."""
    if findings.has_error("memory"):
        return None  # it builds every model, whose buffers would not fit
    try:
        prepared = prepare_search(config, market_data=market_data, code=code)
    except FinRLRayError as error:
        # what slippage lacks has been said by window
        if not any(str(error) in item.what for item in findings if item.level == "error"):
            findings.error("search", str(error))
        return None
    else:
        trials = counted(prepared.planned, "trial")
        findings.ok("search", f"{trials} can be built")
        return prepared


def _try_agent(
    config: ExperimentConfig,
    market_data: MarketData,
    split: Split,
    n_test_steps: int,
    findings: FindingList,
) -> None:
    """Train the agent as configured for a moment, and look at it as it starts."""
    if findings.has_error("memory"):
        config = _with_small_buffer(config)
        if not fits(config, market_data):
            findings.note("agent", "it was not tried, as it does not fit into the memory")
            return
    settings = resolve_sample({}, config.agent)
    train_data, validation_data = split.train.cut(market_data), split.validation.cut(market_data)
    env, eval_env = make_trial_envs(config, settings, config.seed, train_data, validation_data)
    eval_env.close()
    model = build_model(config, settings, env, config.seed)
    report = inspect_training_setup(model, env, n_test_steps)
    for message in report.errors:
        findings.error("training", message)
    for message in report.warnings:
        findings.warning("training", message)
    if not report.errors:
        findings.ok("training", "; ".join(report.notes) or "a copy was trained")
        _settle(env)
        diagnosis = diagnose_learning(model, env, n_episodes=1, untrained_copies=0)
        numbers = diagnosis.measures
        # not every env has an action that holds what there is
        held = f"{numbers['hold']:.4g} by holding cash, " if "hold" in numbers else ""
        findings.ok(
            "rewards",
            f"an episode on the train window earns {held}{numbers['random']:.4g} by random trading "
            f"and {numbers['model']:.4g} by the agent before training",
        )
        for sentence in policy_sentences(_before_training(numbers)):
            findings.warning("policy", f"before training, {sentence}")
    env.close()


def _with_small_buffer(config: ExperimentConfig) -> ExperimentConfig:
    agent = config.agent
    if "buffer_size" not in model_keywords(agent.algorithm):
        return config
    small = {**agent.model_kwargs, "buffer_size": _SMALL_BUFFER}
    return dataclasses.replace(config, agent=dataclasses.replace(agent, model_kwargs=small))


def _settle(env: VecEnv) -> None:
    """Let VecNormalize see some observations, as it would before the first update."""
    act = random_policy(env, 0)
    observations, starts = env.reset(), np.ones(env.num_envs, dtype=bool)
    for _ in range(-(-_SETTLING_STEPS // env.num_envs)):
        env.step(act(observations, starts))


def _before_training(measures: dict[str, float]) -> dict[str, float]:
    # an untrained critic foresees nothing, an untrained policy hardly moves: both are in order
    expected = ("explained_variance", "empty_trades", "action_change")
    return {name: value for name, value in measures.items() if name not in expected}
