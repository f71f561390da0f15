"""Skill or luck: the trials against chance, and the winner over seeds and windows."""

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray._typing import FloatArray
from finrl_ray.report.charts.figure import Figure
from finrl_ray.report.charts.model import Bars, Heat, Line, Mark, Panel, Rule
from finrl_ray.report.read_search import SearchReport, ensembles_returns_of, fold_returns_of
from finrl_ray.statistics.sharpe_inference import estimate_sharpe
from finrl_ray.statistics.verdict import FORMER_RULE, Verdict
from finrl_ray.statistics.verdict_text import ratio_name, series_name

_POINTS = 201


def trial_sharpes(search: SearchReport) -> Figure:
    """Return the trials' ratios that the verdict is about, against what luck alone would show.

    The two curves are those that the deflated Sharpe ratio rests on (Bailey and Lopez de Prado,
    2014): one trial without skill is normal around 0 with the error of such a ratio (in verdicts of
    earlier versions with the variance that the trials show); the best of N such trials has the
    density N phi(x) Phi(x)^(N - 1).
    """
    shell: dict[str, Any] = {"name": "trial_sharpes", "title": "Trials against luck"}
    judged, verdict = search.judged_returns, search.verdict
    if judged is None or verdict is None:
        caption = "What the verdict is about, of each trial, beside what luck alone would show."
        empty = "the verdict is reached once every trial has ended"
        return Figure(**shell, caption=caption, empty=empty)
    found = verdict.verdict
    shell["caption"] = (
        f"Annual Sharpe ratio of each trial's {series_name(found)}. The curves are trials without "
        "any skill: one of them, and the best of as many as were started. A winner within the "
        "second curve may be lucky."
    )
    year = math.sqrt(search.folder.periods_per_year)
    names = [name for name in judged.columns if name != "date"]
    ratios = np.array([estimate_sharpe(judged[name].to_numpy()).sharpe * year for name in names])
    table = pd.DataFrame({"trial": names, "judged_ratio": ratios})
    known = ratios[np.isfinite(ratios)]
    if not known.size:
        return Figure(**shell, table=table, empty="no trial has left a ratio to compare")
    deviation = _deviation(found, known, year)
    marks: list[Mark] = [_histogram(known)]
    width = float(marks[0].widths[0])  # type: ignore[union-attr]  # a Bars with widths
    if deviation > 0:
        marks += _chance(known, deviation, found.n_trials, known.size * width)
    if math.isfinite(found.luck_annual):
        marks.append(Rule(at=found.luck_annual, label="expected of luck", vertical=True))
    if math.isfinite(found.sharpe_annual):
        marks.append(Rule(at=found.sharpe_annual, label="winner", role="winner", vertical=True))
    label = f"annual {ratio_name(found)}"
    panel = Panel(marks=marks, x_label=label, x_format="number", y_label="trials")
    return Figure(**shell, panels=[panel], table=table)


def _deviation(found: Verdict, known: FloatArray, year: float) -> float:
    """Return the deviation of the annual ratio of a trial without skill."""
    if found.rule == FORMER_RULE:
        return float(known.std(ddof=1)) if known.size > 1 else 0.0
    if not math.isfinite(found.dependence):
        return 0.0
    return year * math.sqrt(found.dependence / found.n_periods)


def _histogram(values: FloatArray) -> Bars:
    counts, edges = np.histogram(values, bins=min(30, max(5, int(math.sqrt(values.size) * 2))))
    return Bars(
        name="trials",
        x=(edges[:-1] + edges[1:]) / 2,
        y=counts.astype(float),
        widths=np.diff(edges),
        role="trial",
    )


