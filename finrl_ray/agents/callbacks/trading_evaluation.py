"""`TradingEvalCallback`: evaluation judged by a trading measure of the true account."""

from typing import Any

import gymnasium as gym
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.agents.callbacks.evaluation import EvalCallback


class TradingEvalCallback(EvalCallback):
    """`EvalCallback` whose best model is that of the best Sharpe ratio, or of another `metric`.

    Takes the arguments of `EvalCallback`, and refuses an `eval_env` that gives no accounts
    (`DataError` at the first evaluation). Measures come from the env's own account history.
    """

    _requires_account = True

    def __init__(
        self,
        eval_env: "gym.Env[Any, Any] | VecEnv",
        callback_on_new_best: BaseCallback | None = None,
        callback_after_eval: BaseCallback | None = None,
        n_eval_episodes: int = 5,
        eval_freq: int = 10000,
        log_path: str | None = None,
        best_model_save_path: str | None = None,
        deterministic: bool = True,
        render: bool = False,
        verbose: int = 1,
        warn: bool = True,
        *,
        metric: str = "sharpe_ratio",
        periods_per_year: float | None = None,
        risk_free_rate: float = 0.0,
    ) -> None:
        super().__init__(
            eval_env,
            callback_on_new_best,
            callback_after_eval,
            n_eval_episodes,
            eval_freq,
            log_path,
            best_model_save_path,
            deterministic,
            render,
            verbose,
            warn,
            metric=metric,
            periods_per_year=periods_per_year,
            risk_free_rate=risk_free_rate,
        )

    @property
    def sharpe_history(self) -> list[float]:
        """Sharpe ratio of each evaluation."""
        return self.log.history("sharpe_ratio")

    @property
    def max_drawdown_history(self) -> list[float]:
        """Maximum drawdown (<= 0) of each evaluation."""
        return self.log.history("max_drawdown")
