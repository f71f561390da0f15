"""One account traded by one agent after the other, as it would have been lived."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray._typing import FloatArray
from finrl_ray.agents.ensemble_model.files import load_ensemble, read_ensemble
from finrl_ray.agents.ensemble_model.model import EnsembleModel
from finrl_ray.agents.frame_stack import stacked
from finrl_ray.agents.models import load_model, under_saved_statistics
from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.agents.state.env import base_vec_env
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.data.chosen_features import market_of_sample
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.account_history import AccountHistory
from finrl_ray.env.make import make_vec_env
from finrl_ray.env.scaling import fitted_scaling
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import SearchError
from finrl_ray.search.results.ensemble_parts import ensembles_env
from finrl_ray.training.threads import threads_of_a_trial
from finrl_ray.workflows.deployment.planned import AgentPlan
from finrl_ray.workflows.deployment.steps import Step


@dataclass(frozen=True, kw_only=True, eq=False)
class HandedOver:
    """What an agent leaves to the next.

    Parameters
    ----------
    account_value : currency
    cash : currency; None where the env does not take over positions
    shares : array of shape (N,), likewise
    """

    account_value: float
    cash: float | None = None
    shares: FloatArray | None = None


def trade_step(
    plan: AgentPlan,
    model: Path,
    market: MarketData,
    step: Step,
    before: HandedOver | None,
    *,
    trust: bool = False,
) -> tuple[AccountHistory, HandedOver]:
    """Let the agent of one step trade its rows, from where the one before has left the account.

    Cash and shares are taken over. An env of the user's and portfolios begin each step in cash with
    an amount of their own: of them returns are joined, by `HandedOver.account_value`.

    Parameters
    ----------
    plan : of the agents
    model : of this step, as `train_planned` has written it
    market : all rows, with every feature
    step : rows
    before : what the agent before has left; None for the first
    trust : see `finrl_ray.agents.models.load_model`
    """
    window = market.rows(step.trade[0], step.trade[1] + 1)
    trained = market.rows(*step.train)
    acting, env = _acting(plan, model, trained, window, trust=trust)
    base = base_vec_env(env)
    takes_over = isinstance(base, StockTradingVecEnv)
    held = np.zeros(window.n_assets)
    if takes_over and before is not None and before.shares is not None:
        held = before.shares
        base.set_attr("previous_state", [before.cash, *window.close[0], *held])
        base.set_attr("initial", False)
    with threads_of_a_trial(plan.config):
        (history,) = evaluate_account(acting, env)
    env.close()
    if not takes_over or history.trades is None or history.cash is None:
        value = history.account_value[-1] * _factor(history, before)
        return history, HandedOver(account_value=float(value))
    return history, HandedOver(
        account_value=float(history.account_value[-1]),
        cash=float(history.cash[-1]),
        shares=_after(held, history.trades, short=_short(plan)),
    )


def _factor(history: AccountHistory, before: HandedOver | None) -> float:
    if before is None or before.shares is not None:
        return 1.0  # the account itself goes on
    return before.account_value / float(history.account_value[0])


def values_of(history: AccountHistory, before: HandedOver | None) -> FloatArray:
    """Return the account values of a step that goes on from what the agent before has left.

    Parameters
    ----------
    history : of the step
    before : None for the first
    """
    values: FloatArray = history.account_value * _factor(history, before)
    return values


def _after(held: FloatArray, trades: FloatArray, *, short: bool) -> FloatArray:
    shares = held.copy()
    for row in trades:  # in the order in which the account has added them
        shares += row
    # fractions that were sold to the last may leave a rounding error
    return shares if short else np.maximum(shares, 0.0)


def _short(plan: AgentPlan) -> bool:
    return bool(config_of_sample(plan.config, plan.trials[0].sample).env.short)


def _acting(
    plan: AgentPlan, model: Path, trained: MarketData, window: MarketData, *, trust: bool
) -> tuple[BaseAlgorithm | EnsembleModel, VecEnv]:
    """Return the model, and an env over some rows in which it acts as it was trained."""
    if plan.together:
        members, _ = read_ensemble(model)
        return load_ensemble(model, trust=trust), ensembles_env(members, trained, window)
    sample = plan.trials[0].sample
    trial = config_of_sample(plan.config, sample)
    scaling = fitted_scaling(trial.env, market_of_sample(trained, sample))
    env: VecEnv = make_vec_env(
        market_of_sample(window, sample), trial.env, scaling=scaling, training=False
    )
    if trial.agent.normalize:
        missing = SearchError(f"{model} has no statistics of VecNormalize")
        env = under_saved_statistics(env, model, missing=missing, trust=trust)
    loaded = load_model(trial.agent.algorithm, model, device="cpu", trust=trust)
    return loaded, stacked(env, trial.agent.n_stack)


def read_files(model: Path) -> dict[str, bytes]:
    """Return the files of a model by their paths below the folder that it lies in.

    Parameters
    ----------
    model : a zip file with what lies beside it, or the folder of an ensemble
    """
    folder = model if model.is_dir() else model.parent
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder.parent).as_posix(): path.read_bytes() for path in files}


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write what `read_files` has read below a folder.

    Parameters
    ----------
    files : by path
    folder : is made
    """
    for name, content in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
