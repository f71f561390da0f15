"""The columns of the market that one trial sees."""

from collections.abc import Mapping, Sequence
from typing import Any

from finrl_ray.config.trial.options import FEATURES
from finrl_ray.data.indicators import FINRL_INDICATORS
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import DataError
from finrl_ray.support.text import listed

FINRL = "finrl"
"""Stands for FinRL's list of indicators, as far as the source can have them."""


def market_of_sample(market_data: MarketData, sample: Mapping[str, Any]) -> MarketData:
    """Return the market with the features that a sample chooses, in its order; all of them if none.

    Parameters
    ----------
    market_data : with every feature that a trial of the search may choose
    sample : of the trial

    Raises
    ------
    DataError
        If the market lacks one of them.
    """
    if FEATURES not in sample:
        return market_data
    chosen = sample[FEATURES]
    names = feature_names([chosen] if isinstance(chosen, str) else chosen, market_data)
    missing = [name for name in names if name not in market_data.feature_names]
    if missing:
        raise DataError(
            f"{FEATURES}: the market has no {listed(missing)}; it has "
            f"{listed(market_data.feature_names)}"
        )
    return market_data.with_features(names)


def feature_names(names: Sequence[str], market_data: MarketData) -> list[str]:
    """Return names with `finrl` replaced by those of FinRL's indicators that the market has."""
    found = [name for name in FINRL_INDICATORS if name in market_data.feature_names]
    spelt = [one for name in names for one in (found if name == FINRL else [name])]
    return list(dict.fromkeys(spelt))
