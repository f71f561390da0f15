"""Which model trades each window: every training of every window, then the best validated one."""

import hashlib
import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from finrl_ray.agents.algorithms import find_algorithm, model_keywords, resolve_model_kwargs
from finrl_ray.agents.state.random import preserved_random_state
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.scaling import ObservationScaling
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError, FinRLRayError
from finrl_ray.workflows.ensemble.window_training import (
    TRAINING_ERRORS,
    AccountOptions,
    TrainingOutcome,
    TrainingTask,
    build_model,
)
from finrl_ray.workflows.ensemble.windows import EnsembleWindow
from finrl_ray.workflows.ensemble.workers import Workers

logger = logging.getLogger(__name__)

TIE_ORDER = ("a2c", "ddpg", "td3", "sac", "ppo")
"""Of equal Sharpe ratios the first of these wins, as in FinRL."""


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How the algorithms are trained, the same in every window.

    Parameters
    ----------
    model_kwargs : per algorithm, keywords of its SB3 class
    total_timesteps : per algorithm
    account : what every env trades under
    seed : every training's seed is derived from it
    n_envs : accounts trained on at once
    periods_per_year : of the Sharpe ratios
    retrain : train the best algorithm of a window again, on train and validation rows, to trade
    """

    model_kwargs: Mapping[str, Mapping[str, Any]]
    total_timesteps: Mapping[str, int]
    account: AccountOptions
    seed: int
    n_envs: int
    periods_per_year: float
    retrain: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class WindowChoice:
    """Which model trades a window, and why.

    Parameters
    ----------
    window : the window
    threshold : turbulence threshold, None for none
    sharpe : validation Sharpe ratio per algorithm, NaN where there is none
    failures : per algorithm without a Sharpe ratio, why
    outcomes : what the validated trainings gave; models of the losers are dropped
    algorithm : of the model that trades, None for no model: the account is left as it is
    model : the SB3 model as `model.save` writes it
    scaling : what its observations are scaled by
    note : what is out of the ordinary, empty if nothing
    """

    window: EnsembleWindow
    threshold: float | None
    sharpe: Mapping[str, float]
    failures: Mapping[str, str]
    outcomes: Mapping[str, TrainingOutcome]
    algorithm: str | None
    model: bytes | None
    scaling: ObservationScaling | None
    note: str = ""


def task_seed(seed: int, window: int, algorithm: str, stage: str) -> int:
    """Return a training's seed, within 0..2**31-1, whatever the order and place of trainings."""
    text = json.dumps([seed, window, algorithm, stage])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def validation_task(
    window: EnsembleWindow, threshold: float | None, algorithm: str, plan: TrainingPlan
) -> TrainingTask:
    """Return the training of one algorithm in one window."""
    return TrainingTask(
        window=window.number,
        iteration=window.iteration,
        stage="validate",
        algorithm=algorithm,
        first_row=window.train_start,
        train_stop=window.validation_start,
        stop_row=window.trade_start,
        threshold=threshold,
        model_kwargs=plan.model_kwargs[algorithm],
        total_timesteps=plan.total_timesteps[algorithm],
        n_envs=plan.n_envs,
        seed=task_seed(plan.seed, window.number, algorithm, "validate"),
        periods_per_year=plan.periods_per_year,
        account=plan.account,
    )


def retrain_task(task: TrainingTask, seed: int) -> TrainingTask:
    """Return the same training over train and validation rows together."""
    new_seed = task_seed(seed, task.window, task.algorithm, "retrain")
    return replace(task, stage="retrain", seed=new_seed)


def best_algorithm(sharpe: Mapping[str, float]) -> str | None:
    """Return the algorithm of the highest ratio; NaN never wins, and all NaN is None."""
    best: str | None = None
    for name in (name for name in TIE_ORDER if name in sharpe):
        if not math.isnan(sharpe[name]) and (best is None or sharpe[name] > sharpe[best]):
            best = name
    return best


def check_plan(market_data: MarketData, window: EnsembleWindow, plan: TrainingPlan) -> None:
    """Build each algorithm once, so that no training fails on its keywords.

    Raises
    ------
    ConfigError
        If a keyword is unknown, or the model cannot be built with it.
    """
    # all that is trained on, because how far observations may look back depends on it
    rows = market_data.rows(window.train_start, window.validation_start)
    for algorithm, given in plan.model_kwargs.items():
        find_algorithm(algorithm)
        resolve_model_kwargs(algorithm, given, n_actions=market_data.n_assets)
        kwargs = {name: value for name, value in given.items() if name != "tensorboard_log"}
        if "buffer_size" in model_keywords(algorithm):
            kwargs["buffer_size"] = 100
        task = replace(validation_task(window, None, algorithm, plan), model_kwargs=kwargs)
        with preserved_random_state():
            try:
                env = StockTradingVecEnv(rows, plan.n_envs, **plan.account.env_options())
                build_model(env, task)
            except FinRLRayError:
                raise
            except TRAINING_ERRORS as error:
                raise ConfigError(
                    f"{algorithm} cannot be built with {dict(given)}: {error}"
                ) from error


