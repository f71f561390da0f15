"""The ranked table on a terminal: what it says of each trial."""

from made_costs import made_costs
from rich.console import Console

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.report.terminal_tables import costs_view, ranking
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.results.table import trial_table


def test_a_checkpoint_that_was_passed_over_is_said_beside_how_the_trial_ended() -> None:
    metrics = {"timesteps": 100, "objective": 1.0, "eval/sharpe_ratio": 1.0}
    records = [
        TrialRecord(
            trial_id=f"{index:05d}", index=index, sample={}, state="completed",
            reason="completed 100 timesteps", results=[metrics], notes=notes,
        )
        for index, notes in enumerate([[], ["checkpoint_000001 is damaged: [x]"]])
    ]  # fmt: skip
    console = Console(width=160)
    with console.capture() as capture:
        console.print(ranking(trial_table(records, ExperimentConfig())))
    first, second = (line for line in capture.get().splitlines() if "completed" in line)
    assert "completed 100 timesteps; checkpoint_000001 is damaged: [x]" in second
    assert "damaged" not in first


def test_the_table_of_costs_fits_into_80_columns() -> None:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(costs_view(made_costs()))
    title, head, _, first, *_, last = (line for line in capture.get().splitlines() if line.strip())
    assert "\u2026" not in capture.get()
    assert title.strip() == "The same agent at other costs, test window"
    assert head.split("  ")[-1].strip() == "b&h Sh."
    assert first.split()[-7:] == ["9.9%", "0.99", "-", "6.0%", "1.2%", "7.7%", "0.88"]
    assert last.split()[:3] == ["slippage", "0.1", "9.7%"]
