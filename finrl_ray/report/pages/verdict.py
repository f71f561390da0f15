"""The verdict on the report page: its sentence, what it rests on, and every figure of it."""

from typing import Any

from finrl_ray.report.glossary import OF_VERDICTS, meaning
from finrl_ray.report.pages.blocks import Cell, Column, Row, TableBlock, VerdictBlock, number_cell
from finrl_ray.report.read_search import SearchReport
from finrl_ray.statistics.detectable_sharpe import DSR_LEAST, P_BELOW, P_BELOW_EACH
from finrl_ray.statistics.verdict import FORMER_RULE, PBO_MOST, Verdict
from finrl_ray.statistics.verdict_text import ratio_name, series_name

_FIGURES_OF_VERDICT = (
    ("n_trials", ",.0f", ""),
    ("n_with_returns", ",.0f", ""),
    ("n_periods", ",.0f", ""),
    ("sharpe_annual", ".3f", ""),
    (
        "standard_error_annual",
        ".3f",
        "for the skewness, kurtosis and dependence found",
    ),
    ("skew", ".2f", ""),
    ("kurtosis", ".2f", "3 for a normal distribution"),
    ("dependence", ".2f", "by the dependence of the days"),
    ("psr", ".3f", "that the true ratio is above 0"),
    ("psr_h0", ".3f", ""),
    ("luck_annual", ".3f", "annual Sharpe ratio (SR0)"),
    ("dsr", ".3f", f"evidence: at least {DSR_LEAST}"),
    ("dsr_calibrated", ".3f", ""),
    ("spa_p", ".3f", f"evidence: below {P_BELOW}"),
    ("reality_check_p", ".3f", ""),
    ("sidak_p", ".3f", "{weak}"),
    ("pbo", ".3f", f"evidence: at most {PBO_MOST}"),
    ("effective_trials", ".1f", "for display only"),
    ("min_track_record_periods", ",.0f", ""),
    ("min_backtest_years", ".1f", ""),
    ("needed_evidence_annual", ".2f", "as announced before it"),
    ("needed_by_winner_annual", ".2f", ""),
    ("needed_weak_annual", ".2f", "as announced before it"),
)


def verdict_block(search: SearchReport) -> VerdictBlock:
    """Return the verdict of a search, or why there is none yet."""
    warnings = _data_warnings(search)
    if search.verdict is not None:
        first, *rest = search.verdict.sentences()
        figures = _figures_table(search.verdict.verdict)
        return VerdictBlock(headline=first, lines=rest, warnings=warnings, figures=figures)
    lines = [f"how the trials stand: {search.lost_sentence()}"]
    if search.folder.kind == "confirmation":
        headline = "a confirmation ranks configurations again; the verdict is that of its search"
        return VerdictBlock(headline=headline, lines=lines, warnings=warnings)
    headline = "no verdict yet: luck is only told from skill once every trial has ended"
    if search.state == "finished":
        headline = f"no verdict was written; `finrl-ray resume {search.path}` writes it"
    return VerdictBlock(headline=headline, lines=lines, warnings=warnings)


def _data_warnings(search: SearchReport) -> list[str]:
    """Return what was found in the data and done to it; the first line only names the source."""
    return [str(line) for line in search.facts.get("data", {}).get("lines", [])[1:]]


def _figures_table(verdict: Verdict) -> TableBlock:
    found, former = verdict.to_dict(), verdict.rule == FORMER_RULE
    titles = {"sharpe_annual": f"annual {ratio_name(verdict)}"}
    below = P_BELOW if former else P_BELOW_EACH
    words = {
        "{weak}": f"weak evidence: below {below}" + ("" if former else ", as is SPA's"),
    }
    rows = [
        Row(
            cells=[
                Cell(text=titles.get(key, OF_VERDICTS[key].title), meaning=meaning(key)),
                _figure_cell(found.get(key), style),
                Cell(text=words.get(note, note)),
            ]
        )
        for key, style, note in _FIGURES_OF_VERDICT
    ]
    columns = [Column(label="figure"), Column(label="value", numeric=True), Column(label="")]
    caption = (
        f"On {series_name(verdict)}, out of sample. The formulas and their sources are in "
        "docs/statistics.md."
    )
    title = "Every figure of the verdict"
    return TableBlock(title=title, columns=columns, rows=rows, caption=caption, sortable=False)


def _figure_cell(value: Any, style: str) -> Cell:
    return Cell(text="infinite", numeric=True) if value == "infinity" else number_cell(value, style)
