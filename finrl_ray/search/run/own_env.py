"""The look that a search takes at an env of the user's on its windows, before it starts."""

from collections.abc import Mapping
from typing import Any

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.data.chosen_features import market_of_sample
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.windows.folds import ValidationPlan
from finrl_ray.data.windows.split import Split
from finrl_ray.testing.own_env import require_own_env


def own_env_doubts(
    config: ExperimentConfig,
    sample: Mapping[str, Any],
    market_data: MarketData,
    split: Split,
    plan: ValidationPlan | None,
) -> tuple[str, ...]:
    """Return what `env.class` does not give and the search does without; nothing without one.

    Parameters
    ----------
    config : of the search
    sample : what a trial chooses of it
    market_data, split : the windows
    plan : the folds, if trials train several times

    Raises
    ------
    ConfigError
        If the env breaks its contract.
    """
    trial = config_of_sample(config, sample)
    if trial.env.class_ is None:
        return ()
    market = market_of_sample(market_data, sample)
    with_gaps = None
    if plan is not None:
        widest = max(plan.folds, key=lambda fold: len(fold.train))
        if len(widest.train) > 1:
            with_gaps = plan.development(market).take(widest.train)
    return require_own_env(
        trial.env,
        {window.name: window.cut(market) for window in split.windows if window.is_usable},
        n_envs=trial.agent.n_envs,
        with_gaps=with_gaps,
    )
