"""A search that has ended gets more trials: the first stay, and what is said counts them all."""

import dataclasses
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from interrupted_search import Interrupter
from made_search import made_search
from small_search import small_config
from typer.testing import CliRunner

from finrl_ray.cli.main import app
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import parse_config
from finrl_ray.config.schedulers import PBTConfig
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.report.read_search import read_search
from finrl_ray.search.folder.folder import SearchFolder, open_folder
from finrl_ray.search.folder.names import VERDICT_FILE
from finrl_ray.search.reproduce.reproduce import reproduce
from finrl_ray.search.results.table import CLOCK_COLUMNS
from finrl_ray.search.results.verdict import read_verdict
from finrl_ray.search.run.config_changes import take_changes, with_more_trials
from finrl_ray.search.run.runner import SearchResult, resume_search, run_search

LITTLE: dict[str, Any] = {
    "n_steps": 32,
    "batch_size": {"choice": [32, 64]},
    "n_epochs": 1,
    "net_arch": "tiny",
    "learning_rate": {"loguniform": [1e-4, 2e-3]},
    "ent_coef": {"loguniform": [1e-6, 0.05]},
}
GRID: dict[str, Any] = {**LITTLE, "learning_rate": {"choice": [1e-4, 1e-3]}, "ent_coef": 0.01}


def config(storage: Path, **options: Any) -> ExperimentConfig:
    settings = {"num_samples": 2, "space": LITTLE, "default_space": False}
    settings |= {"storage_path": str(storage), "max_concurrent_trials": 1, **options}
    agent = {"total_timesteps": 512}
    return small_config(storage, agent=agent, evaluation={"eval_freq": 128}, search=settings)


# -- what may be asked for ----------------------------------------------------------------------


def test_more_trials_are_counted_onto_the_samples() -> None:
    made = parse_config({"search": {"num_samples": 7}})
    assert with_more_trials(made, 5).search.num_samples == 12
    with pytest.raises(ConfigError, match="--add-trials must be >= 1, got 0"):
        with_more_trials(made, 0)


def test_a_grid_runs_again_as_a_whole() -> None:
    space = {"n_epochs": {"choice": [1, 2]}, "n_steps": {"choice": [32, 64, 128]}}
    search = {"searcher": "grid", "space": space, "default_space": False, "num_samples": 1}
    made = parse_config({"search": search})
    assert with_more_trials(made, 12).search.num_samples == 3
    with pytest.raises(ConfigError, match=r"6 combinations.*--add-trials 6, or a multiple.* got 4"):
        with_more_trials(made, 4)


def changed(folder: Path, **asked: Any) -> dict[str, Any]:
    """Change a search, and return what its journal says of it."""
    opened = open_folder(folder)
    take_changes(opened, opened.records(), **asked)
    events = [json.loads(line) for line in (folder / "journal.jsonl").open(encoding="utf-8")]
    return dict(events[-1])


def test_what_changes_is_an_event_and_is_kept(tmp_path: Path) -> None:
    folder = made_search(tmp_path, n_trials=4).path
    event = changed(
        folder, add_trials=2, overrides=["search.max_failures=0", "search.max_concurrent_trials=1"]
    )
    assert event["event"] == "config"
    expected = {"search.num_samples": [4, 6], "search.max_failures": [2, 0]}
    assert event["changes"] == expected | {"search.max_concurrent_trials": [None, 1]}
    opened = open_folder(folder)
    assert opened.config.search.num_samples == 6
    assert opened.accepted == opened.config
    # a second look finds nothing new, and the verdict of four trials is none of six
    assert changed(folder)["n"] == event["n"]
    assert not (folder / VERDICT_FILE).exists()
    assert read_search(folder).state == "interrupted"


def test_a_key_of_the_file_that_may_change_is_an_event_at_the_next_resume(tmp_path: Path) -> None:
    folder = made_search(tmp_path, n_trials=4).path
    path = folder / "config.yaml"
    text = path.read_text(encoding="utf-8").replace("max_failures: 2", "max_failures: 5")
    path.write_text(text, encoding="utf-8")
    assert changed(folder)["changes"] == {"search.max_failures": [2, 5]}
    assert path.read_text(encoding="utf-8") == text
    assert (folder / VERDICT_FILE).exists()  # it is what it was


