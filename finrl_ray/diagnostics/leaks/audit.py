"""`audit_config` and `audit_data`: every check for leaks, as one report."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import load_config
from finrl_ray.data.load import market_data_of
from finrl_ray.data.periods_per_year import with_periods_per_year
from finrl_ray.data.price_findings import dropped_tickers, price_findings
from finrl_ray.data.report import DataReport
from finrl_ray.data.sources.registry import read_source
from finrl_ray.data.windows.split import make_split
from finrl_ray.diagnostics.findings import FindingList, FindingsReport
from finrl_ray.diagnostics.leaks.causality import (
    check_other_future,
    check_scaling,
    check_tickers_apart,
    check_without_future,
)
from finrl_ray.diagnostics.leaks.columns import check_columns
from finrl_ray.diagnostics.leaks.sample import Sample, dated
from finrl_ray.diagnostics.leaks.windows import check_fills, check_windows
from finrl_ray.env.slow_investment import slow_investment
from finrl_ray.search.folder.own_code import code_of, run_code
from finrl_ray.search.sampling.searched_data import data_of_search


def audit_config(path: str | Path, overrides: Sequence[str] = ()) -> FindingsReport:
    """Look for leaks in the data and features of a config.

    Parameters
    ----------
    path : a YAML file
    overrides : `dotted.key=value` strings

    Raises
    ------
    ConfigError, DataError
        If the config or its data cannot be read.
    """
    config = load_config(Path(path), overrides)
    folder = Path(path).parent
    run_code(config, code_of(config, folder))
    return audit_data(read_source(data_of_search(config), folder), config)


def audit_data(rows: pd.DataFrame, config: ExperimentConfig) -> FindingsReport:
    """Look for leaks in rows that are in memory.

    Parameters
    ----------
    rows : frame in FinRL's long format; not changed
    config : the experiment; its `data.source` is not read

    Returns
    -------
    FindingsReport
        Errors are leaks; warnings may be, or are doubts about prices. What it cannot find is in
        docs/audit.md.

    Raises
    ------
    DataError
        If the rows cannot be used.
    """
    # every feature that a trial may choose is looked at
    config = dataclasses.replace(config, data=data_of_search(config))
    # first, because it says what is wrong with rows that cannot be used
    market_data, report = market_data_of(rows, config.data)
    in_order = dated(rows, config.data.timezone)
    config = with_periods_per_year(config, market_data.dates)
    sample = Sample(
        source=rows,
        rows=in_order,
        config=config,
        market_data=market_data,
        split=make_split(market_data, config.split),
    )
    findings = FindingList()
    check_without_future(sample, findings)
    check_other_future(sample, findings)
    check_tickers_apart(sample, findings)
    check_columns(sample, findings)
    check_scaling(sample, findings)
    check_windows(sample, findings)
    check_fills(sample, findings)
    kept = _without_false_comfort(findings)
    _check_prices(sample, report, kept)
    return FindingsReport(findings=tuple(kept))


def _check_prices(sample: Sample, report: DataReport, findings: FindingList) -> None:
    """Say what is no leak, but makes the numbers of prices and accounts doubtful."""
    data = sample.config.data
    for item in (*price_findings(sample.source, data), *dropped_tickers(report)):
        findings.warning("prices", item.what, item.remedy)
    if not {"env.hmax", "env.hmax_unit", "env.action"} & set(sample.config.search.space):
        slow = slow_investment(sample.market_data, sample.split, sample.config.env)
    else:
        slow = None  # what trials choose is looked at when the search starts
    if slow is not None:
        findings.warning("env.hmax", slow.what, slow.remedy)


def _without_false_comfort(findings: FindingList) -> FindingList:
    """Leave out what is said to be in order where something is not."""
    bad = {item.where.split(".")[0] for item in findings if item.level in ("error", "warning")}
    kept = FindingList()
    for item in findings:
        if item.level != "ok" or item.where.split(".")[0] not in bad:
            kept.append(item)
    return kept
