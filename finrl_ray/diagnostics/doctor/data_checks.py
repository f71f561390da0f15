"""What can be wrong with the data and the windows of an experiment."""

import dataclasses
import math
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from finrl_ray.config.data import DataConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.chosen_features import FINRL
from finrl_ray.data.columns import PRICE_COLUMNS
from finrl_ray.data.frames.dates import read_dates
from finrl_ray.data.indicators import FINRL_INDICATORS
from finrl_ray.data.load import market_data_of
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.periods_per_year import with_periods_per_year
from finrl_ray.data.price_findings import dropped_tickers, price_findings
from finrl_ray.data.sources.registry import read_source
from finrl_ray.data.windows.split import Split, make_split
from finrl_ray.diagnostics.doctor.trading_checks import (
    check_order_size,
    check_short,
    check_slippage,
    check_whole_shares,
)
from finrl_ray.diagnostics.findings import FindingList
from finrl_ray.diagnostics.setup.bad_cells import UNUSABLE, BadCells, frame_cells
from finrl_ray.errors import ConfigError, FinRLRayError
from finrl_ray.metrics.registry import MEASURES
from finrl_ray.search.sampling.domains import build_space, corner_samples
from finrl_ray.search.sampling.formulations import slow_formulations
from finrl_ray.search.sampling.searched_data import data_of_search
from finrl_ray.support.text import counted

LARGEST_ERROR = 1.0
"""Standard error of an annualised Sharpe ratio from which on it says little."""
_MOST_LISTED = 12
_MARKET = "the market"


def check_data(
    config: ExperimentConfig, base_dir: Path, findings: FindingList
) -> MarketData | None:
    """Look through the source as it is written, then load it.

    Parameters
    ----------
    config : the experiment
    base_dir : folder that a relative `data.source` is looked up from
    findings : gets every bad cell by column, ticker and date, and what loading did about them

    Returns
    -------
    MarketData or None
        None if the data cannot be loaded.
    """
    data = data_of_search(config)
    try:
        df = read_source(data, base_dir)
    except FinRLRayError as error:
        findings.error("data.source", str(error))
        return None
    try:
        cells = _bad_cells(df, data)
    except FinRLRayError as error:
        findings.error("data.source", str(error))
        return None
    _report_cells(cells, findings)
    unusable = [item for item in cells if item.kind in UNUSABLE]
    if unusable:
        df = _without_unusable(df, {item.column for item in unusable})
        findings.note("data.source", "the rest is checked as if the unusable cells were empty")
    for doubt in price_findings(df, data):
        findings.warning("prices", doubt.what, doubt.remedy)
    try:
        market_data, report = market_data_of(df, data)
    except FinRLRayError as error:
        findings.error("data", str(error))
        return None
    for item in dropped_tickers(report):
        findings.warning("data", item.what, item.remedy)
    for note in report.notes:
        if note.startswith("Warning: "):
            findings.warning("data", note.removeprefix("Warning: "))
    if not cells:
        findings.ok("data", f"{report.lines()[0]} No cell is missing or unusable.")
    return market_data


def _bad_cells(df: pd.DataFrame, config: DataConfig) -> list[BadCells]:
    """Return the bad cells of the rows and columns that the experiment reads."""
    if not {"date", "tic"} <= set(df.columns):
        return []  # loading says so, as of dates that cannot be read
    given = (config.features,) if isinstance(config.features, str) else config.features
    names = [one for n in given for one in (FINRL_INDICATORS if n == FINRL else (n,))]
    wanted = [n for n in dict.fromkeys((*PRICE_COLUMNS, *names)) if n in df.columns]
    row_dates = read_dates(df["date"], df["tic"].to_numpy(dtype=object), config.timezone)
    keep = np.ones(len(df), dtype=bool)
    if config.tickers is not None:
        keep &= df["tic"].isin(config.tickers).to_numpy()
    if config.start is not None:
        keep &= row_dates.dates >= row_dates.bound(config.start, "start")
    if config.end is not None:
        keep &= row_dates.dates < row_dates.bound(config.end, "end")
    rows, dates = df[keep], row_dates.dates[keep]
    own = [name for name in wanted if name not in config.market_columns]
    cells = frame_cells(rows, own, dates)
    for name in config.market_columns:
        if name in df.columns:
            # one value per date, which every ticker's row repeats
            cells += frame_cells(rows.assign(tic=_MARKET), [name], dates)
    return cells


