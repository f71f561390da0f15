"""The live view: what it says, in 80 columns, and that it can be pickled with a search."""

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from committer_parts import small_journal
from rich.console import Console

from finrl_ray.cli.live_view import LiveView
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.search.tune.journal_callback import JournalCallback
from finrl_ray.support import interruptions


@pytest.fixture
def journal(tmp_path: Path) -> JournalCallback:
    made = small_journal(tmp_path)
    for index in range(12):
        made.committer.write("start", trial_id=f"t{index}", index=index, sample={})
        metrics = {"timesteps": 2000 * (index + 1), "objective": float(index)}
        metrics |= {"eval/sharpe_ratio": float(index), "eval/max_drawdown": -0.1}
        metrics["eval/appraisal_ratio"] = float(index)
        metrics |= {"eval/exposure": 0.37, "eval/beta": -0.25, "eval/turnover": 123.5}
        made.committer.write("result", trial_id=f"t{index}", metrics=metrics)
    made.committer.write(
        "end", trial_id="t0", state="completed", reason="completed 2,000 timesteps"
    )
    made.committer.write("end", trial_id="t11", state="failed", reason="ValueError: [nan]")
    return made


def view(journal: JournalCallback) -> LiveView:
    return LiveView(SimpleNamespace(config=ExperimentConfig()), journal, 20)


def shown(content: Any, width: int = 80) -> list[str]:
    console = Console(width=width, force_terminal=False, file=None, record=True, quiet=False)
    with console.capture() as capture:
        console.print(content)
    return capture.get().splitlines()


def test_the_panel_fits_80_columns_and_names_states_best_speed(journal) -> None:
    lines = shown(view(journal)._panel())
    text = "\n".join(lines)
    assert max(len(line) for line in lines) <= 80
    assert "10 running, 1 completed, 1 failed, 8 waiting" in text
    assert "best: 10" in text
    assert "trials of 20,000 steps" in text
    best = next(line.split() for line in lines if "best: 10" in line)
    assert best[3:] == ["22,000", "10.00", "10.00", "-10.0%", "-", "37%", "-0.25", "123.50"]
    assert "steps/s" in text


def test_every_planned_trial_is_in_one_count(journal) -> None:
    """A resumed search has interrupted trials that wait to go on, beside those never started."""
    for index in (3, 4):
        journal.committer.write("end", trial_id=f"t{index}", state="interrupted", reason="Ctrl-C")
    lines = view(journal)
    assert lines._summary_line().startswith(
        "8 running, 2 interrupted, 1 completed, 1 failed, 8 waiting;"
    )
    assert sum(lines._counts().values()) == lines.planned == 20
    journal.committer.write("start", trial_id="t3")
    assert sum(lines._counts().values()) == 20


def test_a_failed_trial_is_not_the_best(journal) -> None:
    assert view(journal)._best().index == 10


def test_plain_lines_when_the_output_is_no_terminal(journal, capsys) -> None:
    lines = view(journal)
    lines.told = 0
    lines.setup()
    lines.on_step_end(0, [])
    lines.on_experiment_end([])
    out = capsys.readouterr().out
    assert "trial 0: completed 2,000 timesteps (appraisal 0.00, Sharpe 0.00" in out
    assert "trial 11: ValueError: [nan]" in out
    assert "\x1b" not in out
    assert out.count("trial 0:") == 1


def test_the_answer_to_ctrl_c_goes_through_the_view_while_it_is_open(journal, capsys) -> None:
    lines = view(journal)
    lines.setup()
    interruptions._say[-1]("stopping")
    lines.on_experiment_end([])
    interruptions._say[-1]("stopping at once")
    said = capsys.readouterr()
    assert "stopping\n" in said.out
    assert said.err == "stopping at once\n"


def test_a_view_travels_with_the_pickled_search(journal) -> None:
    lines = view(journal)
    lines.setup()
    again = pickle.loads(pickle.dumps(lines))  # our own bytes
    assert again.console is None
    assert again.planned == 20


def test_time_left_is_guessed_from_timesteps_and_then_from_ended_trials(journal) -> None:
    lines = view(journal)
    lines.started_at -= 100.0
    # 2 of 20 trials have ended before this view began; 20 x 20,000 timesteps are the most
    assert lines._time_left() == ""
    journal.committer.write("result", trial_id="t1", metrics={"timesteps": 6000, "objective": 0.0})
    # 2,000 timesteps in 100 s; 2 trials done, 10 under way
    left = 20 * 20_000 - (2 * 20_000 + 6000 + sum(2000 * (i + 1) for i in range(2, 11)))
    assert (
        lines._time_left() == f"; at most {left // 20 // 3600} h {left // 20 % 3600 // 60} min left"
    )
    for trial_id in ("t1", "t2"):
        journal.committer.write("end", trial_id=trial_id, state="completed", reason="")
    assert lines._time_left() == "; about 13 min 20 s left"
