"""`load_market_data`: a `DataConfig` -> `MarketData` and the report of what was done."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from finrl_ray.config.data import DataConfig
from finrl_ray.data.chosen_features import FINRL, feature_names
from finrl_ray.data.columns import PRICE_COLUMNS
from finrl_ray.data.features import (
    add_features,
    add_turbulence,
    available_indicators,
    flat_until,
)
from finrl_ray.data.indicators import FINRL_INDICATORS, is_indicator
from finrl_ray.data.labels import date_label
from finrl_ray.data.market_data import MarketData, market_data_from_long
from finrl_ray.data.own_features.add import add_own_features
from finrl_ray.data.report import DataReport
from finrl_ray.data.sources.registry import (
    is_own_source,
    read_source,
    source_description,
    source_notes,
    source_place,
)
from finrl_ray.errors import DataError
from finrl_ray.own_code.code_files import CodeFiles, collect_code
from finrl_ray.own_code.finder import activate, active_code
from finrl_ray.own_code.kinds import KINDS
from finrl_ray.own_code.reference import is_reference, module_of, names_a_place
from finrl_ray.support.progress import Progress, no_progress
from finrl_ray.support.text import listed


def load_market_data(
    config: DataConfig, base_dir: Path = Path(), *, progress: Progress = no_progress
) -> tuple[MarketData, DataReport]:
    """Return the market data that a configuration describes, and a report of what was done.

    Features are computed on the whole history, before any window is cut, so the first row of each
    window has complete indicators; they are causal, so nothing leaks by that.

    Parameters
    ----------
    config : the `data` section
    base_dir : folder from which a relative path in `config.source`, and own code, are looked up
    progress : told of downloads and of features

    Raises
    ------
    DataError
        If the source cannot be read or used; see docs/data.md.
    ConfigError
        If the source needs an extra that is not installed, or own code cannot be used.
    """
    _find_own_code(config, base_dir)
    return market_data_of(read_source(config, base_dir, progress), config, progress=progress)


def _find_own_code(config: DataConfig, base_dir: Path) -> None:
    """Make the files of the user's that a section names what is imported in this process."""
    features = (config.features,) if isinstance(config.features, str) else config.features
    named = [(name, "features") for name in features if names_a_place(name)]
    if is_own_source(config) and names_a_place(config.source):
        named.append((config.source, "source"))
    tops = {module_of(name).partition(".")[0] for name, _ in named}
    beside = [top for top in tops if any((base_dir / f).exists() for f in (top, f"{top}.py"))]
    if not beside and tops <= active_code().modules:
        return  # of a search that has its code from elsewhere
    activate(CodeFiles())  # what another config has left is not found in the place of a file
    places = {f"{KINDS[kind].key}[{i}]": name for i, (name, kind) in enumerate(named)}
    activate(collect_code(places, base_dir), named)


def market_data_of(
    df: pd.DataFrame,
    config: DataConfig,
    *,
    progress: Progress = no_progress,
    check_own_features: bool = True,
) -> tuple[MarketData, DataReport]:
    """Return what `load_market_data` does, from the rows of the source.

    Parameters
    ----------
    df : frame in FinRL's long format; not changed
    config : the `data` section
    progress : told of features
    check_own_features : call functions of the user's again, and without the last rows, to see that
        they are deterministic and do not look ahead; else they are called once

    Raises
    ------
    DataError
        If the rows cannot be used; see docs/data.md.
    ConfigError
        If a function of the user's under `data.features` fails, or is not what it must be.
    """
    plan = _plan_features(config, df)
    try:
        market_data, report = market_data_from_long(
            df,
            features=plan.columns,
            tickers=config.tickers,
            start=config.start,
            end=config.end,
            market_columns=config.market_columns,
            max_late_rows=config.max_late_rows,
            timezone=config.timezone,
        )
    except DataError as error:
        raise DataError(f"data.source {source_place(config)}: {error}") from error
    report = replace(report, source=source_description(config))
    indicators = plan.indicators
    notes = [*source_notes(config), *plan.notes]
    if plan.may_lack:
        computed = [name for name in plan.may_lack if name in indicators]
        present = available_indicators(market_data, computed)
        left_out = [name for name in computed if name not in present]
        indicators = tuple(name for name in indicators if name not in left_out)
        if left_out:
            notes.append(
                f"Of FinRL's indicators {listed(left_out)} were left out, because they need "
                "columns that the source does not have for every ticker."
            )
    market_data = add_features(market_data, indicators, progress)
    market_data = add_own_features(
        market_data,
        plan.own,
        config.feature_kwargs,
        checked=check_own_features,
        progress=progress,
    )
    if config.turbulence:
        market_data = add_turbulence(market_data)
    order = [n for n in feature_names(plan.order, market_data) if n in market_data.feature_names]
    market_data = _with_feature_order(market_data, order)
    return market_data, report.with_notes(*notes, *_warmup_notes(market_data, indicators))


