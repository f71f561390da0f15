"""The verdict on the report page: its sentence, what it rests on, and every figure of it."""

from typing import Any

from finrl_ray.report.glossary import meaning
from finrl_ray.report.pages.blocks import Cell, Column, Row, TableBlock, VerdictBlock, number_cell
from finrl_ray.report.read_search import SearchReport
from finrl_ray.statistics.detectable_sharpe import DSR_LEAST, P_BELOW, P_BELOW_EACH
from finrl_ray.statistics.verdict import FORMER_RULE, PBO_MOST, Verdict
from finrl_ray.statistics.verdict_text import ratio_name, series_name

_FIGURES_OF_VERDICT = (
    ("n_trials", "N, configurations tried", ",.0f", ""),
    ("n_with_returns", "of which left returns", ",.0f", ""),
    ("n_periods", "T, days", ",.0f", ""),
    ("sharpe_annual", "{ratio}", ".3f", ""),
    (
        "standard_error_annual",
        "its standard error",
        ".3f",
        "for the skewness, kurtosis and dependence found",
    ),
    ("skew", "skewness", ".2f", ""),
    ("kurtosis", "kurtosis", ".2f", "3 for a normal distribution"),
    ("dependence", "variance of the mean, times", ".2f", "by the dependence of the days"),
    ("psr", "probabilistic Sharpe ratio", ".3f", "that the true ratio is above 0"),
    ("psr_h0", "the same, by the formula of 2025", ".3f", ""),
    ("luck_annual", "expected best of N without skill", ".3f", "annual Sharpe ratio (SR0)"),
    ("dsr", "deflated Sharpe ratio", ".3f", f"evidence: at least {DSR_LEAST}"),
    ("dsr_calibrated", "its variant of 2025", ".3f", ""),
    ("spa_p", "p-value, SPA test", ".3f", f"evidence: below {P_BELOW}"),
    ("reality_check_p", "p-value, reality check", ".3f", ""),
    ("sidak_p", "p-value, Sidak", ".3f", "{weak}"),
    ("pbo", "probability of backtest overfitting", ".3f", f"evidence: at most {PBO_MOST}"),
    ("effective_trials", "independent trials that N resemble", ".1f", "for display only"),
    ("min_track_record_periods", "days to tell the winner from SR0", ",.0f", ""),
    ("min_backtest_years", "years below which luck alone shows such a ratio", ".1f", ""),
    ("needed_evidence_annual", "ratio needed for evidence", ".2f", "as announced before it"),
    ("needed_by_winner_annual", "the same of returns like the winner's", ".2f", ""),
    ("needed_weak_annual", "ratio needed for weak evidence", ".2f", "as announced before it"),
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
    below = P_BELOW if former else P_BELOW_EACH
    words = {
        "{ratio}": f"annual {ratio_name(verdict)}",
        "{weak}": f"weak evidence: below {below}" + ("" if former else ", as is SPA's"),
    }
    rows = [
        Row(
            cells=[
                Cell(text=words.get(label, label), meaning=meaning(key)),
                _figure_cell(found.get(key), style),
                Cell(text=words.get(note, note)),
            ]
        )
        for key, label, style, note in _FIGURES_OF_VERDICT
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