def _without_unusable(df: pd.DataFrame, columns: Collection[str]) -> pd.DataFrame:
    cleaned = df.copy()
    for name in columns:
        numbers = pd.to_numeric(df[name], errors="coerce").astype("float64")
        usable = np.isfinite(numbers) & ((numbers >= 0) | (name not in PRICE_COLUMNS))
        cleaned[name] = numbers.where(usable)
    return cleaned


def _report_cells(cells: list[BadCells], findings: FindingList) -> None:
    ordered = sorted(cells, key=lambda item: item.kind not in UNUSABLE)
    for item in ordered[:_MOST_LISTED]:
        if item.kind in UNUSABLE:
            findings.error("data.source", str(item), "correct the cells, or leave them empty")
        elif item.column in ("close", "") or item.kind == "absent":
            findings.warning(
                "data.source",
                str(item),
                "the ticker is not traded on these dates and keeps its last price; fill in quotes "
                "if there were any",
            )
        else:
            findings.warning(
                "data.source", str(item), "the last value before it is used, where one is needed"
            )
    if len(cells) > _MOST_LISTED:
        rest = ordered[_MOST_LISTED:]
        level = findings.error if any(i.kind in UNUSABLE for i in rest) else findings.warning
        level("data.source", f"{len(rest)} more columns and tickers have such cells")


def check_windows(
    config: ExperimentConfig, market_data: MarketData, findings: FindingList
) -> tuple[ExperimentConfig, Split] | None:
    """Cut the windows; return the config with `periods_per_year` settled and the split.

    None if there are no windows to train and validate on.
    """
    try:
        config = with_periods_per_year(config, market_data.dates)
    except FinRLRayError as error:
        findings.error("evaluation.periods_per_year", str(error))
        evaluation = dataclasses.replace(config.evaluation, periods_per_year=252.0)
        config = dataclasses.replace(config, evaluation=evaluation)
    try:
        split = make_split(market_data, config.split)
    except FinRLRayError as error:
        findings.error("split", str(error))
        return None
    for note in split.notes:
        findings.warning("split", note)
    _check_length(config, split, findings)
    samples = corner_samples(build_space(config))
    try:
        found = slow_formulations(config, samples, market_data, split)
        for slow in found:
            findings.warning("env.hmax", slow.what, slow.remedy)
        if not found:
            check_order_size(config, split.train.cut(market_data), findings)
        check_whole_shares(config, split.train.cut(market_data), findings)
        check_slippage(config, market_data, split, findings)
    except ConfigError as error:  # not one number for each ticker
        findings.error("env.hmax", str(error))
    check_short(config, findings)
    return config, split


def _check_length(config: ExperimentConfig, split: Split, findings: FindingList) -> None:
    periods, rows = config.evaluation.periods_per_year or 252.0, split.validation.n_rows
    # of the estimate, for returns that are not autocorrelated: Lo (2002), "The Statistics of
    # Sharpe Ratios", Financial Analysts Journal 58(4)
    error = math.sqrt(periods / max(1, rows - 1))
    words = (
        f"the validation window has {counted(rows, 'row')}: an annualised Sharpe ratio measured "
        "on it has a "
        f"standard error of about {error:.1f}"
    )
    measure = MEASURES.get(config.evaluation.metric)
    if (measure is None or measure.kind == "ratio") and error > LARGEST_ERROR:
        findings.warning(
            "split.validation",
            f"{words}, so trials are ranked mostly by luck",
            f"give it {math.ceil(periods)} rows or more",
        )
    else:
        findings.ok("split", f"{counted(split.train.n_rows, 'row')} to train on; {words}")