@dataclass(frozen=True, kw_only=True, slots=True)
class _FeaturePlan:
    order: tuple[str, ...]
    columns: tuple[str, ...]
    own: tuple[str, ...]
    indicators: tuple[str, ...]
    notes: tuple[str, ...]
    may_lack: tuple[str, ...]


def _plan_features(config: DataConfig, df: pd.DataFrame) -> _FeaturePlan:
    given = (config.features,) if isinstance(config.features, str) else config.features
    repeated = sorted({name for name in given if given.count(name) > 1})
    if repeated:
        raise DataError(f"data.features must name each feature once; twice: {listed(repeated)}")
    # of a list of its own a user wants every name, of FinRL's what the source can have
    listed_names = FINRL_INDICATORS if FINRL in given else ()
    spelt = [one for name in given for one in (listed_names if name == FINRL else [name])]
    order = tuple(dict.fromkeys(spelt))
    columns = tuple(name for name in order if name in df.columns)
    shadowed = [name for name in columns if name not in PRICE_COLUMNS and is_indicator(name)]
    notes: tuple[str, ...] = ()
    if shadowed:
        notes = (
            f"The source has columns {listed(shadowed)}; they are used as they are instead of "
            "being computed, so whether they look ahead is up to the source.",
        )
    own = tuple(name for name in order if name not in columns and _is_own(name))
    indicators = tuple(name for name in order if name not in columns and name not in own)
    may_lack = tuple(name for name in listed_names if name not in given)
    return _FeaturePlan(
        order=order,
        columns=columns,
        own=own,
        indicators=indicators,
        notes=notes,
        may_lack=may_lack,
    )


def _is_own(name: str) -> bool:
    """Return whether a feature is a function of the user's; indicators win over entry points."""
    return is_reference(name, "features") and (names_a_place(name) or not is_indicator(name))


def _with_feature_order(market_data: MarketData, order: list[str]) -> MarketData:
    if list(market_data.feature_names) == order:
        return market_data
    positions = [market_data.feature_names.index(name) for name in order]
    features = np.ascontiguousarray(market_data.features[:, :, positions])
    return replace(market_data, features=features, feature_names=tuple(order))


def _flat_notes(market_data: MarketData) -> list[str]:
    """Say which tickers' prices stood still while the others' indicators were complete."""
    last = market_data.warmup - 1
    late = np.flatnonzero(~np.isfinite(market_data.features[last]).all(axis=1))
    notes = []
    for asset in late.tolist():
        moved = flat_until(market_data, asset)
        if market_data.warmup // 2 < moved < market_data.n_periods:
            notes.append(
                f"Warning: the price of {market_data.tickers[asset]} does not move before "
                f"{date_label(market_data.dates[moved])}, so that its indicators have no value and "
                f"all tickers wait until {date_label(market_data.dates[market_data.warmup])}; "
                "leave the ticker out, or start later."
            )
    return notes


def _warmup_notes(market_data: MarketData, indicators: tuple[str, ...]) -> list[str]:
    if market_data.warmup == 0:
        return []
    if market_data.warmup >= market_data.n_periods:
        raise DataError(
            f"the features are complete only after {market_data.warmup} rows, but the data has "
            f"{market_data.n_periods}; use more data or shorter windows"
        )
    first = date_label(market_data.dates[market_data.warmup])
    notes = [f"The first {market_data.warmup} rows are warm-up; the first complete row is {first}."]
    notes += _flat_notes(market_data)
    own_quotes = market_data.tradable[: market_data.warmup + 1].sum(axis=0)
    gappy = [
        name
        for name, count in zip(market_data.tickers, own_quotes, strict=True)
        if indicators and count < market_data.warmup + 1
    ]
    if gappy:
        notes.append(
            f"{listed(gappy)} have gaps in the warm-up, so their first indicators use fewer "
            "quotes than the nominal window."
        )
    return notes
