"""The first screen of a search's report: what was earned, beside what, is it luck, what next."""

import math
import shlex

from finrl_ray.metrics.earnings import earned, invested
from finrl_ray.metrics.registry import MEASURES, Measure
from finrl_ray.report.beside_market import BesideMarket, Days, beside_market
from finrl_ray.report.glossary import OF_ACCOUNTS
from finrl_ray.report.pages.blocks import AnswerBlock, FigureBlock, Step, Tile, Tone
from finrl_ray.report.read_search import SearchReport
from finrl_ray.report.terminal_tables import formatted
from finrl_ray.statistics.verdict import NONE, Verdict
from finrl_ray.statistics.verdict_text import meaning_of
from finrl_ray.support.text import counted, times

_WHERE: dict[Days, str] = {
    "test": "In the test window",
    "validation": "In the validation window",
    "judged": "On the days of the folds",
}
_FLATTERED = (
    "These are the days by which the winner was chosen, so they flatter it. The test window, which "
    "no trial has seen, is sealed."
)
_TILES = ("total_return", "annual_volatility", "sharpe_ratio", "max_drawdown")
"""Those that buy & hold has as well."""


def answer_block(search: SearchReport, figure: FigureBlock) -> AnswerBlock:
    """Return the first screen of a search in whatever state it is.

    Parameters
    ----------
    search : what `read_search` has read
    figure : the winner's account beside buy & hold
    """
    found = beside_market(search)
    if found is None:
        headline = "No trial can win, so there is nothing to set beside buy & hold"
        if search.state != "finished":
            headline = "No trial can win yet, so there is nothing to set beside buy & hold"
        lines, tiles = [f"How the trials stand: {search.lost_sentence()}."], []
    else:
        headline, lines, tiles = _headline(search, found), _lines(search, found), _tiles(found)
    return AnswerBlock(
        headline=f"{headline}.",
        lines=lines,
        figure=figure,
        tiles=tiles,
        steps=_steps(search, found),
    )


def _headline(search: SearchReport, found: BesideMarket) -> str:
    who = "the winner" if search.state == "finished" else "the best trial so far"
    own, held = found.value("total_return"), found.held_value("total_return")
    parts = [
        f"{_WHERE[found.days]} {who} {earned(own)}{_difference(own, held)}",
        invested(found.value("exposure")),
    ]
    return "; ".join([*parts, _luck(search, found)])


def _difference(own: float, held: float) -> str:
    points = round(100 * own, 1) - round(100 * held, 1)
    if math.isnan(points):
        return ""
    amount = f"{abs(points):,.1f} points"
    than = "as much as" if not round(points, 1) else f"{amount} {_more(points)} than"
    return f", {than} buy & hold, which {earned(held)}"


def _more(points: float) -> str:
    return "more" if points > 0 else "less"


def _luck(search: SearchReport, found: BesideMarket) -> str:
    judged = _judged(search)
    if judged is None:
        if search.folder.kind == "confirmation":
            return "whether that is luck is judged by the search that this confirms"
        return "whether that is luck is judged once every trial has ended"
    where = ", judged by the days on which it was chosen" if found.days == "test" else ""
    return f"{judged.kind}{where}: {meaning_of(judged)}"


def _judged(search: SearchReport) -> Verdict | None:
    return None if search.verdict is None else search.verdict.verdict


def _lines(search: SearchReport, found: BesideMarket) -> list[str]:
    lines = [] if search.ensemble is None else [f"The winner is {search.ensemble.name}."]
    if found.days != "test":
        return [*lines, _FLATTERED]
    if search.openings == 1:
        lines.append("No trial has seen these days, and this is the first look at them.")
    else:
        lines.append(
            f"No trial has seen these days, but they were looked at {times(search.openings)}: each "
            "look after the first makes them less of a test."
        )
    before = None if search.verdict is None else search.verdict.earnings
    if before is not None:
        lines.append(
            f"On the days by which it was chosen it {earned(before.total_return)} where buy & hold "
            f"{earned(before.benchmark_return)}."
        )
    return lines


