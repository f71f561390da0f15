"""The config of a search is sealed with it: what was edited is found, what may change is taken."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_search import made_search

from finrl_ray.compat.study import study_of
from finrl_ray.config.dump import config_to_dict
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.keys import known_keys
from finrl_ray.config.load import load_config, parse_config, read_config
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.report.listing import list_searches
from finrl_ray.report.pages.comparison import read_searches
from finrl_ray.report.read_search import read_search
from finrl_ray.report.write import write_report
from finrl_ray.search.folder import sealed_config
from finrl_ray.search.folder.folder import SearchFolder, open_folder
from finrl_ray.search.folder.names import CONFIG_FILE, EXPERIMENT_FILE
from finrl_ray.search.folder.sealed_config import (
    CHANGEABLE,
    SEALED,
    EditedConfigError,
    config_hash,
    free_changes,
    open_config,
    sealed_changes,
)
from finrl_ray.search.reproduce.replay import replay
from finrl_ray.search.reproduce.reproduce import reproduce
from finrl_ray.search.run.runner import resume_search
from finrl_ray.workflows.backtest import backtest
from finrl_ray.workflows.confirm import confirm


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SearchFolder:
    return made_search(tmp_path_factory.mktemp("runs"), n_trials=4)


@pytest.fixture
def folder(made: SearchFolder, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.path, tmp_path / "runs" / made.path.name))


def edit(folder: Path, key: str, value: Any) -> None:
    path = folder / CONFIG_FILE
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    *sections, name = key.split(".")
    target = content
    for section in sections:
        target = target[section]
    target[name] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def test_every_key_is_either_sealed_or_may_change() -> None:
    keys = known_keys()
    leaves = {key for key in keys if not any(other.startswith(f"{key}.") for other in keys)}
    assert set(SEALED) | set(CHANGEABLE) == leaves
    assert not set(SEALED) & set(CHANGEABLE)
    assert len(set(SEALED)) == len(SEALED)


def test_the_keys_that_may_change_are_these() -> None:
    """A key that is added is sealed, unless its field says otherwise."""
    budgets = ("trial_timeout_s", "time_budget_s", "timesteps_budget", "stop_after_no_improvement")
    places = ("storage_path", "local_path", "trackers", "max_disk_gb", "keep_checkpoints")
    sizes = ("num_samples", "max_concurrent_trials", "cpus_per_trial", "max_failures")
    search = {f"search.{name}" for name in (*budgets, *places, *sizes)}
    deploy = {f"deploy.retrain.{name}" for name in ("every", "window")}
    assert set(CHANGEABLE) == {"name", "data.cache_dir", *search, *deploy}
    assert all(CHANGEABLE.values())


# another valid value of every key, beside the config of `made_search`
OTHER: dict[str, Any] = {
    "name": "other",
    "deploy.retrain.every": 21,
    "deploy.retrain.window": "rolling",
    "seed": 1,
    "data.source": "noise",
    "data.source_kwargs": {"days": 5},
    "data.tickers": ["AAA"],
    "data.start": "2020-02-01",
    "data.end": "2021-03-01",
    "data.features": ["rsi_30"],
    "data.feature_kwargs": {"window": 5},
    "data.turbulence": True,
    "data.market_columns": ["vix"],
    "data.max_late_rows": 10,
    "data.timezone": "UTC",
    "data.cache_dir": "/elsewhere",
    "split.train": [None, "2020-06-01"],
    "split.validation": ["2020-07-01", "2021-01-01"],
    "split.test": ["2021-02-15", None],
    "validation.seeds": 2,
    "env.hmax": 10,
    "env.initial_amount": 5.0,
    "env.buy_cost_pct": 0.0,
    "env.sell_cost_pct": 0.0,
    "env.reward_scaling": 1.0,
    "env.risk_indicator_col": "vix",
    "env.action": "target_weights",
    "env.discrete_actions": "per_ticker",
    "env.fill": "next_open",
    "env.fractional_shares": True,
    "env.hmax_unit": "money",
    "env.volume_slippage": 0.1,
    "env.random_start": True,
    "env.observation": "stationary",
    "env.reward": "active",
    "env.differential_sharpe_rate": 0.1,
    "env.cash_penalty_proportion": 0.1,
    "env.stop_loss": 0.9,
    "env.lot_size": 10,
    "env.cooldown": 1,
    "env.short": True,
    "env.observation_scaling": "train",
    "env.parity": True,
    "agent.algorithm": "a2c",
    "agent.total_timesteps": 2048,
    "agent.n_envs": 2,
    "agent.n_stack": 2,
    "agent.learner": "exact",
    "agent.policy": "PerTickerPolicy",
    "agent.callbacks": ["my_callback:Counter"],
    "agent.model_kwargs": {"gamma": 0.9},
    "agent.normalize": True,
    "evaluation.eval_freq": 128,
    "evaluation.metric": "total_return",
    "evaluation.periods_per_year": 365.0,
    "evaluation.risk_free_rate": 0.01,
    "evaluation.max_no_improvement_evals": 1,
    "evaluation.min_evals": 1,
    "search.num_samples": 6,
    "search.searcher": "random",
    "search.scheduler.type": "median",
    "search.scheduler.grace_period": 64,
    "search.scheduler.reduction_factor": 3.0,
    "search.scheduler.brackets": 2,
    "search.space": {"learning_rate": {"loguniform": [1e-5, 1e-4]}},
    "search.default_space": False,
    "search.initial_points": ["finrl"],
    "search.select": "best",
    "search.rank_by": "sharpe_ratio",
    "search.ensemble": 2,
    "search.max_drawdown_limit": -0.5,
    "search.max_concurrent_trials": 1,
    "search.cpus_per_trial": 2.0,
    "search.threads_per_trial": 3,
    "search.gpus_per_trial": 1.0,
    "search.max_failures": 0,
    "search.trial_timeout_s": 60.0,
    "search.time_budget_s": 60.0,
    "search.timesteps_budget": 10**9,
    "search.stop_after_no_improvement": 100,
    "search.keep_checkpoints": 1,
    "search.max_disk_gb": 10.0,
    "search.storage_path": "elsewhere",
    "search.trackers": ["mlflow"],
    "search.local_path": "elsewhere",
}
# with another scheme, scheduler or threshold alone
DEPENDENT = {
    "env.class": ({"env": {"class": "my_env:One"}}, {"env": {"class": "my_env:Two"}}),
    "env.class_kwargs": (
        {"env": {"class": "my_env:One", "class_kwargs": {"window": 1}}},
        {"env": {"class": "my_env:One", "class_kwargs": {"window": 2}}},
    ),
    "evaluation.metric_kwargs": (
        {"evaluation": {"metric": "my_metric:metric", "metric_kwargs": {"power": 1.0}}},
        {"evaluation": {"metric": "my_metric:metric", "metric_kwargs": {"power": 2.0}}},
    ),
    "env.reward_kwargs": (
        {"env": {"reward": "my_reward:reward", "reward_kwargs": {"scale": 1.0}}},
        {"env": {"reward": "my_reward:reward", "reward_kwargs": {"scale": 2.0}}},
    ),
    "validation.scheme": ({}, {"validation": {"scheme": "walk_forward"}}),
    "agent.callback_kwargs": (
        {"agent": {"callbacks": ["my_callback:Counter"]}},
        {
            "agent": {
                "callbacks": ["my_callback:Counter"],
                "callback_kwargs": {"Counter": {"every": 2}},
            }
        },
    ),
    "validation.n_windows": (
        {"validation": {"scheme": "walk_forward"}},
        {"validation": {"scheme": "walk_forward", "n_windows": 5}},
    ),
    "validation.train_window": (
        {"validation": {"scheme": "walk_forward"}},
        {"validation": {"scheme": "walk_forward", "train_window": "rolling"}},
    ),
    "validation.start": (
        {"validation": {"scheme": "walk_forward"}},
        {"validation": {"scheme": "walk_forward", "start": "2020-08-01"}},
    ),
    "validation.n_groups": (
        {"validation": {"scheme": "cpcv"}},
        {"validation": {"scheme": "cpcv", "n_groups": 8}},
    ),
    "validation.n_test_groups": (
        {"validation": {"scheme": "cpcv"}},
        {"validation": {"scheme": "cpcv", "n_test_groups": 1}},
    ),
    "validation.purge": (
        {"validation": {"scheme": "cpcv"}},
        {"validation": {"scheme": "cpcv", "purge": 7}},
    ),
    "validation.embargo": (
        {"validation": {"scheme": "cpcv"}},
        {"validation": {"scheme": "cpcv", "embargo": 7}},
    ),
    "validation.objective": (
        {"validation": {"seeds": 2}},
        {"validation": {"seeds": 2, "objective": "metric"}},
    ),
    "env.turbulence_threshold": (
        {"data": {"turbulence": True}},
        {"data": {"turbulence": True}, "env": {"turbulence_threshold": 100.0}},
    ),
    "env.type": (
        {"env": {"action": "target_weights", "fractional_shares": True}},
        {"env": {"action": "target_weights", "fractional_shares": True, "type": "crypto"}},
    ),
    **{
        f"env.{name}": (
            {"env": {"type": "portfolio"}},
            {"env": {"type": "portfolio", name: value}},
        )
        for name, value in (
            ("covariance_lookback", 20),
            ("cash_weight", True),
            ("action_scale", 2.0),
        )
    },
    "env.max_weight": (
        {"env": {"action": "target_weights"}},
        {"env": {"action": "target_weights", "max_weight": 0.5}},
    ),
    "env.no_trade_band": (
        {"env": {"action": "target_weights"}},
        {"env": {"action": "target_weights", "no_trade_band": 0.01}},
    ),
    "env.zero_action": (
        {"env": {"action": "target_weights"}},
        {"env": {"action": "target_weights", "zero_action": "equal_weights"}},
    ),
    "env.trade_rate": (
        {"env": {"action": "target_weights"}},
        {"env": {"action": "target_weights", "trade_rate": 0.1}},
    ),
    "env.lookback": (
        {"env": {"observation": "stationary"}},
        {"env": {"observation": "stationary", "lookback": 2}},
    ),
    "env.return_horizons": (
        {"env": {"observation": "stationary"}},
        {"env": {"observation": "stationary", "return_horizons": [1]}},
    ),
    "env.nearest_spread": (
        {"env": {"observation": "stationary"}},
        {"env": {"observation": "stationary", "nearest_spread": True}},
    ),
    "env.profit_loss_ratio": (
        {"env": {"stop_loss": 0.9}},
        {"env": {"stop_loss": 0.9, "profit_loss_ratio": 2.0}},
    ),
    "env.borrow_rate": (
        {"env": {"short": True}},
        {"env": {"short": True, "borrow_rate": 0.02}},
    ),
    "env.maintenance_margin": (
        {"env": {"short": True}},
        {"env": {"short": True, "maintenance_margin": 0.5}},
    ),
    "evaluation.index_column": (
        {"data": {"market_columns": ["vix"]}},
        {"data": {"market_columns": ["vix"]}, "evaluation": {"index_column": "vix"}},
    ),
    "search.select_last": (
        {"search": {"select": "mean"}},
        {"search": {"select": "mean", "select_last": 5}},
    ),
    "search.objectives": (
        {"search": {"searcher": "optuna"}},
        {"search": {"searcher": "optuna", "objectives": ["sharpe_ratio", "max_drawdown"]}},
    ),
    **{
        f"search.scheduler.{name}": (
            {"search": {"scheduler": {"type": kind}}},
            {"search": {"scheduler": {"type": kind, name: value}}},
        )
        for kind, name, value in (
            ("median", "min_samples", 5),
            ("pbt", "perturbation_interval", 100),
            ("pbt", "burn_in", 100),
            ("pbt", "quantile_fraction", 0.5),
            ("pbt", "resample_probability", 0.5),
            ("pbt", "mutations", ["learning_rate"]),
            ("pbt", "synch", False),
        )
    },
}


def test_the_cases_below_are_all_keys() -> None:
    assert set(OTHER) | set(DEPENDENT) == set(SEALED) | set(CHANGEABLE)


def pair(made: SearchFolder, key: str) -> tuple[ExperimentConfig, ExperimentConfig]:
    if key in DEPENDENT:
        former, now = DEPENDENT[key]
        return parse_config(former), parse_config(now)
    as_made = config_to_dict(made.config)
    as_made["search"]["threads_per_trial"] = 1  # as `prepare_search` settles it
    content = copy.deepcopy(as_made)
    *sections, name = key.split(".")
    target: Any = content
    for section in sections:
        target = target[section]
    target[name] = OTHER[key]
    return parse_config(as_made), parse_config(content)


@pytest.mark.parametrize("key", sorted({*OTHER, *DEPENDENT}))
def test_another_value_of_any_key_is_found_and_no_other_key(made: SearchFolder, key: str) -> None:
    former, now = pair(made, key)
    sealed, free = sealed_changes(former, now), free_changes(former, now)
    if key in CHANGEABLE:
        assert [change.key for change in free] == [key]
        assert not sealed
        return
    # an entry of a mapping has a key of its own
    assert sealed
    assert all(one.key == key or one.key.startswith(f"{key}.") for one in sealed), sealed


def reading_commands() -> dict[str, Any]:
    return {
        "open": open_folder,
        "show": read_search,
        "report": write_report,
        "compare": lambda path: read_searches([path, path]),
        "backtest": backtest,
        "backtest again": lambda path: backtest(path, again=True),
        "confirm": confirm,
        "replay": replay,
        "reproduce": reproduce,
        "resume": resume_search,
        "study": study_of,
    }


@pytest.mark.parametrize("command", sorted(reading_commands()))
def test_every_command_refuses_an_edited_config(folder: Path, command: str) -> None:
    edit(folder, "env.buy_cost_pct", 0.0)
    edit(folder, "split.test", ["2021-02-15", None])
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(EditedConfigError) as refused:
        reading_commands()[command](folder)
    words = str(refused.value)
    assert "env.buy_cost_pct was 0.001, is 0.0" in words
    assert 'split.test was ["2021-02-01", null], is ["2021-02-15", null]' in words
    assert "restore the former values" in words
    assert f"finrl-ray tune {folder / CONFIG_FILE}" in words
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    after.pop(folder / ".lock", None)
    assert after == before


def test_a_list_shows_the_edited_one_beside_the_others(folder: Path, made: SearchFolder) -> None:
    whole = Path(shutil.copytree(made.path, folder.parent / "whole"))
    edit(folder, "seed", 9)
    found = {Path(one.path).name: one for one in list_searches(folder.parent)}
    assert found[whole.name].state == "finished"
    assert found[folder.name].state == "edited"
    assert "seed was 0, is 9" in found[folder.name].problem


def test_other_words_for_the_same_are_no_change(folder: Path) -> None:
    path = folder / CONFIG_FILE
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["search"]["space"] = {}
    content["search"]["scheduler"] |= {"grace_period": 128, "reduction_factor": 2, "brackets": 1}
    content["env"]["hmax"] = 100.0
    content["env"] = dict(reversed(content["env"].items()))
    del content["env"]["lot_size"]
    text = yaml.safe_dump(dict(reversed(content.items())), sort_keys=False)
    path.write_text(f"# a comment\n\n{text}", encoding="utf-8")
    opened = open_folder(folder)
    assert opened.config == opened.accepted


def test_files_that_nobody_has_touched_are_read_without_yaml(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def noted(path: Path) -> dict[str, Any]:
        read.append(path)
        return read_config(path)

    monkeypatch.setattr(sealed_config, "read_config", noted)
    opened = open_folder(folder)
    assert not read
    # whichever of the two files is another one, in whatever, it is read as it stands
    path, facts = folder / CONFIG_FILE, json.loads((folder / EXPERIMENT_FILE).read_text("utf-8"))
    with path.open("a", encoding="utf-8") as file:
        file.write("# a comment\n")
    again = open_folder(folder)
    assert (again.config, again.accepted) == (opened.config, opened.accepted)
    assert len(read) == 1
    edit(folder, "search.max_failures", 3)
    assert open_folder(folder).config.search.max_failures == 3
    assert len(read) == 2
    assert config_to_dict(load_config(path)) == config_to_dict(open_folder(folder).config)
    facts["config"]["search"]["max_failures"] = 5
    (folder / EXPERIMENT_FILE).write_text(json.dumps(facts), encoding="utf-8")
    assert open_folder(folder).config.search.max_failures == 3
    path.unlink()
    with pytest.raises(SearchError, match=r"has no config\.yaml"):
        open_folder(folder)


def test_samples_are_drawn_in_the_order_of_the_sealed_space(tmp_path: Path) -> None:
    """Random search draws name after name, so another order would give other samples."""
    found = made_search(tmp_path, n_trials=2)
    space = {"gamma": {"uniform": [0.9, 0.99]}, "learning_rate": {"uniform": [1e-4, 1e-3]}}
    path, facts_path = found.path / CONFIG_FILE, found.path / EXPERIMENT_FILE
    facts = json.loads(facts_path.read_text(encoding="utf-8"))
    facts["config"]["search"]["space"] = space
    facts["config_hash"] = config_hash(facts["config"])
    facts_path.write_text(json.dumps(facts), encoding="utf-8")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["search"]["space"] = dict(reversed(space.items()))
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    assert list(open_folder(found.path).config.search.space) == ["gamma", "learning_rate"]


@pytest.mark.parametrize(
    ("key", "former", "now", "refused"),
    [
        ("data.source", "a/prices.csv", "/b/other.CSV", False),
        ("data.source", "bundled", "sp500", True),
        ("data.source", "bundled", "prices.csv", True),
        ("search.gpus_per_trial", 0.25, 1.0, False),
        ("search.gpus_per_trial", 0.0, 0.5, True),
        ("search.gpus_per_trial", 2.0, 0.0, True),
        ("agent.model_kwargs", {"gamma": 1}, {"gamma": 1.0}, False),
        ("agent.model_kwargs", {"normalize_advantage": 1}, {"normalize_advantage": True}, True),
        ("agent.model_kwargs", {}, {"gamma": 0.9}, True),
    ],
)
def test_what_counts_of_a_value(key: str, former: Any, now: Any, refused: bool) -> None:
    def config(value: Any) -> ExperimentConfig:
        section, name = key.split(".")
        return parse_config({section: {name: value}})

    assert bool(sealed_changes(config(former), config(now))) == refused


def test_cpus_change_no_threads_of_a_search_that_has_begun(made: SearchFolder) -> None:
    content = config_to_dict(made.config)
    # as `prepare_search` settles it
    content["search"]["threads_per_trial"] = made.config.search.threads
    former = parse_config(content)
    content["search"]["cpus_per_trial"] = 4.0
    now = parse_config(content)
    assert (former.search.threads, now.search.threads) == (1, 1)
    assert not sealed_changes(former, now)
    assert parse_config({"search": {"cpus_per_trial": 4.0}}).search.threads == 4


def test_a_sealed_config_that_was_edited_is_refused(folder: Path) -> None:
    path = folder / EXPERIMENT_FILE
    facts = json.loads(path.read_text(encoding="utf-8"))
    facts["config"]["env"]["buy_cost_pct"] = 0.0
    path.write_text(json.dumps(facts), encoding="utf-8")
    edit(folder, "env.buy_cost_pct", 0.0)
    with pytest.raises(SearchError, match="does not match its hash"):
        open_folder(folder)
    del facts["config"]
    path.write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(SearchError, match="does not match its hash"):
        open_folder(folder)


def test_a_folder_of_an_earlier_version_opens_and_is_sealed_when_it_goes_on(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = folder / EXPERIMENT_FILE
    facts = json.loads(path.read_text(encoding="utf-8"))
    del facts["config"], facts["config_hash"]
    path.write_text(json.dumps(facts), encoding="utf-8")
    edit(folder, "env.buy_cost_pct", 0.0)
    (folder / "trials.csv").touch()  # its outputs are there
    opened = open_folder(folder)
    assert (opened.accepted, opened.config.env.buy_cost_pct) == (None, 0.0)
    assert read_search(folder).state == "finished"
    assert resume_search(folder).finished
    assert "was not sealed" in caplog.text
    assert open_folder(folder).accepted == opened.config
    edit(folder, "env.buy_cost_pct", 0.001)
    with pytest.raises(EditedConfigError, match=r"env\.buy_cost_pct was 0\.0, is 0\.001"):
        open_folder(folder)


def test_an_invalid_config_is_named_with_its_file(folder: Path) -> None:
    edit(folder, "env.hmax", -3)
    with pytest.raises(ConfigError, match=r"config\.yaml.*hmax"):
        open_folder(folder)


def test_fewer_trials_than_there_are_are_refused(folder: Path) -> None:
    edit(folder, "search.num_samples", 3)
    with pytest.raises(EditedConfigError, match="which is 3 trials, and the search has 4 already"):
        open_folder(folder)


def test_a_long_value_is_cut_in_the_message(folder: Path) -> None:
    edit(folder, "agent.model_kwargs", {"gamma": "9" * 10**6})
    with pytest.raises(EditedConfigError) as refused:
        open_folder(folder)
    assert len(str(refused.value)) < 2000


@pytest.mark.parametrize(
    ("search", "searcher", "rank_by"),
    [
        ("{num_samples: 3}", "random", "objective"),
        ("{searcher: optuna}", "optuna", "objective"),
        ("{rank_by: sharpe_ratio, scheduler: {type: pbt}}", "random", "sharpe_ratio"),
    ],
)
def test_what_an_earlier_version_did_not_write_stands_for_what_it_did(
    search: str, searcher: str, rank_by: str, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(f"search: {search}\n", encoding="utf-8")
    opened = open_config(tmp_path, {})
    assert (opened.config.search.searcher, opened.config.search.rank_by) == (searcher, rank_by)
    # and where it was sealed, under the hash that it was sealed with
    content = config_to_dict(load_config(tmp_path / "config.yaml"))
    kept = {key: value for key, value in content["search"].items() if key in search}
    sealed = {**content, "search": kept}
    facts = {"config": sealed, "config_hash": config_hash(sealed), "kind": "search"}
    again = open_config(tmp_path, facts)
    assert (again.config.search.searcher, again.config.search.rank_by) == (searcher, rank_by)
    assert again.digest == facts["config_hash"]
