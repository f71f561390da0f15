"""A long table looks as rich prints it, byte for byte, whatever is in it and however wide."""

import io

import pytest
from rich.console import Console

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.report.long_table import LongTable
from finrl_ray.report.terminal_tables import ranking
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.results.table import ranked_rows, trial_table

PLAIN = [
    "completed after 4 evaluations",
    "",
    "ValueError: <b>no</b> [red]x[/red]\nthe second line of it is long enough to be wrapped",
    "ends in a line break\n",
    "  spaces before   between and after   ",
    "an-unbroken-word-" * 6,
    "損失 " * 12 + "— naïve",
]
ODD = ["tab\there", "\x1b[31mred\x07", "👩\u200d🔬 zero\u200bwidth", "a\r\nb", "line\u2028break"]


def rows(
    endings: list[str], *, front: bool = False, scored: bool = False
) -> list[dict[str, object]]:
    found = []
    for index in range(40):
        state = ("completed", "failed", "rejected", "stopped")[index % 4]
        value = None if index % 5 == 4 else 1.0 - index / 7
        found.append(
            {"rank": index + 1 if index % 2 == 0 else None, "trial": index, "state": state,
             "reason": endings[index % len(endings)], "sharpe_ratio": value,
             "score": 2.0 if scored else value, "max_drawdown": -0.1, "total_return": 12.345,
             "timesteps": 10**index if index < 9 else 7,
             "notes": "checkpoint_000001 is damaged: [x]" if index % 11 == 3 else "",
             **({"pareto": index % 3 == 0} if front else {})}
        )  # fmt: skip
    return found


def printed(view: object, width: int, *, terminal: bool, encoding: str = "utf-8") -> bytes:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace", newline="")
    colours = "truecolor" if terminal else None
    console = Console(
        file=file, width=width, force_terminal=terminal, color_system=colours, legacy_windows=False
    )
    console.print(view)
    file.flush()
    return file.buffer.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("endings", [PLAIN, PLAIN[:1], [*PLAIN, *ODD]], ids=["plain", "one", "odd"])
def test_it_looks_as_rich_prints_it(endings, terminal, encoding) -> None:
    for front, scored in ((False, False), (True, True)):
        for width in (20, 60, 80, 97, 120, 200):
            view = ranking(rows(endings, front=front, scored=scored))
            options = {"terminal": terminal, "encoding": encoding}
            assert printed(view, width, **options) == printed(view.whole(), width, **options)


@pytest.mark.parametrize("width", [80, 120, 200])
def test_rich_is_not_asked_for_each_cell(width: int, monkeypatch) -> None:
    view = ranking(rows(PLAIN))
    monkeypatch.setattr(LongTable, "whole", lambda self: pytest.fail("rich printed every cell"))
    assert printed(view, width, terminal=True)


def test_rows_and_the_table_of_them_are_shown_alike() -> None:
    metrics = {"timesteps": 100, "objective": 1.0, "eval/appraisal_ratio": 1.0}
    records = [
        TrialRecord(
            trial_id=f"{index:05d}", index=index, sample={}, state=state, reason=state,
            results=results,
        )
        for index, (state, results) in enumerate(
            [("completed", [metrics]), ("failed", []), ("running", [])] * 10
        )
    ]  # fmt: skip
    config = ExperimentConfig()
    of_rows = printed(ranking(ranked_rows(records, config)), 80, terminal=True)
    assert of_rows == printed(ranking(trial_table(records, config)), 80, terminal=True)
    one = ranking(ranked_rows(records, config), limit=1)
    assert printed(one, 80, terminal=False).decode().count("completed") == 1
