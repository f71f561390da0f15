"""One configuration trained and judged fold after fold; no Ray.

Each fold is a training from scratch with a seed of its own, for `agent.total_timesteps`, and one
look at its judged rows. After each the trial reports: the mean over all folds so far, and how many
whole paths they make. A checkpoint holds the folds that are done; a trial that goes on from one
trains the next fold as if it had never been stopped.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from finrl_ray._typing import FloatArray
from finrl_ray.agents.callbacks.measures import own_values
from finrl_ray.agents.hyperparameters import TrialSettings, resolve_sample, trial_seed
from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import RANK_BY_OBJECTIVE
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.data.chosen_features import market_of_sample
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.periods_per_year import config_periods_per_year
from finrl_ray.data.windows.folds import Fold, ValidationPlan
from finrl_ray.env.account_history import AccountHistory, trading_of
from finrl_ray.env.make import make_vec_env
from finrl_ray.env.scaling import ObservationScaling, fitted_scaling
from finrl_ray.files.manifest import write_folder_manifest
from finrl_ray.metrics.beside_benchmark import residual_returns
from finrl_ray.metrics.performance import sharpe_ratio
from finrl_ray.metrics.registry import (
    MEASURES,
    measure_name,
    performance_summary,
    undefined_value,
)
from finrl_ray.metrics.returns import account_values, active_returns, simple_returns
from finrl_ray.own_code.metric import OwnMetric
from finrl_ray.training.agent import (
    FRESH_START,
    Report,
    StartPoint,
    drawdown_breach,
)
from finrl_ray.training.fold_error import standard_error
from finrl_ray.training.fold_models import FoldModels, write_fold_models
from finrl_ray.training.fold_results import FoldResult, read_folds, write_folds
from finrl_ray.training.own_metrics import metrics_of
from finrl_ray.training.stretches import train_stretch


def train_folds(
    sample: Mapping[str, Any],
    config: ExperimentConfig,
    development: MarketData,
    plan: ValidationPlan,
    report: Report,
    start: StartPoint = FRESH_START,
) -> list[FoldResult]:
    """Train and judge one configuration on every fold, reporting after each.

    Parameters
    ----------
    sample : hyperparameters laid over `config.agent`, and options over `config`
    config : the experiment
    development : the rows of train and validation, with every feature that a sample may choose; no
        other rows are read
    plan : the folds, as rows of `development`
    report : called after each fold with the metrics, flat and of Python numbers, and a function
        that writes a checkpoint into a folder
    start : where the trial starts; its checkpoint holds the folds that are done

    Raises
    ------
    TrialDivergedError
        When a parameter of the networks is NaN or infinite.
    """
    periods = config_periods_per_year(config, development.dates)
    config = config_of_sample(config, sample)
    development = market_of_sample(development, sample)
    settings = resolve_sample(sample, config.agent)
    done = [] if start.checkpoint is None else read_folds(start.checkpoint)
    models = FoldModels.of_trial(config.search, start.checkpoint, len(done))
    notes = start.notes
    if done and start.must_report:
        _report(done, models, config, periods, report, notes)
        notes = ""
    for number in range(len(done), len(plan.folds)):
        if done and _breach(done, config, periods):
            return done
        seed = fold_seed(config, sample, number)
        fold = plan.folds[number]
        result, model = _run_fold(settings, seed, config, periods, development, fold, number)
        done.append(result)
        models.keep(model)
        _report(done, models, config, periods, report, notes)
        notes = ""
    return done


def fold_seed(config: ExperimentConfig, sample: Mapping[str, Any], number: int) -> int:
    """Return the seed of a trial's training `number`, within 0..2**31-1."""
    return (trial_seed(config.seed, sample) + number) % 2**31


def train_on(
    settings: TrialSettings,
    config: ExperimentConfig,
    train_data: MarketData,
    scaling: ObservationScaling | None,
    seed: int,
) -> BaseAlgorithm:
    """Return a model trained from scratch on some rows, with its training env.

    Parameters
    ----------
    settings : hyperparameters, as `resolve_sample` returned them
    config : the experiment
    train_data : the rows
    scaling : what `fitted_scaling` gives for them
    seed : of the training

    Raises
    ------
    TrialDivergedError
        When a parameter of the networks is NaN or infinite.
    """
    return train_stretch(settings, config, train_data, scaling, seed)[0]


def _run_fold(
    settings: TrialSettings,
    seed: int,
    config: ExperimentConfig,
    periods_per_year: float,
    development: MarketData,
    fold: Fold,
    number: int,
) -> tuple[FoldResult, BaseAlgorithm]:
    train_data = development.take(fold.train)
    scaling = fitted_scaling(config.env, train_data)
    model = train_on(settings, config, train_data, scaling, seed)

    def act(judged: MarketData) -> AccountHistory:
        env = make_vec_env(judged, config.env, seed=seed, scaling=scaling, training=False)
        (history,) = evaluate_account(model, env)
        return history

    result = judge_fold(
        act,
        config.env,
        development,
        fold,
        number=number,
        seed=seed,
        timesteps=int(model.num_timesteps),
        periods_per_year=periods_per_year,
        risk_free_rate=config.evaluation.risk_free_rate,
        own_metrics=metrics_of(config),
    )
    assert model.env is not None
    model.env.close()
    return result, model