@pytest.mark.parametrize("override", ["env.hmax=5", "search.space.gamma=0.9", "seed=4"])
def test_a_key_that_trials_depend_on_cannot_be_set(tmp_path: Path, override: str) -> None:
    folder = made_search(tmp_path, n_trials=2).path
    before = (folder / "config.yaml").read_bytes()
    with pytest.raises(
        ConfigError, match=rf"(?s)--set cannot change.*{override.partition('=')[0]}"
    ):
        changed(folder, overrides=[override])
    assert (folder / "config.yaml").read_bytes() == before


def test_a_spent_budget_must_be_raised_too(tmp_path: Path) -> None:
    folder = made_search(tmp_path, n_trials=4, planned=8).path
    # 4 trials of 4 x 256 timesteps, one stopped at half of that
    changed(folder, overrides=["search.timesteps_budget=3000"])
    opened = open_folder(folder)
    records = opened.records()
    spent = "the search's budget of 3,000 timesteps is spent"
    with (folder / "journal.jsonl").open("a", encoding="utf-8") as file:
        event = {"event": "search", "n": records.number + 1, "time": 2000.0}
        file.write(json.dumps({**event, "state": "finished", "ended_by": spent}) + "\n")
    assert read_search(folder).state == "finished"
    with pytest.raises(SearchError, match=r"3,000 timesteps is spent.*search\.timesteps_budget"):
        changed(folder, add_trials=2)
    assert open_folder(folder).config.search.num_samples == 8
    event = changed(folder, add_trials=2, overrides=["search.timesteps_budget=100000"])
    assert event["reopens"]
    reopened = read_search(folder)
    assert (reopened.state, reopened.planned, reopened.records.ended_by) == ("interrupted", 10, "")


def with_search(folder: SearchFolder, **search: Any) -> SearchFolder:
    """Return the folder as if its search had been made with other settings."""
    config = dataclasses.replace(
        folder.config, search=dataclasses.replace(folder.config.search, **search)
    )
    return dataclasses.replace(folder, config=config, accepted=config)


def test_a_population_is_not_joined_half_way(tmp_path: Path) -> None:
    made = made_search(tmp_path, n_trials=4)
    population = {"scheduler": PBTConfig(), "searcher": "random"}
    ended = with_search(made, **population)
    with pytest.raises(ConfigError, match=r"a population of their own.*add at least 2, got 1"):
        take_changes(ended, ended.records(), add_trials=1)
    records = made.records()
    records.trials["00003"].state = "interrupted"
    with pytest.raises(ConfigError, match=r"was 4, is 6, in the middle of a population"):
        take_changes(ended, records, add_trials=2)
    assert open_folder(made.path).config == made.config


def test_the_command_adds_trials_and_sets_what_may_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made_search(tmp_path, n_trials=2).path

    def run(*given: Any, **options: Any) -> Any:
        raise SearchError("as far as Ray")

    monkeypatch.setattr("finrl_ray.search.run.runner.search_session", run)
    command = ["resume", str(folder), "--add-trials", "3", "--set", "search.time_budget_s=7200"]
    ended = CliRunner().invoke(app, command)
    assert str(ended.exception) == "as far as Ray"
    search = open_folder(folder).config.search
    assert (search.num_samples, search.time_budget_s) == (5, 7200.0)
    refused = CliRunner().invoke(app, ["resume", str(folder), "--set", "env.hmax=3"])
    assert "--set cannot change" in str(refused.exception)


# -- on Ray -------------------------------------------------------------------------------------


