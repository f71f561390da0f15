"""The way back from a trial of a population to its first ancestor."""

from pathlib import Path
from typing import Any

from finrl_ray.agents.hyperparameters import trial_seed
from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.schedulers import PBTConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.search.journal.events import append_event, read_journal
from finrl_ray.search.journal.lineage import Segment, lineage, segments
from finrl_ray.search.journal.records import TrialRecords
from finrl_ray.search.results.table import trial_table


def journal(folder: Path, exchanges: list[tuple[int, int, int]]) -> TrialRecords:
    """Four trials with learning rates 0, 1, 2, 3 and exchanges (trial, donor, timesteps)."""
    records = TrialRecords()
    for k in range(4):
        content = {"trial_id": str(k), "index": k, "sample": {"learning_rate": k}}
        append_event(folder, records, "created", **content)
        append_event(folder, records, "start", trial_id=str(k))
    for order, (trial, donor, steps) in enumerate(exchanges):
        content = {"trial_id": str(trial), "donor": str(donor), "timesteps": steps}
        content |= {"sample": {"learning_rate": 10 + order}, "checkpoint": "c"}
        append_event(folder, records, "exploit", **content)
    return read_journal(folder)


def schedule(records: TrialRecords, trial: int) -> list[tuple[int, Any, int, int | None]]:
    found = segments(records.trials[str(trial)], records.in_order())
    return [(s.trial, s.sample["learning_rate"], s.start, s.end) for s in found]


def test_a_trial_that_was_never_exchanged_has_one_stretch(tmp_path: Path) -> None:
    records = journal(tmp_path, [(0, 1, 100)])
    assert schedule(records, 2) == [(2, 2, 0, None)]
    assert segments(records.trials["2"], records.in_order()) == [
        Segment(trial=2, sample={"learning_rate": 2}, start=0)
    ]
    assert lineage(records.trials["2"], records.in_order()) == ""


def test_a_copy_of_a_copy_goes_back_to_the_first(tmp_path: Path) -> None:
    records = journal(tmp_path, [(0, 3, 100), (1, 0, 200), (2, 1, 400)])
    assert schedule(records, 2) == [
        (3, 3, 0, 100),
        (0, 10, 100, 200),
        (1, 11, 200, 400),
        (2, 12, 400, None),
    ]
    said = lineage(records.trials["2"], records.in_order())
    assert said == "trial 3 to 100, trial 0 to 200, trial 1 to 400"


def test_what_a_donor_became_later_does_not_count(tmp_path: Path) -> None:
    # 1 copies 0; then 0 becomes a copy of 3, from a checkpoint older than that which 1 copied
    records = journal(tmp_path, [(1, 0, 400), (0, 3, 300)])
    assert schedule(records, 1) == [(0, 0, 0, 400), (1, 10, 400, None)]
    assert schedule(records, 0) == [(3, 3, 0, 300), (0, 11, 300, None)]


def test_only_the_latest_exchange_of_a_trial_counts(tmp_path: Path) -> None:
    records = journal(tmp_path, [(0, 1, 100), (0, 2, 300)])
    assert schedule(records, 0) == [(2, 2, 0, 300), (0, 11, 300, None)]


def test_a_copy_that_is_copied_untrained_leaves_no_stretch(tmp_path: Path) -> None:
    records = journal(tmp_path, [(0, 1, 200), (2, 0, 200)])
    assert schedule(records, 2) == [(1, 1, 0, 200), (2, 11, 200, None)]


def test_the_table_has_the_last_values_the_lineage_and_the_first_seed(tmp_path: Path) -> None:
    config = ExperimentConfig(
        seed=7,
        agent=AgentConfig(total_timesteps=1000),
        search=SearchConfig(scheduler=PBTConfig()),
    )
    records = journal(tmp_path, [(0, 1, 200)])
    for record in records.trials.values():
        record.sample = {"learning_rate": 0.01}
        record.first_sample = {"learning_rate": 0.02}
    records.trials["1"].first_sample = {"learning_rate": 0.03}
    row = trial_table(records.in_order(), config).set_index("trial").loc[0]
    assert row["lineage"] == "trial 1 to 200"
    assert row["learning_rate"] == 0.01
    assert row["seed"] == trial_seed(7, {"learning_rate": 0.03})
    fifo = ExperimentConfig(agent=AgentConfig(total_timesteps=1000))
    assert "lineage" not in trial_table(records.in_order(), fifo)
