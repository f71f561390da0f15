"""The end of a training run: its models on the validation window, and once on the test window."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray._typing import DateArray, FloatArray
from finrl_ray.agents.models import under_saved_statistics
from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.files.atomic import atomic_path
from finrl_ray.metrics.registry import performance_summary
from finrl_ray.search.folder.names import FINAL_MODEL_FILE
from finrl_ray.workflows.pipeline.training_run import best_model_files
from finrl_ray.workflows.pipeline.windows import Windows

if TYPE_CHECKING:
    from finrl_ray.env.account_history import AccountHistory

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class AccountMeasures:
    """Measures accounts with one number of periods per year and one risk-free rate.

    Parameters
    ----------
    periods_per_year : periods/year
    risk_free_rate : 1/year
    """

    periods_per_year: float
    risk_free_rate: float = 0.0

    def of_history(self, history: "AccountHistory") -> dict[str, float]:
        """Return the measures of one account, turnover and exposure among them."""
        return performance_summary(
            history.account_value,
            periods_per_year=self.periods_per_year,
            risk_free_rate=self.risk_free_rate,
            traded_amount=history.traded_amount,
            position_value=history.position_value,
            benchmark_value=history.benchmark_value,
        )

    def of_benchmark(self, account_value: FloatArray) -> dict[str, float]:
        """Return the measures of the account curve of buy & hold."""
        return performance_summary(
            account_value,
            periods_per_year=self.periods_per_year,
            risk_free_rate=self.risk_free_rate,
            benchmark_value=account_value,
        )


def evaluate_models(
    windows: Windows,
    account_measures: AccountMeasures,
    folder: Path,
    final: BaseAlgorithm,
    best: BaseAlgorithm,
) -> dict[str, Any]:
    """Return the measures of both models and of buy & hold on validation, and on test of the best.

    The test window, if there is one, is read here, once, by the best model alone: choosing between
    two models by their test results would be choosing by luck. Account curves are written beside
    as `validation_curves.csv` and `test_curves.csv`.
    """
    final_file = folder / FINAL_MODEL_FILE
    best_file = best_model_files(folder)[0] if best is not final else final_file
    models = {"final_model": (final, final_file), "best_model": (best, best_file)}
    measures = {
        "validation": _evaluate_window("validation", models, windows, account_measures, folder)
    }
    if "test" in windows.tables:
        chosen = {"best_model": models["best_model"]}
        measures["test"] = _evaluate_window("test", chosen, windows, account_measures, folder)
    return measures


def _evaluate_window(
    name: str,
    models: dict[str, tuple[BaseAlgorithm, Path]],
    windows: Windows,
    account_measures: AccountMeasures,
    folder: Path,
) -> dict[str, dict[str, float]]:
    measures, curves = {}, {}
    for model_name, (model, file) in models.items():
        history = run_saved_model(model, lambda: windows.vec_env(name), file)
        measures[model_name] = account_measures.of_history(history)
        curves[model_name] = history.account_value
    held = windows.buy_and_hold(name)
    measures["buy_and_hold"], curves["buy_and_hold"] = account_measures.of_benchmark(held), held
    write_curves(folder / f"{name}_curves.csv", curves, windows.dates(name))
    for who, values in measures.items():
        logger.info(
            "%s, %s: Sharpe %.3f, max drawdown %.1f%%, return %.1f%%",
            name,
            who,
            values["sharpe_ratio"],
            100 * values["max_drawdown"],
            100 * values["total_return"],
        )
    return measures


def run_saved_model(
    model: BaseAlgorithm, make_env: Callable[[], VecEnv], file: Path
) -> "AccountHistory":
    """Run the model of a file over one episode, under the statistics saved with it, if any."""
    env = under_saved_statistics(make_env(), file)
    try:
        return evaluate_account(model, env)[0]
    finally:
        env.close()


def write_curves(path: Path, curves: dict[str, FloatArray], dates: DateArray) -> None:
    """Write one CSV with a column `date` and the account values of each name, in currency."""
    frame = pd.DataFrame({"date": dates, **curves})
    with atomic_path(path) as temporary:
        frame.to_csv(temporary, index=False)
