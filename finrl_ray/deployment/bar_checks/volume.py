"""Volumes that a source has revised: whether they matter to an agent, and what is said of them."""

from collections.abc import Collection, Sequence

import numpy as np

from finrl_ray.agents.ensemble_model.files import read_ensemble
from finrl_ray.config.data import DataConfig
from finrl_ray.config.env import EnvConfig
from finrl_ray.data.chosen_features import FINRL
from finrl_ray.data.indicators import FINRL_INDICATORS, required_columns
from finrl_ray.deployment.agent_folder import AgentFolder
from finrl_ray.deployment.bar_checks.grid import BarGrid
from finrl_ray.deployment.bar_checks.history import SAME, same_values
from finrl_ray.errors import DataError
from finrl_ray.support.text import counted

VOLUME = "volume"


def agent_needs_volume(folder: AgentFolder) -> bool:
    """Return whether the agent of a folder needs the traded volume; see `needs_volume`."""
    envs = [folder.config.env]
    if folder.facts["members"]:
        envs += [member.env for member in read_ensemble(folder.model_path)[0]]
    return needs_volume(list(folder.bars.columns), folder.config.data, envs)


def needs_volume(known: Collection[str], config: DataConfig, envs: Sequence[EnvConfig]) -> bool:
    """Return whether an agent sees the traded volume, pays by it, or may do so by the user's code.

    Parameters
    ----------
    known : columns of the agent's bars
    config : its `data` section
    envs : its `env` section, or those of the members of an ensemble
    """
    if any(env.class_ is not None or env.volume_slippage > 0.0 for env in envs):
        return True
    features = (config.features,) if isinstance(config.features, str) else config.features
    seen = [name for name in features if name != FINRL]
    if FINRL in features:
        seen += FINRL_INDICATORS
    # the other columns of the whole market, such as turbulence, are made of closes
    return VOLUME in config.market_columns or any(_is_of_volume(name, known) for name in seen)


def _is_of_volume(name: str, known: Collection[str]) -> bool:
    if name in known:  # a column of the source
        return name == VOLUME
    try:
        return VOLUME in required_columns(name)
    except DataError:
        return True  # a function of the user's reads what it likes


def revised_volumes(
    known: BarGrid, new: BarGrid, *, not_traded: Collection[str] = ()
) -> tuple[str, ...]:
    """Return a sentence on volumes that differ from those that an agent knows; none if none do.

    Parameters
    ----------
    known : of the agent
    new : of the same tickers in the same order
    not_traded : tickers that are not compared where they have no row
    """
    if VOLUME not in known.columns or VOLUME not in new.columns:
        return ()
    _, ours, theirs = np.intersect1d(known.dates, new.dates, return_indices=True)
    left_out = np.array([name in not_traded for name in known.tickers]) & ~new.there.any(axis=0)
    both = known.own[ours] & new.there[theirs] & ~left_out
    old, fresh = known.columns[VOLUME][ours], new.columns[VOLUME][theirs]
    changed = both & ~same_values(old, fresh, SAME)
    if not changed.any():
        return ()
    row, asset = (int(i) for i in np.argwhere(changed)[0])
    return (
        f"The source has revised {counted(int(changed.sum()), 'volume')} of {both.sum()} in common "
        f"(first that of {known.where(int(ours[row]), asset)}: {old[row, asset]:g} is known, "
        f"{fresh[row, asset]:g} came). Neither the features nor the costs of this agent depend on "
        f"volume, and the known ones are kept.",
    )
