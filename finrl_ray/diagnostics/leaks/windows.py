"""Whether the windows of an experiment share anything, and what a same-close fill is worth."""

from dataclasses import replace
from itertools import combinations

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.config.env import EnvConfig
from finrl_ray.data.labels import date_label
from finrl_ray.data.market_data import MarketData
from finrl_ray.diagnostics.findings import FindingList
from finrl_ray.diagnostics.leaks.sample import SEED, Sample
from finrl_ray.env.make import make_vec_env
from finrl_ray.env.scaling import fitted_scaling
from finrl_ray.metrics.performance import sharpe_ratio
from finrl_ray.metrics.returns import simple_returns
from finrl_ray.support.text import counted

RUN = 5
"""Consecutive days whose returns identify a stretch of data."""
UNTRADABLE = 1.0
"""Difference of annual Sharpe ratios between the fills from which one is warned."""


def check_windows(sample: Sample, findings: FindingList) -> None:
    """Look for rows, and for prices, that two windows share; say what an embargo would be."""
    split = sample.split
    for one, other in combinations(split.windows, 2):
        shared = min(one.stop_row, other.stop_row) - max(one.first_row, other.first_row)
        if shared > 0:
            findings.error("split", f"{one.name} and {other.name} share {counted(shared, 'row')}")
        again = _repeated(sample.market_data, (one.first_row, one.stop_row), other.first_row)
        if again is not None:
            findings.error(
                f"split.{other.name}",
                f"the prices of {date_label(again)} and the days after have been in {one.name} "
                "before",
                "look for rows that were copied under other dates",
            )
    look_back = sample.market_data.warmup
    gap = split.validation.first_row - split.train.stop_row
    findings.ok(
        "split",
        f"no window shares a row; features look back {counted(look_back, 'row')}, so an embargo of "
        f"{counted(look_back, 'row')} would keep features of validation off the train rows (it is "
        f"{gap})",
    )


def _repeated(data: MarketData, first: tuple[int, int], start: int) -> np.datetime64 | None:
    """Return the first date from `start` on whose run of returns occurs in an earlier window."""
    returns = data.close[1:] / data.close[:-1] - 1.0
    runs = np.lib.stride_tricks.sliding_window_view(returns, RUN, axis=0)
    prints = np.round(runs, 10).reshape(len(runs), -1)
    moving = np.ptp(prints, axis=1) > 0
    known = {prints[row].tobytes() for row in range(first[0], first[1] - RUN) if moving[row]}
    for row in range(start, len(prints)):
        if moving[row] and prints[row].tobytes() in known:
            date: np.datetime64 = data.dates[row]
            return date
    return None


def check_fills(sample: Sample, findings: FindingList) -> None:
    """Trade simple rules on the train window with both fills and compare their Sharpe ratios."""
    data = sample.split.train.cut(sample.market_data)
    if not data.has_open or data.seams:
        findings.note(
            "env.fill",
            "the source has no open for every quote, so that fills at the next open cannot be "
            "compared with those at the same close",
        )
        return
    worst, lines = 0.0, []
    for name in ("momentum", "reversal", "random"):
        close, opened = (_rule_sharpe(sample, data, name, fill) for fill in ("close", "next_open"))
        lines.append(f"{name} {close:.2f} / {opened:.2f}")
        worst = max(worst, close - opened)
    text = f"annual Sharpe ratios with fills at the close / at the next open: {', '.join(lines)}"
    if worst > UNTRADABLE and sample.config.env.fill == "close":
        findings.warning(
            "env.fill",
            f"{text}; what is earned at the close that the rule has just seen cannot be traded",
            "set env.fill to next_open",
        )
    else:
        findings.ok("env.fill", text)


def _rule_sharpe(sample: Sample, data: MarketData, rule: str, fill: str) -> float:
    config: EnvConfig = _with_fill(sample.config.env, fill)
    env = make_vec_env(
        data,
        config,
        scaling=fitted_scaling(config, data),
        training=False,
        record_trades=False,
    )
    env.reset()
    signs = np.sign(np.diff(data.close, axis=0, prepend=data.close[:1]))
    rng = np.random.default_rng(SEED)
    history = None
    for row in range(data.n_periods - 1):
        orders: FloatArray = {
            "momentum": signs[row],
            "reversal": -signs[row],
            "random": rng.uniform(-1.0, 1.0, data.n_assets),
        }[rule]
        _, _, dones, infos = env.step(orders[None, :].astype(np.float32))
        if dones[0]:
            history = infos[0]["account_history"]
    assert history is not None
    returns = simple_returns(history.account_value)
    year = sample.config.evaluation.periods_per_year or 252.0
    value = sharpe_ratio(returns, periods_per_year=year)
    return value if np.isfinite(value) else 0.0


def _with_fill(config: EnvConfig, fill: str) -> EnvConfig:
    # parity has no other fill; its quirks do not matter to the comparison
    account = replace(config.of_this_package().of_stocks(), parity=False, discrete_actions="none")
    return replace(account, fill=fill)  # type: ignore[arg-type]  # one of the two
