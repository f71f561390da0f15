"""`ActionAnalysisCallback`: what the policy orders in training, and what comes of it."""

import logging
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback

from finrl_ray._typing import AnyArray, FloatArray
from finrl_ray.agents.callbacks.account_watch import TradeWatch
from finrl_ray.agents.callbacks.interval import TimestepInterval
from finrl_ray.agents.callbacks.step_ring import StepRing
from finrl_ray.env.orders.discrete import Choices
from finrl_ray.errors import ConfigError

logger = logging.getLogger(__name__)

SATURATED = 0.99
"""Orders beyond this fraction of the action space's bounds count as saturated."""
MAX_TICKERS = 50
"""With more assets than this, nothing is logged under the tickers' names."""
MAX_TICKER_LENGTH = 20  # SB3's stdout format refuses long keys that begin alike


class ActionAnalysisCallback(BaseCallback):
    """Logs statistics of the last `window` steps of all envs, every `log_freq` timesteps.

    Actions are those that the env was given: clipped to its bounds for algorithms that sample
    outside them (PPO, A2C, TRPO, RecurrentPPO), and unscaled for the others; of `discrete_actions`
    the numbers that choices stand for (-1, 0 and 1). Logged under `actions/`:

    - `mean_magnitude`, `asset_{i}_mean`, `asset_{i}_std`, over steps and envs, and the latter two
      as `{ticker}/mean` and `{ticker}/std` where the env names at most 50 tickers;
    - `saturation_percentage`: orders within 1 % of the bounds of a bounded space;
    - `zero_percentage`: orders of which no share was executed, whatever the reason (dead zone, no
      cash, nothing to sell, halt). An env whose trades are not known (not one of finrl_ray's, or
      in another process with record_trades=False) has the percentage of actions equal to 0 instead;
    - `turnover`: traded amount per step as a fraction of the account value; `cost`: currency paid
      per step and account. Absent where the env has no `account_history`.

    Parameters
    ----------
    log_freq : timesteps, summed over the envs
    verbose : 1 logs a summary at INFO level
    window : steps of each env that the statistics cover

    Attributes
    ----------
    latest : the numbers last logged, by the names above without `actions/`; `asset_mean` and
        `asset_std` are arrays of shape (n_assets,), `tickers` a tuple, and `zero_source` is
        `executed` or `actions`; empty before the first time

    Raises
    ------
    ConfigError
        If `log_freq` or `window` is not a whole number >= 1.
    """

    def __init__(self, log_freq: int = 5000, verbose: int = 1, *, window: int = 1000) -> None:
        super().__init__(verbose)
        if not isinstance(window, int | np.integer) or isinstance(window, bool) or window < 1:
            raise ConfigError(f"window must be a whole number of steps >= 1, got {window!r}")
        self.log_freq = log_freq
        self.window = int(window)
        self.latest: dict[str, Any] = {}
        self._interval = TimestepInterval("log_freq", log_freq)
        self._actions = StepRing(self.window)
        self._choices: Choices | None = None
        self._watch = TradeWatch(self.window)

    @property
    def actions_history(self) -> AnyArray:
        """The actions of the last steps, of shape (steps, n_envs, n_assets), oldest first."""
        return self._actions.values()

    @property
    def executed_history(self) -> list[FloatArray]:
        """Executed shares per env, (steps, n_assets) each, as far as they are known."""
        return self._watch.executed()

    def get_state(self) -> dict[str, Any]:
        """Return everything that a resumed run needs, as plain values."""
        latest = {**self.latest}
        if latest:
            latest["tickers"] = list(latest["tickers"])
        return {
            "interval": self._interval.get_state(),
            "actions": self._actions.get_state(),
            "watch": self._watch.get_state(),
            "latest": latest,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo `get_state` on a callback built with the same arguments."""
        self._interval.set_state(state["interval"])
        self._actions.set_state(state["actions"])
        self._watch.set_state(state["watch"])
        self.latest = dict(state["latest"])
        if self.latest:
            self.latest["tickers"] = tuple(self.latest["tickers"])

    def _on_training_start(self) -> None:
        self._interval.start(self.model.num_timesteps)
        self._watch.start(self.training_env)
        env = self.training_env
        found = env.get_attr("choices", indices=[0])[0] if env.has_attr("choices") else None
        self._choices = found if isinstance(found, Choices) else None

    def _on_step(self) -> bool:
        # on-policy algorithms keep the sampled actions beside those that the env gets
        actions = self.locals.get("clipped_actions", self.locals["actions"])
        if self._choices is not None:
            actions = self._choices.actions_of(actions)
        self._actions.push(np.asarray(actions).reshape(self.training_env.num_envs, -1))
        self._watch.after_step(np.asarray(self.locals["dones"]), self.locals["infos"])
        if self._interval.take(self.num_timesteps):
            self._analyze_actions()
        return True

    def _on_training_end(self) -> None:
        # the next training may begin with a reset, after which these steps cannot be read
        self._watch.collect()

    def _analyze_actions(self) -> None:
        """Compute, keep and log the statistics."""
        self._watch.collect()
        self.latest = self._statistics()
        for name in (
            "mean_magnitude",
            "zero_percentage",
            "saturation_percentage",
            "turnover",
            "cost",
        ):
            if name in self.latest:
                self.logger.record(f"actions/{name}", self.latest[name])
        for label in self._asset_labels():
            for index, name in enumerate(label):
                for measure in ("mean", "std"):
                    value = float(self.latest[f"asset_{measure}"][index])
                    self.logger.record(f"actions/{name}{measure}", value)
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.dump(self.num_timesteps)
        if self.verbose > 0:
            self._log_summary()

    def _statistics(self) -> dict[str, Any]:
        actions = self.actions_history.astype(np.float64)
        found: dict[str, Any] = {
            "mean_magnitude": float(np.mean(np.abs(actions))),
            "zero_percentage": 100.0 * float(np.mean(actions == 0)),
            "zero_source": "actions",
            "asset_mean": actions.mean(axis=(0, 1)),
            "asset_std": actions.std(axis=(0, 1)),
            "tickers": self._watch.tickers,
        }
        scaled = self._scaled(actions)
        if scaled is not None:
            saturated = np.abs(scaled) >= SATURATED
            found["saturation_percentage"] = 100.0 * float(np.mean(saturated))
        executed = self._watch.measures()
        if "zero_percentage" in executed:
            found["zero_source"] = "executed"
        return found | executed

    def _scaled(self, actions: FloatArray) -> FloatArray | None:
        """Return actions of shape (steps, n_envs, n_assets) between -1 and 1, None if unbounded."""
        space = self.model.action_space
        if not isinstance(space, spaces.Box) or not space.is_bounded():
            return None
        low, high = space.low.reshape(-1), space.high.reshape(-1)
        return np.asarray(2.0 * (actions - low) / (high - low) - 1.0)

    def _asset_labels(self) -> list[list[str]]:
        """Return the beginnings of the assets' keys, in one or two namings."""
        n_assets = len(self.latest["asset_mean"])
        labels = [[f"asset_{index}_" for index in range(n_assets)]]
        tickers = self._watch.tickers
        short = all(0 < len(ticker) <= MAX_TICKER_LENGTH for ticker in tickers)
        if len(tickers) == n_assets <= MAX_TICKERS and short:
            labels.append([f"{ticker}/" for ticker in tickers])
        return labels

    def _log_summary(self) -> None:
        what = "orders not executed" if self.latest["zero_source"] == "executed" else "zero actions"
        logger.info(
            "action analysis at %d timesteps: mean magnitude %.4f, %s %.1f%%, saturated %.1f%%, "
            "turnover %.4f per step",
            self.num_timesteps,
            self.latest["mean_magnitude"],
            what,
            self.latest["zero_percentage"],
            self.latest.get("saturation_percentage", np.nan),
            self.latest.get("turnover", np.nan),
        )