def choose_models(
    windows: Sequence[EnsembleWindow],
    thresholds: Sequence[float | None],
    plan: TrainingPlan,
    workers: Workers,
) -> list[WindowChoice]:
    """Run every training and return one choice per window, in order.

    A window in which no algorithm has a Sharpe ratio is traded by the model of the window before;
    if that has none either, the account is left as it is.
    """
    progress = _Progress(windows, thresholds, plan)
    for window, threshold in zip(windows, thresholds, strict=True):
        for algorithm in plan.model_kwargs:
            workers.submit(validation_task(window, threshold, algorithm, plan))
            progress.pending += 1
    while progress.pending:
        task, outcome = workers.next()
        again = progress.take(task, outcome)
        if again is not None:
            workers.submit(again)
            progress.pending += 1
    return _with_fallbacks([progress.choices[window.number] for window in windows])


class _Progress:
    """Collects outcomes and decides each window as soon as its trainings have ended."""

    def __init__(
        self,
        windows: Sequence[EnsembleWindow],
        thresholds: Sequence[float | None],
        plan: TrainingPlan,
    ) -> None:
        self.plan = plan
        self.windows = {window.number: window for window in windows}
        self.thresholds = dict(zip(self.windows, thresholds, strict=True))
        self.outcomes: dict[int, dict[str, TrainingOutcome]] = {n: {} for n in self.windows}
        self.choices: dict[int, WindowChoice] = {}
        self.pending, self.done = 0, 0
        self.started = time.monotonic()

    def take(self, task: TrainingTask, outcome: TrainingOutcome) -> TrainingTask | None:
        """Keep an outcome; return the training that it makes necessary, if any."""
        self.pending, self.done = self.pending - 1, self.done + 1
        self._log(task, outcome)
        if task.stage == "retrain":
            self.choices[task.window] = _retrained(self.choices[task.window], outcome)
            return None
        outcomes = self.outcomes[task.window]
        outcomes[task.algorithm] = outcome
        if len(outcomes) < len(self.plan.model_kwargs):
            return None
        choice = self._decide(task.window)
        self.choices[task.window] = choice
        if not self.plan.retrain or choice.algorithm is None:
            return None
        best = validation_task(choice.window, choice.threshold, choice.algorithm, self.plan)
        return retrain_task(best, self.plan.seed)

    def _decide(self, number: int) -> WindowChoice:
        # in the order of the plan, not of arrival
        outcomes = {name: self.outcomes[number][name] for name in self.plan.model_kwargs}
        sharpe = {name: outcome.sharpe for name, outcome in outcomes.items()}
        best = best_algorithm(sharpe)
        chosen = None if best is None else outcomes[best]
        self.outcomes[number] = {}
        return WindowChoice(
            window=self.windows[number],
            threshold=self.thresholds[number],
            sharpe=sharpe,
            failures={name: o.failure for name, o in outcomes.items() if o.failure},
            outcomes={name: replace(outcome, model=None) for name, outcome in outcomes.items()},
            algorithm=best,
            model=None if chosen is None else chosen.model,
            scaling=None if chosen is None else chosen.scaling,
        )

    def _log(self, task: TrainingTask, outcome: TrainingOutcome) -> None:
        result = outcome.failure or "done"
        if not math.isnan(outcome.sharpe):
            result = f"validation Sharpe ratio {outcome.sharpe:.3f}"
        logger.log(
            logging.WARNING if outcome.failure else logging.INFO,
            "%s: %s (%.1f s; %d trainings ended, %d to go, %.0f s so far)",
            task.label,
            result,
            outcome.wall_s,
            self.done,
            self.pending,
            time.monotonic() - self.started,
        )


def _retrained(choice: WindowChoice, outcome: TrainingOutcome) -> WindowChoice:
    if outcome.model is None:
        note = (
            f"training {choice.algorithm} again on train and validation failed "
            f"({outcome.failure}); the validated model trades"
        )
        return replace(choice, note=note)
    return replace(choice, model=outcome.model, scaling=outcome.scaling)


def _with_fallbacks(choices: Sequence[WindowChoice]) -> list[WindowChoice]:
    result: list[WindowChoice] = []
    for choice in choices:
        if choice.algorithm is None:
            before = result[-1] if result else None
            choice = _fallback(choice, before)
            logger.warning("window %d: %s", choice.window.iteration, choice.note)
        result.append(choice)
    return result


def _fallback(choice: WindowChoice, before: WindowChoice | None) -> WindowChoice:
    why = "no algorithm has a validation Sharpe ratio"
    if before is None or before.model is None:
        return replace(choice, note=f"{why} and there is no earlier model: no orders are placed")
    note = f"{why}: the {before.algorithm} model of the window before goes on trading"
    return replace(
        choice, algorithm=before.algorithm, model=before.model, scaling=before.scaling, note=note
    )