def _tiles(found: BesideMarket) -> list[Tile]:
    own, low_high = found.value("appraisal_ratio"), found.ratio_interval
    tiles = [_tile(name, found) for name in _TILES]
    interval = "interval not known"
    if not any(map(math.isnan, low_high)):
        interval = f"95% within {low_high[0]:.2f} to {low_high[1]:.2f}"
    tiles.append(
        Tile(
            label=OF_ACCOUNTS["appraisal_ratio"].title,
            value=formatted(own, ".2f"),
            beside=f"buy & hold 0; {interval}",
            tone=_tone(own, 0.0, MEASURES["appraisal_ratio"]),
            meaning=OF_ACCOUNTS["appraisal_ratio"].meaning,
        )
    )
    held = found.held_value("exposure")
    tiles.append(
        Tile(
            label=OF_ACCOUNTS["exposure"].title,
            value=formatted(found.value("exposure"), ".0%"),
            beside="the rest was cash" if math.isnan(held) else f"buy & hold {held:.0%}",
            meaning=OF_ACCOUNTS["exposure"].meaning,
        )
    )
    return tiles


def _tile(name: str, found: BesideMarket) -> Tile:
    measure, term = MEASURES[name], OF_ACCOUNTS[name]
    own, held = found.value(name), found.held_value(name)
    return Tile(
        label=term.title,
        value=formatted(own, measure.format),
        beside=f"buy & hold {formatted(held, measure.format)}",
        tone=_tone(own, held, measure),
        meaning=term.meaning,
    )


def _tone(own: float, held: float, measure: Measure) -> Tone:
    """Return how a number is beside that of buy & hold; nothing where both are written alike."""
    if math.isnan(own) or math.isnan(held):
        return ""
    if format(own, measure.format) == format(held, measure.format):
        return ""
    return "better" if (own > held) == (measure.mode == "max") else "worse"


def _steps(search: SearchReport, found: BesideMarket | None) -> list[Step]:
    folder = shlex.quote(str(search.path))
    if search.state == "running":
        return [Step(text="See how it goes on:", command=f"finrl-ray show {folder}")]
    if search.state == "interrupted":
        return [Step(text="Go on, nothing is lost:", command=f"finrl-ray resume {folder}")]
    judged = _judged(search)
    if found is None:
        return [
            Step(text="The table of trials says why each of them failed. Look for the cause:",
                 command=f"finrl-ray doctor {shlex.quote(str(search.path / 'config.yaml'))}")
        ]  # fmt: skip
    if search.folder.kind == "confirmation":
        return []
    if judged is None:
        return [Step(text="Write the verdict:", command=f"finrl-ray resume {folder}")]
    return _judged_steps(folder, judged, found)


def _judged_steps(folder: str, judged: Verdict, found: BesideMarket) -> list[Step]:
    look = Step(
        text="Look once at the days that no trial has seen; every look is counted:",
        command=f"finrl-ray backtest {folder}",
    )
    if judged.kind == NONE:
        return [Step(text=_not_yet(judged)), *([] if found.days == "test" else [look])]
    if found.days != "test":
        return [look]
    if not found.value("appraisal_ratio") > 0:
        return [
            Step(
                text="Do not trade it yet: on the days that no trial has seen it earned nothing "
                "beside the market."
            )
        ]
    return [
        Step(text="Train it once more on all days:", command=f"finrl-ray deploy {folder}"),
        Step(
            text="Then ask it for tomorrow's orders, on paper first:",
            command=f"finrl-ray signal {folder}/agent --prices FILE",
        ),
    ]


def _not_yet(judged: Verdict) -> str:
    showed, needed = judged.sharpe_annual, judged.needed_weak_annual
    if math.isnan(showed) or math.isnan(needed):
        return "Do not trade it: these days cannot tell it from luck. Judge it by more days."
    return (
        f"Do not trade it: it showed an appraisal ratio of {showed:.2f}, and the best of "
        f"{counted(judged.n_trials, 'trial')} on {counted(judged.n_periods, 'day')} has to show "
        f"about {needed:.2f} to count even as weak evidence. More days to judge by, or fewer and "
        "better trials, lower that."
    )
