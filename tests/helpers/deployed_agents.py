"""Small agents in folders of their own: trained in a second, on prices that are made up."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.agents.frame_stack import stacked
from finrl_ray.agents.hyperparameters import resolve_sample
from finrl_ray.agents.models import load_model, save_model, under_saved_statistics
from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.data import DataConfig
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.load import market_data_of
from finrl_ray.data.market_data import MarketData
from finrl_ray.deployment.agent_folder import write_agent
from finrl_ray.env.make import make_vec_env
from finrl_ray.env.scaling import ObservationScaling, fitted_scaling
from finrl_ray.training.folds import train_on

TICKERS = ("AAA", "BBB", "CCC")
TRAINED_ROWS = 60
ON_POLICY = {"n_steps": 16, "batch_size": 16, "n_epochs": 1, "learning_rate": 0.01}
OFF_POLICY = {"learning_starts": 16, "batch_size": 16, "buffer_size": 200, "learning_rate": 0.01}
KEYWORDS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("ppo", "recurrent_ppo"), ON_POLICY),
    **dict.fromkeys(("sac", "td3", "ddpg", "tqc", "crossq", "dqn"), OFF_POLICY),
    "a2c": {"n_steps": 16, "learning_rate": 0.01},
    "trpo": {"n_steps": 16, "batch_size": 16},
}
NETWORKS = {"policy_kwargs": {"net_arch": [8]}}


def price_frame(n_dates: int = 90, *, seed: int = 0, halts: float = 0.0) -> pd.DataFrame:
    """Three tickers on random walks in FinRL's format, two made-up indicators and a risk series."""
    rng = np.random.default_rng(seed)
    n = len(TICKERS)
    close = 50 * np.exp(rng.normal(0, 0.03, (n_dates, n)).cumsum(axis=0))
    opens = close * np.exp(rng.normal(0, 0.01, close.shape))
    frame = pd.DataFrame(
        {
            "date": np.repeat(
                pd.bdate_range("2020-01-01", periods=n_dates).strftime("%Y-%m-%d"), n
            ),
            "tic": np.tile(np.array(TICKERS), n_dates),
            "open": opens.ravel(),
            "high": (np.maximum(opens, close) * 1.01).ravel(),
            "low": (np.minimum(opens, close) * 0.99).ravel(),
            "close": close.ravel(),
            "volume": rng.integers(1_000, 50_000, n_dates * n).astype(float),
            "trend": rng.normal(0, 1, n_dates * n),
            "swing": rng.uniform(20, 80, n_dates * n),
            "risk": np.repeat(rng.uniform(0, 100, n_dates), n),
        }
    )
    quoted = rng.random(len(frame)) >= halts
    quoted[: 5 * n] = True
    return frame[quoted].reset_index(drop=True)


def experiment(
    algorithm: str = "ppo",
    *,
    env: Mapping[str, Any] | None = None,
    agent: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
) -> ExperimentConfig:
    """Return a config whose training takes a second."""
    networks: dict[str, Any] = dict(NETWORKS)
    if algorithm == "recurrent_ppo":
        networks = {"policy_kwargs": {"net_arch": [8], "lstm_hidden_size": 8}}
    options: dict[str, Any] = {
        "initial_amount": 100_000.0,
        "hmax": 200.0,
        "risk_indicator_col": "risk",
        **(env or {}),
    }
    if options.get("type") == "portfolio":
        del options["hmax"]
    return ExperimentConfig(
        data=DataConfig(
            **{
                "source": "prices.parquet",
                "features": ("trend", "swing"),
                "market_columns": ("risk",),
                **(data or {}),
            }
        ),
        env=EnvConfig(**options),
        agent=AgentConfig(
            **{
                "algorithm": algorithm,
                "total_timesteps": 64,
                "n_envs": 1,
                "model_kwargs": {**KEYWORDS[algorithm], **networks},
                **(agent or {}),
            }
        ),
    )


@dataclass(frozen=True, kw_only=True)
class SmallAgent:
    """A folder, what went into it, and the env that the search would have tested it in."""

    folder: Path
    config: ExperimentConfig
    frame: pd.DataFrame
    market: MarketData
    scaling: ObservationScaling | None
    model_file: Path
    trained_rows: int = TRAINED_ROWS

    def window(self, stop: int | None = None) -> MarketData:
        """Return the rows after those of training, from the last of these on."""
        stop = self.market.n_periods if stop is None else stop
        return self.market.rows(self.trained_rows - 1, stop)

    def env(self, stop: int | None = None) -> VecEnv:
        """Return an env as a backtest makes it, over these rows."""
        env: VecEnv = make_vec_env(
            self.window(stop), self.config.env, scaling=self.scaling, training=False
        )
        if self.config.agent.normalize:
            env = under_saved_statistics(env, self.model_file)
        return stacked(env, self.config.agent.n_stack)

    def model(self) -> Any:
        return load_model(self.config.agent.algorithm, self.model_file, device="cpu")


def small_agent(
    place: Path,
    config: ExperimentConfig,
    *,
    frame: pd.DataFrame | None = None,
    seed: int = 3,
    trained_rows: int = TRAINED_ROWS,
    **more: Any,
) -> SmallAgent:
    """Train an agent on the first rows of a frame, and deploy it into a folder.

    Parameters
    ----------
    place : an empty folder; the agent is in `agent/` of it
    config : of the agent
    frame : prices; None: those of `price_frame`
    seed : of the training
    trained_rows : of the market, warm-up included
    more : arguments of `write_agent`
    """
    frame = price_frame() if frame is None else frame
    market = market_data_of(frame, config.data)[0]
    trained = market.rows(market.warmup, trained_rows)
    scaling = fitted_scaling(config.env, trained)
    model = train_on(resolve_sample({}, config.agent), config, trained, scaling, seed)
    model_file = place / "model.zip"
    save_model(model, model_file)
    folder = write_agent(
        place / "agent",
        config=config,
        model=model_file,
        bars=frame,
        trained=trained,
        scalings=scaling,
        **more,
    )
    return SmallAgent(
        folder=folder,
        config=config,
        frame=frame,
        market=market,
        scaling=scaling,
        model_file=model_file,
        trained_rows=trained_rows,
    )
