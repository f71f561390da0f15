"""The columns of the market that one trial sees."""

from collections.abc import Mapping, Sequence
from typing import Any

from finrl_ray.config.trial.options import FEATURES
from finrl_ray.data.indicators import FINRL_INDICATORS
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.own_features.names import FEATURE_KWARGS, is_of, keywords_of, value_text
from finrl_ray.errors import DataError
from finrl_ray.support.text import listed

FINRL = "finrl"
"""Stands for FinRL's list of indicators, as far as the source can have them."""
_KEYWORD = f"{FEATURE_KWARGS}."


def market_of_sample(market_data: MarketData, sample: Mapping[str, Any]) -> MarketData:
    """Return the market with the features that a sample chooses, in its order; all of them if none.

    Of the features of the user's own functions it has those for the keywords that the sample
    chooses.

    Parameters
    ----------
    market_data : with every feature that a trial of the search may choose
    sample : of the trial

    Raises
    ------
    DataError
        If the market lacks one of them.
    """
    keywords = {
        name.removeprefix(_KEYWORD): value
        for name, value in sample.items()
        if name.startswith(_KEYWORD)
    }
    if FEATURES not in sample and not keywords:
        return market_data
    chosen = sample.get(FEATURES, market_data.feature_names)
    names = feature_names([chosen] if isinstance(chosen, str) else chosen, market_data)
    missing = [name for name in names if name not in market_data.feature_names]
    if missing:
        raise DataError(
            f"{FEATURES}: the market has no {listed(missing)}; it has "
            f"{listed(market_data.feature_names)}"
        )
    return market_data.with_features(_with_keywords(names, keywords))


def _with_keywords(names: Sequence[str], keywords: Mapping[str, Any]) -> list[str]:
    """Return the names without those that were computed with other keywords."""
    wanted = {name: value_text(value) for name, value in keywords.items()}
    own = {name: {k: value_text(v) for k, v in keywords_of(name).items()} for name in names}
    for keyword, text in wanted.items():
        present = {found[keyword] for found in own.values() if keyword in found}
        if present and text not in present:
            raise DataError(
                f"{_KEYWORD}{keyword}: the market has no features for {text}, but for "
                f"{', '.join(sorted(present))}"
            )
    return [
        name
        for name in names
        if all(wanted.get(keyword, text) == text for keyword, text in own[name].items())
    ]


def feature_names(names: Sequence[str], market_data: MarketData) -> list[str]:
    """Return names with `finrl`, and references of functions, replaced by those of features.

    Parameters
    ----------
    names : features, `finrl`, and references; what the market does not have stays as it is
    market_data : with the features
    """
    known = market_data.feature_names
    spelt: list[str] = []
    for name in names:
        if name == FINRL:
            spelt += [one for one in FINRL_INDICATORS if one in known]
        elif name in known:
            # a function that gives a series without keywords has its reference as name
            spelt.append(name)
        else:
            spelt += [one for one in known if is_of(one, name)] or [name]
    return list(dict.fromkeys(spelt))
