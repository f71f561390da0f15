"""`DRLAgent`: FinRL's names for building, training and running SB3 models."""

import importlib.util
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import pandas as pd
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import MaybeCallback
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_normalize

from finrl_ray.agents.algorithms import (
    check_actions,
    find_algorithm,
    find_learner,
    find_policy,
    resolve_model_kwargs,
    resolve_policy_kwargs,
)
from finrl_ray.agents.callbacks.callback_state import find_callbacks
from finrl_ray.agents.callbacks.tensorboard import TensorboardCallback
from finrl_ray.agents.frame_stack import mark_stacked
from finrl_ray.agents.keyword_checks import check_advantages
from finrl_ray.agents.models import UNDER_STATISTICS, as_vec_env, load_model
from finrl_ray.agents.normalization import read_statistics, under_statistics
from finrl_ray.agents.replay.choose import make_replay_buffer
from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.agents.saved_models.zip_file import model_file
from finrl_ray.agents.sb3_internals import end_of_training, require_reset, set_up
from finrl_ray.agents.torch_startup import skip_dynamo_import
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.own_code.failures import calling

if TYPE_CHECKING:
    from finrl_ray.env.account_history import AccountHistory

logger = logging.getLogger(__name__)


class DRLAgent:
    """Builds SB3 models for one env, and trains and runs them, under FinRL's names.

    Parameters
    ----------
    env : a Gymnasium env or an SB3 vec env
    """

    def __init__(self, env: "gym.Env[Any, Any] | VecEnv") -> None:
        self.env = env

    def get_model(
        self,
        model_name: str,
        policy: str = "MlpPolicy",
        policy_kwargs: Mapping[str, Any] | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        verbose: int = 1,
        seed: int | None = None,
        tensorboard_log: str | None = None,
        learner: str = "fused",
    ) -> BaseAlgorithm:
        """Return a new model with FinRL's default keywords, overlaid with the caller's.

        Parameters
        ----------
        model_name : one of `a2c`, `ppo`, `ddpg`, `td3`, `sac`, `dqn`, and of sb3-contrib `tqc`,
            `crossq`, `recurrent_ppo`, `trpo`
        policy : SB3's name of the policy, or, of `a2c`, `ppo` and `trpo`, `PerTickerPolicy`; with
            `recurrent_ppo` `MlpPolicy` is `MlpLstmPolicy`
        policy_kwargs : SB3's; `activation_fn` may be a name such as `"relu"`
        model_kwargs : keywords of the SB3 class, each winning over FinRL's default. `verbose`,
            `seed`, `tensorboard_log` and `policy_kwargs` in it win over the arguments;
            `action_noise` may be `"normal"`, `"ornstein_uhlenbeck"`, or one of them with a
            deviation: `"normal_0.3"`; a learning rate may be `"lin_3e-4"`. It is not changed.
        verbose : 0 silent, 1 messages, 2 debugging
        seed : of python, numpy, torch, the action space and the env; None: left as they are
        tensorboard_log : folder for TensorBoard
        learner : the code that trains it: "fused" (the fastest), "exact" (SB3's numbers bit for
            bit), or "sb3"; a model that needs a slower one gets it, and the log says why. See
            docs/performance.md.

        Returns
        -------
        BaseAlgorithm
            The SB3 model.

        Raises
        ------
        ConfigError
            If a name, learner or keyword is not known, the algorithm's package is not installed,
            it cannot act in the env's action space, `tensorboard_log` is given without
            TensorBoard, or advantages would be normalised over a single sample.
        """
        skip_dynamo_import()
        check_actions(model_name, self.env.action_space)
        kwargs: dict[str, Any] = {
            "verbose": verbose,
            "seed": seed,
            "tensorboard_log": tensorboard_log,
            **resolve_model_kwargs(model_name, model_kwargs, n_actions=self._n_actions()),
        }
        check_advantages(model_name, kwargs, getattr(self.env, "num_envs", 1))
        given = resolve_policy_kwargs(policy_kwargs or {})
        kwargs["policy_kwargs"] = {**given, **(kwargs.get("policy_kwargs") or {})} or None
        _check_tensorboard(kwargs["tensorboard_log"])
        model_class = find_learner(find_algorithm(model_name).model_class, learner)
        # set up in a second step, because SB3 keeps a replay buffer that is there by then
        kwargs["_init_setup_model"] = not issubclass(model_class, OffPolicyAlgorithm)
        known = find_policy(model_name, policy)
        own = find_algorithm(model_name).reference
        with calling(own, "algorithm", "when it was built") if own else nullcontext():
            model = model_class(policy=known, env=self.env, **kwargs)
            if isinstance(model, OffPolicyAlgorithm):
                model.replay_buffer = make_replay_buffer(model)
                set_up(model)
        normalizer = model.get_vec_normalize_env()
        if normalizer is not None and normalizer.norm_obs:
            setattr(model, UNDER_STATISTICS, True)
        mark_stacked(model)
        return model

    @staticmethod
    def train_model(
        model: BaseAlgorithm,
        tb_log_name: str,
        total_timesteps: int = 5000,
        callbacks: BaseCallback | Sequence[BaseCallback] | None = None,
        reset_num_timesteps: bool = True,
        log_interval: int | None = None,
        progress_bar: bool = False,
    ) -> BaseAlgorithm:
        """Train a model and return it.

        Where the model has a `tensorboard_log`, a `TensorboardCallback` is added unless there is
        one.

        Parameters
        ----------
        model : from `get_model`
        tb_log_name : name of the run in TensorBoard
        total_timesteps : env steps, summed over the accounts
        callbacks : one callback, several (also as a CallbackList), or none
        reset_num_timesteps : start counting at 0; False adds to what the model has learned
        log_interval : rollouts (on-policy) or episodes (off-policy) between log dumps; None: SB3's
        progress_bar : show SB3's progress bar

        Raises
        ------
        TypeError
            If `callbacks` holds something other than SB3 callbacks.
        """
        options = {} if log_interval is None else {"log_interval": log_interval}
        trained = model.learn(
            total_timesteps=total_timesteps,
            callback=_callback_list(callbacks, tensorboard=model.tensorboard_log is not None),
            tb_log_name=tb_log_name,
            reset_num_timesteps=reset_num_timesteps,
            progress_bar=progress_bar,
            **options,
        )
        if model.num_timesteps < end_of_training(model):
            # stopped by a callback: the env is one step ahead of what the model saw last, so that
            # the next training must begin with a reset of it
            require_reset(model)
        return trained

    @staticmethod
    def DRL_prediction(  # noqa: N802  # FinRL's name
        model: BaseAlgorithm,
        environment: "gym.Env[Any, Any] | VecEnv",
        deterministic: bool = True,
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Run a model over one episode from the env's start.

        Works in parity mode (with its extra last step) and without; gives what there is when the
        episode ends early. Statistics of `VecNormalize` are applied and not updated. Of a vec env
        with several accounts the first is returned.

        Parameters
        ----------
        model : a trained model
        environment : the env or vec env to run in
        deterministic : take the policy's mean action instead of a random one

        Returns
        -------
        account_value : frame with the columns `date` and `account_value`, one row per day
        actions : frame of the shares traded, one row per day but the last; index `date`, one
            column per ticker; with a single ticker the columns `date` and `actions`

        Raises
        ------
        DataError
            If the env gives no account history, or no record of its trades.
        """
        env = as_vec_env(environment)
        history = evaluate_account(model, env, 1, deterministic)[0]
        dates = _dates_as_written(env, history)
        return account_frame(history, dates), actions_frame(history, dates)

    @staticmethod
    def DRL_prediction_load_from_file(  # noqa: N802  # FinRL's name
        model_name: str,
        environment: "gym.Env[Any, Any] | VecEnv",
        cwd: str | Path,
        deterministic: bool = True,
        *,
        trust: bool = False,
    ) -> list[float]:
        """Load a saved model and run it over one episode from the env's start.

        Parameters
        ----------
        model_name : as in `get_model`
        environment : the env or vec env to run in
        cwd : the saved model, with or without `.zip`; a `vecnormalize.pkl` in the same folder holds
            the statistics that it was trained under, and is applied
        deterministic : take the policy's mean action instead of a random one
        trust : run code that is in the files, for models made of classes of your own; see
            docs/trust.md

        Returns
        -------
        list of float
            Account value at the start and after each day.

        Raises
        ------
        ConfigError
            If the model or its statistics cannot be loaded, are of other tickers or features than
            the env, or need `trust`.
        DataError
            If the env gives no account history.
        """
        model = load_model(model_name, cwd, trust=trust)
        env = as_vec_env(environment)
        statistics = None
        if unwrap_vec_normalize(env) is None:
            statistics = read_statistics(model_file(cwd), trust=trust)
        if statistics is not None:
            logger.info("applying the observation statistics of %s", statistics.source)
            env = under_statistics(env, statistics, evaluating=True)
        history = evaluate_account(model, env, 1, deterministic)[0]
        return [float(value) for value in history.account_value]

    def _n_actions(self) -> int:
        shape = self.env.action_space.shape
        return int(np.prod(shape)) if shape else 1


def account_frame(history: "AccountHistory", dates: Sequence[Any]) -> pd.DataFrame:
    """Return FinRL's frame of an account: `date`, `account_value`, one row per day."""
    return pd.DataFrame({"date": dates, "account_value": history.account_value})


def actions_frame(history: "AccountHistory", dates: Sequence[Any]) -> pd.DataFrame:
    """Return FinRL's frame of the shares traded on each day but the last.

    Raises
    ------
    DataError
        If the history holds no trades.
    """
    if history.trades is None:
        raise DataError(
            "the account history holds no trades per ticker; build the env with record_trades=True"
        )
    trades, days = history.trades, dates[: len(history.trades)]
    if np.array_equal(trades, np.rint(trades)):
        trades = trades.astype(np.int64)  # whole shares, as FinRL shows them
    if len(history.tickers) == 1:
        return pd.DataFrame({"date": days, "actions": trades[:, 0]})
    index = pd.Index(days, name="date")
    return pd.DataFrame(trades, index=index, columns=list(history.tickers))


def _dates_as_written(env: VecEnv, history: "AccountHistory") -> list[Any]:
    """Return the dates of a history as the user's frame has them (strings stay strings)."""
    if not env.has_attr("accounts"):
        return list(history.dates)
    table = env.get_attr("accounts", indices=[0])[0].table
    written = dict(zip(table.dates, table.labels, strict=True))
    return [written[date] for date in history.dates]


def _callback_list(
    callbacks: BaseCallback | Sequence[BaseCallback] | None, *, tensorboard: bool
) -> MaybeCallback:
    given = [] if callbacks is None else callbacks
    listed = list(given) if isinstance(given, Iterable) else [given]
    for callback in listed:
        if not isinstance(callback, BaseCallback):
            raise TypeError(
                "callbacks must be SB3 callbacks, one or a list of them, got a "
                f"{type(callback).__name__}"
            )
    if tensorboard and not any(find_callbacks(CallbackList(listed), TensorboardCallback)):
        listed.append(TensorboardCallback())
    return CallbackList(listed)


def _check_tensorboard(folder: str | None) -> None:
    if folder is not None and importlib.util.find_spec("tensorboard") is None:
        raise ConfigError(
            f"tensorboard_log={folder!r} needs TensorBoard, which is not installed: "
            "pip install 'finrl-ray[tensorboard]', or leave tensorboard_log out"
        )