def _chance(known: FloatArray, deviation: float, n_trials: int, scale: float) -> list[Mark]:
    """Return both densities; `scale` makes them as high as the bars would be."""
    reach = 4.0 * deviation
    x = np.linspace(min(-reach, known.min()), max(reach, known.max()), _POINTS)
    unskilled = NormalDist(0.0, deviation)
    one = np.array([unskilled.pdf(at) for at in x])
    below = np.array([unskilled.cdf(at) for at in x])
    best = n_trials * one * below ** (n_trials - 1)
    lines: list[Mark] = [
        Line(name="one trial without skill", x=x, y=one * scale, role="other", dashed=True)
    ]
    if n_trials > 1:
        name = f"best of {n_trials:,} without skill"
        lines.append(Line(name=name, x=x, y=best * scale, role="luck"))
    return lines


def seeds_and_windows(search: SearchReport) -> Figure:
    """Return the best configuration's Sharpe ratio of every training: seeds or paths x windows."""
    shell: dict[str, Any] = {
        "name": "seeds_and_windows",
        "title": "Seeds and windows",
        "caption": "Annual Sharpe ratio beyond buy & hold of every training of one configuration, "
        "each on days that this training has not seen. A row of one colour is a lucky seed, a "
        "column a lucky window.",
    }
    tables = {}
    own = search.fold_returns
    if own is not None:
        per_row = search.folder.config.validation.trainings_per_path
        tables[f"{search.who} in the search"] = _matrix(search, own, per_row, "path")
    confirmed = _confirmed(search)
    if confirmed is not None:
        who, frame, n_windows = confirmed
        tables[f"{who}, confirmed"] = _matrix(search, frame, n_windows, "seed")
    if not tables:
        empty = (
            "each trial was trained once, on one window; `finrl-ray confirm` trains the best again "
            "with new seeds on several"
        )
        return Figure(**shell, empty=empty)
    panels = [
        Panel(
            marks=[Heat(x=list(table.columns), y=list(table.index), z=table.to_numpy())],
            title=title,
            x_kind="name",
            weight=len(table) + 1.0,
        )
        for title, table in tables.items()
    ]
    rows = pd.concat(
        [table.reset_index(names="row").assign(of=title) for title, table in tables.items()],
        ignore_index=True,
    )
    height = 130 * len(tables) + 34 * sum(len(table) for table in tables.values())
    return Figure(**shell, panels=panels, table=rows, height=height)


def _confirmed(search: SearchReport) -> tuple[str, pd.DataFrame, int] | None:
    """Return the best confirmed trial or ensemble, its returns and the number of windows."""
    found = search.confirmation
    if found is None:
        return None
    best = found.table[found.table["rank"] == 1]
    if not len(best):
        return None
    row = best.iloc[0]
    together = pd.isna(row["trial"])
    if together:
        frame = ensembles_returns_of(found.path)
    else:
        # the new trainings are numbered by the ranks that the configurations had in the search
        frame = fold_returns_of(found.path, int(row["search_rank"]) - 1)
    if frame is None:
        return None
    n_windows = max(1, int(frame["date"].groupby(frame["fold"]).min().nunique()))
    return str(row["reason"]) if together else f"trial {row['trial']}", frame, n_windows


def _matrix(search: SearchReport, frame: pd.DataFrame, per_row: int, row: str) -> pd.DataFrame:
    """Return the annual ratios of folds in order, `per_row` in each row.

    A row that is not complete, even the first of a search that was interrupted in it, has NaN.
    """
    year = math.sqrt(search.folder.periods_per_year)
    folds = list(frame.groupby("fold", sort=True))
    ratios = [estimate_sharpe(one["active_return"].to_numpy()).sharpe * year for _, one in folds]
    n_rows = math.ceil(len(ratios) / per_row)
    cells = np.full(n_rows * per_row, np.nan)
    cells[: len(ratios)] = ratios
    columns = [f"{i}: {_span(one['date'])}" for i, (_, one) in enumerate(folds[:per_row], start=1)]
    columns += [f"{i}: not trained yet" for i in range(len(columns) + 1, per_row + 1)]
    names = [f"{row} {i + 1}" for i in range(n_rows)]
    return pd.DataFrame(cells.reshape(n_rows, per_row), index=names, columns=columns)


def _span(dates: pd.Series) -> str:
    return f"{dates.min():%Y-%m} to {dates.max():%Y-%m}"
