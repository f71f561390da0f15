"""The different envs and features among the samples of a space, and which of them invest slowly."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.config_of_sample import config_of_sample, options_of_trial
from finrl_ray.config.trial.options import options_among
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.windows.split import Split
from finrl_ray.env.slow_investment import SlowInvestment, slow_investment

_SIZES = ("env.hmax", "env.hmax_unit")


def formulations(
    config: ExperimentConfig, samples: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return what samples choose of the config, one for each env and each list of features.

    Parameters
    ----------
    config : of the search
    samples : such as `corner_samples` of its space
    """
    found: dict[str, dict[str, Any]] = {}
    for sample in samples:
        options = {name: sample[name] for name in options_among(sample)}
        trial = config_of_sample(config, options)
        found.setdefault(repr((trial.env, trial.data.features, trial.data.feature_kwargs)), options)
    return list(found.values())


def slow_formulations(
    config: ExperimentConfig,
    samples: Sequence[Mapping[str, Any]],
    market_data: MarketData,
    split: Split,
) -> list[SlowInvestment]:
    """Return the envs among samples that cannot invest their cash in time, each once.

    Where several envs are sampled, `what` begins with the options of that one.
    """
    found: dict[str, SlowInvestment] = {}
    chosen = formulations(config, samples)
    for sample in chosen:
        trial = config_of_sample(config, sample)
        slow = slow_investment(market_data, split, trial.env)
        if slow is None:
            continue
        own = {n: v for n, v in options_of_trial(trial, sample).items() if n in _SIZES}
        which = "".join(f"with {name} {value}: " for name, value in own.items())
        found.setdefault(which + slow.what, replace(slow, what=which + slow.what))
    return list(found.values())
