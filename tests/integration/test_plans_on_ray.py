"""Every scheduler and searcher on one local Ray, to the end and into the table."""

import importlib.util
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_search import small_config
from typer.testing import CliRunner

from finrl_ray.cli.main import app
from finrl_ray.search.folder.folder import open_folder
from finrl_ray.search.reproduce.replay import replay
from finrl_ray.search.results.table import CLOCK_COLUMNS
from finrl_ray.search.run.runner import SearchResult, run_search

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_session_of_two")]

LITTLE: dict[str, Any] = {
    "n_steps": 32,
    "batch_size": 64,
    "n_epochs": 1,
    "net_arch": "tiny",
    "learning_rate": {"loguniform": [1e-4, 2e-3]},
    "ent_coef": {"loguniform": [1e-6, 0.05]},
}


def search(storage: Path, scheduler: dict[str, Any], **options: Any) -> SearchResult:
    settings = {"num_samples": 4, "space": LITTLE, "default_space": False}
    settings |= {"scheduler": scheduler, "storage_path": str(storage), **options}
    agent = {"total_timesteps": 1024}
    return run_search(
        small_config(storage, agent=agent, evaluation={"eval_freq": 128}, search=settings)
    )


@pytest.fixture(scope="module")
def population(ray_session_of_two, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    return search(tmp_path_factory.mktemp("pbt"), {"type": "pbt", "perturbation_interval": 256})


def test_a_population_exchanges_and_says_so(population) -> None:
    table = population.table
    assert set(table["state"]) == {"completed"}, table["reason"].tolist()
    records = {r.index: r for r in open_folder(population.path).records().in_order()}
    # of four, one at each of 256, 512 and 768
    assert sum(len(record.exploits) for record in records.values()) == 3
    for row in table.to_dict("records"):
        record = records[row["trial"]]
        assert row["learning_rate"] == record.sample["learning_rate"]
        assert (row["lineage"] == "") == (record.exploits == [])
    assert (table["lineage"] != "").any()


def test_the_population_depends_on_the_seed_alone(population, tmp_path) -> None:
    scheduler = {"type": "pbt", "perturbation_interval": 256}
    again = search(tmp_path, scheduler, cpus_per_trial=2.0)  # one trial at a time
    clock = list(CLOCK_COLUMNS)
    pd.testing.assert_frame_equal(
        again.table.drop(columns=clock), population.table.drop(columns=clock)
    )


def test_a_schedule_trains_again_to_the_same_numbers(population) -> None:
    exchanged = population.table[population.table["lineage"] != ""]["trial"]
    for trial in (int(exchanged.iloc[0]), int(exchanged.iloc[-1])):
        result = replay(population.path, trial)
        assert len(result.schedule) > 1
        assert result.differences == []
        assert result.replayed["objective"] == result.recorded["objective"]
        assert (result.path / "model.zip").is_file()


def test_the_command_replays_the_winner(population) -> None:
    done = CliRunner().invoke(app, ["replay", str(population.path)])
    assert done.exit_code == 0, done.output
    assert "1,024 timesteps is as recorded, bit for bit" in done.output


def test_hyperband_stops_trials_and_says_where(tmp_path) -> None:
    table = search(tmp_path, {"type": "hyperband", "grace_period": 256}, num_samples=4).table
    # four trials from 256 timesteps: the better half goes on at 256, the better of two at 512
    assert sorted(table["reason"]) == [
        "completed 1,024 timesteps",
        "stopped by hyperband at 256",
        "stopped by hyperband at 256",
        "stopped by hyperband at 512",
    ]
    assert table["rank"].notna().all()


@pytest.mark.skipif(
    importlib.util.find_spec("hpbandster") is None, reason="the extra bohb is not installed"
)
@pytest.mark.long  # as the test before with another searcher, which has tests of its own
def test_bohb_runs_to_its_end(tmp_path) -> None:
    scheduler = {"type": "hyperband", "grace_period": 256}
    options = {"searcher": "bohb", "initial_points": ["finrl"], "num_samples": 6}
    table = search(tmp_path, scheduler, **options).table
    assert len(table) == 6
    assert set(table["state"]) <= {"completed", "stopped"}, table["reason"].tolist()
    assert table["learning_rate"].nunique() == 6
    assert (table["learning_rate"] == 2.5e-4).sum() == 1


def test_optuna_with_two_objectives_has_a_front(tmp_path) -> None:
    options = {"searcher": "optuna", "objectives": ["sharpe_ratio", "max_drawdown"]}
    result = search(tmp_path, {"type": "fifo"}, **options)
    front = pd.read_csv(result.path / "pareto.csv")
    table = result.table
    assert front["trial"].tolist() == table[table["pareto"]]["trial"].tolist()
    best = table.loc[table["sharpe_ratio"].idxmax(), "trial"]
    assert best in front["trial"].tolist()
    assert table["max_drawdown"].max() == front["max_drawdown"].max()
