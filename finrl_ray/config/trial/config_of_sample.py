"""`config_of_sample`: the config that one trial trains, is evaluated and is backtested under.

Whoever makes something of a trial (its envs, its agent, its tables) takes it from this config and
never from the search's own, which is that of the trials that choose nothing.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from finrl_ray.config.checks import default_of
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.options import check_option, option_of, option_value, options_among
from finrl_ray.config.trial.own_code import require_named


def config_of_sample(config: ExperimentConfig, sample: Mapping[str, Any]) -> ExperimentConfig:
    """Return a search's config with the options that a sample has chosen, checked.

    An option that has no meaning beside the others of the trial (`profit_loss_ratio` without
    `stop_loss`) is at its default, so that such combinations can be sampled.

    Parameters
    ----------
    config : of the search
    sample : hyperparameters by name, which are left to `resolve_sample`, and options by their
        dotted names

    Raises
    ------
    ConfigError
        If a value is not of its option's type, out of its range, or does not go with the others.
    """
    require_named(config, sample)
    chosen: dict[str, dict[str, Any]] = {}
    # a whole mapping of keywords before single ones of it
    for name in sorted(options_among(sample), key=lambda name: len(option_of(name).keyword)):
        check_option(name)  # a sample may have been edited
        option = option_of(name)
        values = chosen.setdefault(option.section, {})
        value = option_value(name, sample[name])
        if option.keyword:
            former = values.get(
                option.field, getattr(getattr(config, option.section), option.field)
            )
            value = option.laid_into(former, value)
        values[option.field] = value
    if not chosen:
        return config
    sections: dict[str, Any] = {
        section: dataclasses.replace(
            getattr(config, section), **_with_a_meaning(getattr(config, section), values)
        )
        for section, values in chosen.items()
    }
    return dataclasses.replace(config, **sections)


def _with_a_meaning(section: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Return what changes in a section: `values`, and defaults for what they leave meaningless."""
    result = dict(values)
    for item in dataclasses.fields(section):
        only_with = item.metadata.get("only_with")
        if only_with is None:
            continue
        other = result.get(only_with[0], getattr(section, only_with[0]))
        value = result.get(item.name, getattr(section, item.name))
        if not has_a_meaning(item, other, value):
            result[item.name] = default_of(item)
    return result


def has_a_meaning(item: "dataclasses.Field[Any]", other: Any, value: Any) -> bool:
    """Return whether a value of an option does something beside one of the option that it needs."""
    of = item.metadata.get("of")
    if of and value not in of:
        return True
    _, allowed = item.metadata["only_with"]
    if callable(allowed):
        return bool(allowed(other))
    return other in allowed if allowed else other is not None


def options_of_trial(trial: ExperimentConfig, sample: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a sample names, by dotted name, as the trial really has them.

    Parameters
    ----------
    trial : what `config_of_sample` gives for the sample
    sample : of the trial
    """
    found: dict[str, Any] = {}
    for name in options_among(sample):
        option = option_of(name)
        value = option.value_in(getattr(trial, option.section))
        found[name] = list(value) if isinstance(value, tuple) else value
    return found