def judge_fold(
    act: Callable[[MarketData], AccountHistory],
    account: EnvConfig,
    development: MarketData,
    fold: Fold,
    *,
    number: int,
    seed: int,
    timesteps: int,
    periods_per_year: float,
    risk_free_rate: float = 0.0,
    own_metrics: Sequence[OwnMetric] = (),
) -> FoldResult:
    """Return what an agent comes to on the judged rows of a fold.

    Parameters
    ----------
    act : gives the account of the agent over some rows
    account : options of the account, under which buy & hold trades beside it
    development : the rows that folds are of
    fold : one of the plan
    number : of the fold in the plan
    seed, timesteps : of the training, as `FoldResult` has them
    periods_per_year : periods/year
    risk_free_rate : 1/year
    own_metrics : of the user
    """
    dates, returns, active, traded, invested, own = [], [], [], [], [], []
    for first, stop in fold.judged:
        judged = development.rows(first, stop)
        history = act(judged)
        dates.append(history.dates[1:])
        returns.append(simple_returns(history.account_value))
        active.append(active_returns(history.account_value, buy_and_hold(judged, account)))
        of_account = trading_of(history, periods_per_year)
        traded.append(of_account.get("turnover", math.nan))
        invested.append(of_account.get("exposure", math.nan))
        own.append(own_values(own_metrics, history, periods_per_year, risk_free_rate))
    lengths = [len(part) for part in returns]
    return FoldResult(
        fold=number,
        seed=seed,
        timesteps=timesteps,
        dates=np.concatenate(dates),
        returns=np.concatenate(returns),
        active=np.concatenate(active),
        turnover=float(np.average(traded, weights=lengths)),
        exposure=float(np.average(invested, weights=lengths)),
        own={
            name: float(np.average([values[name] for values in own], weights=lengths))
            for name in own[0]
        },
    )


def fold_metrics(
    done: Sequence[FoldResult], config: ExperimentConfig, periods_per_year: float
) -> dict[str, Any]:
    """Return what a trial reports after its latest fold.

    `eval/...` are means over the folds, or the worst of them where the measure says so (see
    `Measure.over_windows`), with the standard error of the measure that trials are ranked by.
    `objective` is that of `validation.objective`; where it is not a
    number, one worse than agents come to.
    """
    measures = [fold_measures(result, config, periods_per_year) for result in done]
    worst = [name for name, measure in MEASURES.items() if measure.over_windows == "worst"]
    # an account may say in one fold what it leaves out in another, such as its exposure
    common = set(measures[0]).intersection(*measures)
    metrics = {
        f"eval/{name}": float(np.mean([m[name] for m in measures]))
        for name in measures[0]
        if name in common and name not in worst
    }
    for name in worst:
        worse = min if MEASURES[name].mode == "max" else max
        metrics[f"eval/{name}"] = float(worse(m[name] for m in measures))
    year = np.sqrt(periods_per_year)
    sharpes = [m["active_sharpe_ratio"] for m in measures]
    metrics["eval/active_sharpe_se"] = standard_error(sharpes, done[0].active, year)
    ranked = measure_name(config.search.rank_by)
    if ranked != RANK_BY_OBJECTIVE:
        series = _series_behind(ranked, done[0])
        values = [m[ranked] for m in measures]
        metrics[f"eval/{ranked}_se"] = standard_error(values, series, year)
    if config.validation.objective == "metric":
        name = measure_name(config.evaluation.metric)
        objective = metrics[f"eval/{name}"]
        for own in metrics_of(config):
            objective = own.objective(objective) if own.name == name else objective
    else:
        name = "sharpe_ratio"
        objective = metrics["eval/active_sharpe_ratio"] - metrics["eval/active_sharpe_se"]
    if not np.isfinite(objective):
        objective = undefined_value(name)
    own_path = config.validation.trainings_per_path
    return {
        **metrics,
        "objective": float(objective),
        "eval_objective": float(objective),
        "timesteps": sum(result.timesteps for result in done),
        "folds": len(done),
        "paths": len(done) // own_path,
        "seed": done[0].seed,
        "stop_reason": _breach(done, config, periods_per_year),
    }


def fold_measures(
    result: FoldResult, config: ExperimentConfig, periods_per_year: float
) -> dict[str, float]:
    """Return the measures of one training on its judged rows."""
    summary = performance_summary(
        account_values(result.returns),
        periods_per_year=periods_per_year,
        risk_free_rate=config.evaluation.risk_free_rate,
        benchmark_value=account_values(result.benchmark),
    )
    active = sharpe_ratio(result.active, periods_per_year=periods_per_year)
    beside = {"exposure": result.exposure, "turnover": result.turnover}
    known = {name: value for name, value in beside.items() if not math.isnan(value)}
    return {**summary, **known, "active_sharpe_ratio": active, **result.own}


def _series_behind(measure: str, result: FoldResult) -> FloatArray | None:
    """Return the returns whose Sharpe ratio a measure is; None where it is none."""
    if measure == "sharpe_ratio":
        return result.returns
    if measure == "information_ratio":
        return result.active
    if measure == "appraisal_ratio":
        return residual_returns(result.returns, result.benchmark)
    return None


def _breach(done: Sequence[FoldResult], config: ExperimentConfig, periods_per_year: float) -> str:
    """Return in words that the latest fold's drawdown is beyond the config's limit."""
    return drawdown_breach(fold_measures(done[-1], config, periods_per_year), config.search)


def _report(
    done: Sequence[FoldResult],
    models: FoldModels,
    config: ExperimentConfig,
    periods_per_year: float,
    report: Report,
    notes: str,
) -> None:
    metrics = fold_metrics(done, config, periods_per_year)
    if notes:
        metrics["notes"] = notes
    kept, contents = list(done), models.so_far()

    def save(folder: Path) -> None:
        write_folds(kept, folder)
        write_fold_models(contents, folder)
        write_folder_manifest(folder, timesteps=metrics["timesteps"])

    report(metrics, save)
