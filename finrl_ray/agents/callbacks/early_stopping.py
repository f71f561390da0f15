"""`StopTrainingOnNoModelImprovement`: SB3's, for any measure; it says when it can never fire."""

import logging
import math
from typing import Any

import numpy as np
from stable_baselines3.common import callbacks as sb3_callbacks
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import TrainFrequencyUnit

from finrl_ray.agents.callbacks.evaluation import EvalCallback
from finrl_ray.agents.callbacks.measures import MEASURE_NAMES, MODES, REWARD_METRIC
from finrl_ray.errors import ConfigError
from finrl_ray.metrics.registry import Mode
from finrl_ray.support.text import counted, did_you_mean

logger = logging.getLogger(__name__)


class StopTrainingOnNoModelImprovement(sb3_callbacks.StopTrainingOnNoModelImprovement):
    """Stops training after more than N evaluations in a row without improvement.

    Give it to an `EvalCallback` or `TradingEvalCallback` as `callback_after_eval`; under SB3's own
    `EvalCallback` it follows the mean reward. Evaluations count as in SB3: those up to `min_evals`
    do not, and the first one always improves. A NaN never improves. When training starts and the
    budget is too short for it ever to fire, a warning is logged.

    Parameters
    ----------
    max_no_improvement_evals : evaluations in a row without improvement that are still accepted
    min_evals : evaluations before counting starts
    verbose : 1 logs the stop at INFO level
    metric : a measure of the evaluation, one of `measures.MEASURE_NAMES`; None: the metric that the
        evaluation itself is judged by
    mode : whether larger (`"max"`) or smaller (`"min"`) values of `metric` are better; None: as
        `measures.MODES` has it, else `"max"`
    min_delta : how much more than the best so far is an improvement, in units of the metric

    Attributes
    ----------
    last_best_mean_reward : the best value so far (the name is SB3's), negated in mode `"min"`
    no_improvement_evals : evaluations since then
    stop_reason : why training was ended, in words; empty while it was not

    Raises
    ------
    ConfigError
        If an argument is out of range or a name is not known; when training starts, if it is not
        inside an evaluation callback, or `metric` is one that SB3's `EvalCallback` does not have.
    """

    def __init__(
        self,
        max_no_improvement_evals: int,
        min_evals: int = 0,
        verbose: int = 0,
        *,
        metric: str | None = None,
        mode: Mode | None = None,
        min_delta: float = 0.0,
    ) -> None:
        super().__init__(max_no_improvement_evals, min_evals, verbose)
        for name, count in (
            ("max_no_improvement_evals", max_no_improvement_evals),
            ("min_evals", min_evals),
        ):
            if not isinstance(count, int | np.integer) or count < 0:
                raise ConfigError(f"{name} must be a whole number >= 0, got {count!r}")
        if not (math.isfinite(min_delta) and min_delta >= 0):
            raise ConfigError(f"min_delta must be finite and >= 0, got {min_delta}")
        _check_metric(metric, mode)
        self.metric = metric
        self.mode: Mode = mode or MODES.get(metric or "", "max")
        self.min_delta = min_delta
        self.stop_reason = ""

    def first_possible_stop(self) -> int:
        """Return the number, counted from 1, of the first evaluation that could still stop."""
        ignored = max(self.min_evals, 1 if self.last_best_mean_reward == -np.inf else 0)
        left = self.max_no_improvement_evals + 1 - self.no_improvement_evals
        return max(ignored, self.n_calls) + left

    def get_state(self) -> dict[str, Any]:
        """Return what has been counted so far."""
        return {
            "n_calls": self.n_calls,
            "best": float(self.last_best_mean_reward),
            "no_improvement_evals": self.no_improvement_evals,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo `get_state`."""
        self.n_calls = state["n_calls"]
        self.last_best_mean_reward = state["best"]
        self.no_improvement_evals = state["no_improvement_evals"]

    def _on_training_start(self) -> None:
        self._check_parent()
        self.stop_reason = ""
        total = self.locals.get("total_timesteps")
        if total is None:
            return
        n_envs = self.training_env.num_envs
        if isinstance(self.parent, EvalCallback):
            interval = max(self.parent.eval_freq, n_envs)  # at most one evaluation per step
        else:
            interval = self.parent.eval_freq * n_envs  # SB3's counts calls
        evaluation = self.first_possible_stop()
        done = self.num_timesteps
        timestep = (done // interval + evaluation - self.n_calls) * interval
        if timestep > self._end_of_training(int(total)):
            logger.warning(
                "early stopping can never fire within %d timesteps: the first evaluation that "
                "could stop training is number %d, at timestep %d; lower max_no_improvement_evals "
                "(%d), min_evals (%d) or eval_freq (%d)",
                total,
                evaluation,
                timestep,
                self.max_no_improvement_evals,
                self.min_evals,
                self.parent.eval_freq,
            )

    def _on_step(self) -> bool:
        self._check_parent()
        value = self._value()
        improved = value > self.last_best_mean_reward + self.min_delta
        if improved:
            self.last_best_mean_reward = value
        if self.n_calls <= self.min_evals:
            return True
        self.no_improvement_evals = 0 if improved else self.no_improvement_evals + 1
        if self.no_improvement_evals <= self.max_no_improvement_evals:
            return True
        name = self.metric or getattr(self.parent, "metric", REWARD_METRIC)
        self.stop_reason = (
            f"no improvement of {name} in {counted(self.no_improvement_evals, 'evaluation')}"
        )
        if self.verbose >= 1:
            logger.info("stopping at %d timesteps: %s", self.num_timesteps, self.stop_reason)
        return False

    def _value(self) -> float:
        """Return the metric, negated in mode `"min"`: more is better. NaN where it is undefined."""
        if self.metric is None:
            return self.parent.best_mean_reward
        if isinstance(self.parent, EvalCallback):
            measures = self.parent.last_measures
            if self.metric not in measures:
                raise ConfigError(
                    f"metric {self.metric!r} needs an evaluation env that gives accounts, such as "
                    f"finrl_ray's; this one gives {', '.join(measures)}"
                )
            value = measures[self.metric]
        else:
            value = self.parent.last_mean_reward
        return value if self.mode == "max" else -value

    def _check_parent(self) -> None:
        if not isinstance(self.parent, sb3_callbacks.EvalCallback):
            raise ConfigError(
                "StopTrainingOnNoModelImprovement must be given to an EvalCallback as "
                "callback_after_eval"
            )
        if self.metric not in (None, REWARD_METRIC) and not isinstance(self.parent, EvalCallback):
            raise ConfigError(
                f"metric {self.metric!r} needs finrl_ray's EvalCallback or TradingEvalCallback; "
                "Stable-Baselines3's has only mean_reward"
            )

    def _end_of_training(self, total: int) -> int:
        """Return the timesteps at which training ends: the last rollout is always completed."""
        model = self.model
        per_rollout = self.training_env.num_envs
        if isinstance(model, OnPolicyAlgorithm):
            per_rollout *= model.n_steps
        elif isinstance(model, OffPolicyAlgorithm):
            frequency, unit = model.train_freq  # type: ignore[misc]  # a TrainFreq by now
            per_rollout *= frequency if unit == TrainFrequencyUnit.STEP else 1
        rollouts = math.ceil((total - self.num_timesteps) / per_rollout)
        return self.num_timesteps + rollouts * per_rollout


def _check_metric(metric: str | None, mode: str | None) -> None:
    if mode not in (None, "max", "min"):
        raise ConfigError(f"mode must be 'max', 'min' or None, got {mode!r}")
    if metric is None:
        if mode == "min":
            raise ConfigError(
                "mode='min' needs a metric; without one, the evaluation's own objective is "
                "followed, of which more is always better"
            )
    elif metric not in MEASURE_NAMES:
        raise ConfigError(
            f"metric must be None or one of {', '.join(MEASURE_NAMES)}, got {metric!r}."
            f"{did_you_mean(str(metric), MEASURE_NAMES)}"
        )