def without_clock(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=list(CLOCK_COLUMNS)).reset_index(drop=True)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session_of_two")
def test_a_search_with_trials_added_is_one_that_began_with_them(tmp_path: Path) -> None:
    short = run_search(config(tmp_path / "short"))
    long = run_search(config(tmp_path / "long", num_samples=4))
    first = without_clock(short.table)
    interrupted = resume_search(short.path, add_trials=2, make_view=lambda *given: Interrupter())
    assert not interrupted.finished
    assert read_search(short.path).verdict is None
    more = resume_search(short.path)  # as `finrl-ray resume` without --add-trials
    assert more.finished
    assert_all_counted(more, 4)
    pd.testing.assert_frame_equal(without_clock(more.table), without_clock(long.table))
    kept = without_clock(more.table[more.table["trial"] < 2]).drop(columns="rank")
    pd.testing.assert_frame_equal(
        kept.sort_values("trial", ignore_index=True),
        first.drop(columns="rank").sort_values("trial", ignore_index=True),
    )
    samples = [
        [r.sample for r in open_folder(p).records().in_order()] for p in (more.path, long.path)
    ]
    assert samples[0] == samples[1]
    assert reproduce(more.path).exact


def assert_all_counted(result: SearchResult, count: int) -> None:
    """The table, the files, the verdict and the report are those of all trials."""
    assert len(result.table) == result.planned == count
    assert len(pd.read_csv(result.path / "trials.csv")) == count
    judged = read_verdict(result.path)
    assert judged is not None
    assert sum(judged.states.values()) == count
    assert judged.verdict.n_trials >= count
    shown = read_search(result.path)
    assert (shown.state, shown.planned, shown.n_ended) == ("finished", count, count)


def missing(name: str) -> Any:
    return pytest.mark.skipif(
        importlib.util.find_spec(name) is None, reason=f"{name} is not installed"
    )


PLANS = [
    pytest.param({"scheduler": {"type": "asha"}}, 2, id="random-asha"),
    pytest.param({"scheduler": {"type": "median"}}, 2, id="random-median"),
    pytest.param({"searcher": "grid", "space": GRID, "num_samples": 1}, 4, id="grid"),
    pytest.param({"searcher": "optuna"}, 2, id="optuna"),
    pytest.param({"searcher": "hyperopt"}, 2, id="hyperopt", marks=missing("hyperopt")),
    pytest.param({"scheduler": {"type": "hyperband"}}, 3, id="random-hyperband"),
    pytest.param(
        {"searcher": "bohb", "scheduler": {"type": "hyperband"}},
        3,
        id="bohb",
        marks=missing("hpbandster"),
    ),
    pytest.param(
        {"scheduler": {"type": "pbt", "perturbation_interval": 128}, "num_samples": 3}, 3, id="pbt"
    ),
    pytest.param(
        {"scheduler": {"type": "pb2", "perturbation_interval": 128}, "num_samples": 3},
        3,
        id="pb2",
        marks=missing("GPy"),
    ),
]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.usefixtures("ray_session_of_two")
@pytest.mark.parametrize(("options", "count"), PLANS)
def test_every_plan_takes_more_trials(tmp_path: Path, options: Any, count: int) -> None:
    if options.get("scheduler", {}).get("type") in ("hyperband", "pbt", "pb2"):
        options = {**options, "max_concurrent_trials": None}
    short = run_search(config(tmp_path / "short", **options))
    begun = len(short.table)
    before = [r.first_sample for r in open_folder(short.path).records().in_order()]
    more = resume_search(short.path, add_trials=count)
    assert more.finished, more.table[["trial", "state", "reason"]].to_dict("records")
    assert_all_counted(more, begun + count)
    assert set(more.table["state"]) <= {"completed", "stopped"}
    records = open_folder(more.path).records().in_order()
    assert [r.first_sample for r in records[:begun]] == before
    assert len({json.dumps(r.first_sample) for r in records}) == len(records)
    if options.get("scheduler", {}).get("type") in ("pbt", "pb2"):
        donors = [int(e["donor"]) for r in records[begun:] for e in r.exploits]
        assert donors
        assert min(donors) >= begun
    else:
        longer = {**options, "num_samples": options.get("num_samples", 2) + count}
        if options.get("searcher") == "grid":
            longer["num_samples"] = 2
        if options.get("searcher") in (None, "grid"):
            whole = run_search(config(tmp_path / "long", **longer))
            samples = [r.sample for r in open_folder(whole.path).records().in_order()]
            assert samples == [r.sample for r in records]
    shutil.rmtree(tmp_path)
