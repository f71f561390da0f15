"""The first screen: what it says in every state of a search, and its numbers."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_backtest import opened_with
from made_search import made_search

from finrl_ray.report import figures
from finrl_ray.report.pages.blocks import AnswerBlock, FigureBlock
from finrl_ray.report.pages.first_screen import answer_block
from finrl_ray.report.read_search import SearchReport, read_search
from finrl_ray.search.folder.folder import SearchFolder, sole_driver
from finrl_ray.statistics.verdict import EVIDENCE, NONE, WEAK


def answer(search: SearchReport) -> AnswerBlock:
    return answer_block(search, FigureBlock(figure=figures.beside_buy_and_hold(search)))


def judged(folder: SearchFolder, **figures_of_verdict: Any) -> SearchReport:
    """Return a search whose verdict has other figures."""
    search = read_search(folder.path)
    verdict = dataclasses.replace(search.verdict.verdict, **figures_of_verdict)
    return dataclasses.replace(search, verdict=dataclasses.replace(search.verdict, verdict=verdict))


def growing(last: float, days: int = 80, swing: float = 0.01) -> np.ndarray:
    """Return an account that ends at 1 + last, after ups and downs."""
    noise = np.where(np.arange(days + 1) % 2, swing, 0.0)
    curve = (
        np.linspace(0.0, math.log1p(last), days + 1) + noise - np.linspace(0, noise[-1], days + 1)
    )
    return 1e6 * np.exp(curve)


def test_sealed_and_without_evidence(tmp_path: Path) -> None:
    folder = made_search(tmp_path, n_trials=3)
    found = answer(judged(folder, kind=NONE, n_trials=3))
    held = read_search(folder.path).baselines.set_index("strategy").loc["buy_and_hold"]
    points = round(5.0 - round(100 * held["total_return"], 1), 1)
    assert points != 0
    assert found.headline == (
        f"In the validation window the winner earned 5.0%, {abs(points):.1f} points "
        f"{'more' if points > 0 else 'less'} than buy & hold, which "
        f"{'earned' if held['total_return'] > 0 else 'lost'} {abs(held['total_return']):.1%}; on "
        "average 40% of the account was invested over that time; no evidence of skill: the best of "
        "3 agents without any skill would often have done as well."
    )
    assert "they flatter it" in found.lines[0]
    assert [tile.label for tile in found.tiles] == [
        *("return", "volatility", "Sharpe ratio", "worst drawdown", "appraisal ratio", "invested")
    ]
    assert all(tile.meaning for tile in found.tiles)
    assert found.figure.figure.name == "beside_buy_and_hold"
    assert "Do not trade it" in found.steps[0].text
    assert found.steps[-1].command == f"finrl-ray backtest {folder.path}"


@pytest.mark.parametrize("kind", [EVIDENCE, WEAK])
def test_sealed_with_evidence_leads_to_the_test_window(tmp_path: Path, kind: Any) -> None:
    found = answer(judged(made_search(tmp_path, n_trials=3), kind=kind, sharpe_annual=3.0))
    assert kind in found.headline
    assert [step.command.split()[1] for step in found.steps] == ["backtest"]


def test_opened_with_evidence_leads_to_tomorrow(tmp_path: Path) -> None:
    own, held = growing(0.3), growing(0.1)[:81]
    held = held * (1 + np.random.default_rng(0).normal(0, 0.002, 81))
    folder = opened_with(made_search(tmp_path / "a b", n_trials=3), own, held)
    found = answer(judged(folder, kind=EVIDENCE, sharpe_annual=3.0))
    assert found.headline.startswith("In the test window the winner earned 30.0%, ")
    assert "evidence, judged by the days on which it was chosen: " in found.headline
    assert "this is the first look" in found.lines[0]
    commands = [step.command for step in found.steps]
    # a folder with a space in its name can be copied as it is
    assert commands[0] == f"finrl-ray deploy '{folder.path}'"
    assert commands[1].startswith(f"finrl-ray signal '{folder.path}'/agent")


def test_opened_and_lost_is_not_to_be_traded(tmp_path: Path) -> None:
    folder = opened_with(made_search(tmp_path, n_trials=3), growing(-0.1), growing(0.2), openings=3)
    found = answer(judged(folder, kind=EVIDENCE, sharpe_annual=3.0))
    assert "the winner lost 10.0%, 30.0 points less than buy & hold" in found.headline
    assert "looked at 3 times" in found.lines[0]
    assert [step.command for step in found.steps] == [""]
    assert "Do not trade it yet" in found.steps[0].text
    none = answer(judged(folder, kind=NONE))
    assert [step.command for step in none.steps] == [""]


def test_colours_are_of_the_comparison_with_buy_and_hold_alone(tmp_path: Path) -> None:
    calm = growing(0.1, swing=0.001)
    folder = opened_with(made_search(tmp_path, n_trials=3), calm, growing(0.1, swing=0.02))
    tones = {tile.label: tile.tone for tile in answer(read_search(folder.path)).tiles}
    # both earn 10.0 %, as it is written
    assert tones["return"] == ""
    assert tones["volatility"] == tones["worst drawdown"] == tones["Sharpe ratio"] == "better"
    assert tones["invested"] == ""
    other = opened_with(made_search(tmp_path / "o", n_trials=3), growing(0.05, swing=0.02), calm)
    tones = {tile.label: tile.tone for tile in answer(read_search(other.path)).tiles}
    assert tones["return"] == tones["volatility"] == tones["worst drawdown"] == "worse"


def test_what_is_not_known_is_a_dash(tmp_path: Path) -> None:
    folder = opened_with(made_search(tmp_path, n_trials=3), growing(0.1), growing(0.2))
    search = read_search(folder.path)
    measures = {"agent": {"total_return": math.nan}, "buy_and_hold": {}}
    unknown = dataclasses.replace(search.backtest, measures=measures)
    object.__setattr__(search, "backtest", unknown)
    found = answer(search)
    assert "earned an unknown part" in found.headline
    assert [tile.value for tile in found.tiles] == ["-"] * 6
    assert {tile.tone for tile in found.tiles} == {""}


def test_interrupted(tmp_path: Path) -> None:
    folder = made_search(tmp_path, n_trials=5, planned=12)
    found = answer(read_search(folder.path))
    assert "the best trial so far earned 5.0%" in found.headline
    assert found.headline.endswith("whether that is luck is judged once every trial has ended.")
    assert [step.command for step in found.steps] == [f"finrl-ray resume {folder.path}"]


def test_running(tmp_path: Path) -> None:
    folder = made_search(tmp_path, n_trials=5, planned=12)
    with sole_driver(folder):
        found = answer(read_search(folder.path))
    assert found.figure.figure.empty
    assert [step.command for step in found.steps] == [f"finrl-ray show {folder.path}"]


@pytest.mark.parametrize(("n_trials", "planned"), [(3, 3), (3, 6), (0, 6)])
def test_nothing_can_win(tmp_path: Path, n_trials: int, planned: int) -> None:
    folder = made_search(tmp_path, n_trials=n_trials, planned=planned, failed=range(n_trials))
    found = answer(read_search(folder.path))
    assert found.headline.startswith("No trial can win")
    assert ("yet" in found.headline) == (n_trials < planned)
    assert found.tiles == []
    command = "doctor" if n_trials == planned else "resume"
    assert [step.command.split()[1] for step in found.steps] == [command]


def test_a_lost_verdict_can_be_written_again(tmp_path: Path) -> None:
    folder = made_search(tmp_path, n_trials=3)
    (folder.path / "verdict.json").unlink()
    found = answer(read_search(folder.path))
    assert [step.command for step in found.steps] == [f"finrl-ray resume {folder.path}"]
