"""What the members of an ensemble are, and the env in which they act together."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stable_baselines3.common.vec_env import VecEnv

from finrl_ray._typing import FloatArray
from finrl_ray.agents.ensemble_model.files import SavedMember, load_members, view_names
from finrl_ray.agents.ensemble_model.model import shared_env_config
from finrl_ray.agents.ensemble_model.shared_account import View, make_shared_env
from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.data.chosen_features import market_of_sample
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.scaling import fitted_scaling
from finrl_ray.support.values import to_python


def describe_members(
    config: ExperimentConfig,
    market_data: MarketData,
    samples: Sequence[Mapping[str, Any]],
    *,
    trials: Sequence[int],
    ranks: Sequence[int],
) -> list[SavedMember]:
    """Return what members with these samples are.

    Parameters
    ----------
    config : of the search
    market_data : with every feature that a sample may choose
    samples, trials, ranks : of each member
    """
    configs = [config_of_sample(config, sample) for sample in samples]
    keys = [
        View(market_data=market_of_sample(market_data, sample), env=own.env, scaling=None).key()
        for own, sample in zip(configs, samples, strict=True)
    ]
    return [
        SavedMember(
            file="",
            sha256="",
            algorithm=own.agent.algorithm,
            env=own.env,
            normalized=bool(own.agent.normalize),
            view=view,
            trial=trial,
            rank=rank,
            sample=sample,
        )
        for own, sample, view, trial, rank in zip(
            configs, samples, view_names(keys), trials, ranks, strict=True
        )
    ]


def plain_sample(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sample in plain values."""
    return {name: to_python(value) for name, value in sample.items()}


def account_options(members: Sequence[SavedMember], n_assets: int) -> EnvConfig:
    """Return the options of the account that the members trade; see `shared_env_config`."""
    return shared_env_config([member.env for member in members], n_assets)


def ensembles_env(
    members: Sequence[SavedMember],
    train_data: MarketData,
    window: MarketData,
    changes: Mapping[str, Any] | None = None,
) -> VecEnv:
    """Return an env over some rows in which an ensemble acts, each member as it was trained.

    Parameters
    ----------
    members : of the ensemble
    train_data : rows by which observations are standardised, with all features
    window : rows to act on, with all features
    changes : options of the account that are laid over the members', such as costs
    """
    views: dict[str, View] = {}
    for member in members:
        if member.view not in views:
            seen = market_of_sample(train_data, member.sample)
            views[member.view] = View(
                market_data=market_of_sample(window, member.sample),
                env=member.env,
                scaling=fitted_scaling(member.env, seen),
            )
    account = replace(account_options(members, window.n_assets), **(changes or {}))
    return make_shared_env(account, views)


def account_values_of(
    members: Sequence[SavedMember],
    models: Sequence[Path],
    train_data: MarketData,
    window: MarketData,
) -> FloatArray:
    """Return the account values of an ensemble over some rows, one per row.

    Parameters
    ----------
    members : what they are
    models : file of each
    train_data : rows by which observations are standardised
    window : rows to act on
    """
    model = load_members([(m, f, None) for m, f in zip(members, models, strict=True)])
    (history,) = evaluate_account(model, ensembles_env(members, train_data, window))
    return history.account_value
