"""Searches whose winner is several trials together (`search.ensemble`), from start to report."""

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from repository import REPOSITORY
from small_search import small_config
from stable_baselines3.common.vec_env import VecNormalize
from typer.testing import CliRunner

from finrl_ray.agents.ensemble_model.files import load_ensemble, read_ensemble
from finrl_ray.agents.ensemble_model.model import EnsembleModel
from finrl_ray.agents.models import load_model
from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.cli.main import app
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.env.make import make_vec_env
from finrl_ray.env.scaling import fitted_scaling
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.files.manifest import write_folder_manifest
from finrl_ray.report.read_search import read_search
from finrl_ray.report.write import write_report
from finrl_ray.search.folder.folder import open_folder
from finrl_ray.search.reproduce.reproduce import reproduce
from finrl_ray.search.results.winner import load_winner, winners_env
from finrl_ray.search.run.runner import resume_search, run_search
from finrl_ray.workflows.backtest import backtest
from finrl_ray.workflows.confirm import confirm, resume_confirmation
from finrl_ray.workflows.confirmation_files import read_confirmation

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_session_of_two")]

SECTIONS = {
    "env": {
        "random_start": True,
        "action": "target_weights",
        "observation": "stationary",
        "reward": "active",
    },
    "agent": {"total_timesteps": 512, "n_envs": 4, "normalize": False},
    "evaluation": {"eval_freq": 256},
}
SPACE = {
    "n_steps": 64,
    "batch_size": 64,
    "n_epochs": 1,
    "net_arch": "tiny",
    "learning_rate": {"loguniform": [1e-3, 1e-2]},
    "env.trade_rate": {"choice": [1.0, 0.3]},
    "env.lookback": {"choice": [1, 2]},
    "agent.normalize": {"choice": [False, "observations"]},
}
POINTS = [
    {"env.lookback": 1, "env.trade_rate": 1.0, "agent.normalize": False},
    {"env.lookback": 2, "env.trade_rate": 0.3, "agent.normalize": "observations"},
    {"env.lookback": 2, "env.trade_rate": 1.0, "agent.normalize": False},
]


def config(storage: Path, **search: object):
    own = {"space": SPACE, "initial_points": POINTS, "num_samples": 3, "ensemble": 3, **search}
    return small_config(storage, **SECTIONS, search=own)


@pytest.fixture(scope="module")
def searched(ray_session_of_two: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_search(config(tmp_path_factory.mktemp("ensemble"))).path


@pytest.fixture
def copied(searched: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(searched, tmp_path / searched.name))


@pytest.mark.parametrize(
    ("part", "named"), [("algorithm", "evil_code:Agent"), ("env", {"class_": "evil_code:Env"})]
)
def test_code_that_only_a_members_file_names_does_not_run(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, named: Any
) -> None:
    (tmp_path / "evil_code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (file,) = copied.rglob("ensemble.json")
    content = json.loads(file.read_text())
    content["members"][1][part] = named
    file.write_text(json.dumps(content))
    write_folder_manifest(file.parent)  # as one writes it who means harm
    with pytest.raises(ConfigError, match=r"names evil_code:.*, which the config does not"):
        load_winner(open_folder(copied))
    assert not (tmp_path / "ran").exists()


def by_hand(path: Path):
    """The account of the mean of what three agents want, traded without any part of the ensemble.

    Each agent acts in an env of its own formulation, whose account is set to the common one.
    """
    folder = open_folder(path)
    window = folder.validation_data
    agents = []
    for place in sorted((path / "ray").glob("*/checkpoint_*")):
        last = sorted(place.parent.glob("checkpoint_*"))[-1]
        if place != last:
            continue
        sample = next(
            r.sample
            for r in folder.records().in_order()
            if last.relative_to(path).as_posix() in r.checkpoints.values()
        )
        trial = config_of_sample(folder.config, sample)
        scaling = fitted_scaling(trial.env, folder.train_data)
        env = make_vec_env(window, trial.env, scaling=scaling, training=False)
        model = load_model("ppo", place / "model.zip")
        env.reset()
        statistics = place / "vecnormalize.pkl"
        agents.append((model, env, trial, statistics))
    rates = np.array([trial.env.trade_rate for _, _, trial, _ in agents])
    common = make_vec_env(
        window,
        config_of_sample(folder.config, {"env.trade_rate": float(rates.mean())}).env,
        scaling=fitted_scaling(folder.config.env, folder.train_data),
        training=False,
    )
    common.reset()
    normalizers = [
        VecNormalize.load(str(file), env) if trial.agent.normalize else None
        for _, env, trial, file in agents
    ]
    done = np.array([False])
    while not done[0]:
        wanted = []
        for (model, env, _, _), normalizer in zip(agents, normalizers, strict=True):
            env.accounts.books.records[:] = common.accounts.books.records
            env.accounts.books.shares[:] = common.accounts.books.shares
            seen = env.accounts.observation(0)[None]
            seen = seen if normalizer is None else normalizer.normalize_obs(seen)
            action = np.clip(model.predict(seen, deterministic=True)[0][0], 0.0, 1.0)
            wanted.append(action.astype(float) / max(1.0, np.cumsum(action.astype(float))[-1]))
        mean = sum(rate * one for rate, one in zip(rates, wanted, strict=True)) / rates.sum()
        _, _, done, infos = common.step(mean[None])
    return infos[0]["account_history"]


def test_its_account_is_that_of_the_mean_of_what_the_agents_want(searched: Path) -> None:
    kept = pd.read_parquet(searched / "ensemble_account.parquet")
    expected = by_hand(searched)
    np.testing.assert_allclose(kept["account_value"], expected.account_value, rtol=1e-9)
    assert (kept["date"].to_numpy() == expected.dates).all()
    assert np.ptp(kept["account_value"]) > 0  # it has traded


def test_it_is_the_winner_and_one_look_more(searched: Path) -> None:
    search = read_search(searched)
    judged = search.verdict
    assert judged is not None
    assert judged.ensemble is not None
    assert sorted(judged.ensemble.trials) == [0, 1, 2]
    assert judged.verdict.n_trials == judged.verdict.n_with_returns == 4
    returns = pd.read_parquet(searched / "residual_returns.parquet")
    assert set(returns.columns) == {"date", "0", "1", "2", "ensemble"}
    own = returns["ensemble"].to_numpy()
    year = np.sqrt(search.folder.periods_per_year)
    assert judged.verdict.sharpe_annual == pytest.approx(
        own.mean() / own.std(ddof=1) * year, rel=1e-9
    )
    curve = pd.read_parquet(searched / "ensemble_account.parquet")["account_value"]
    assert judged.earnings is not None
    assert judged.earnings.total_return == pytest.approx(curve.iloc[-1] / 1e6 - 1.0, rel=1e-9)
    said = "\n".join(judged.sentences())
    assert "the winner is the ensemble of trials" in said
    assert "one look more in N" in said
    assert (
        "started: 3 trials and their ensemble, of which 4 left returns; evidence takes a PBO"
        in said
    )
    assert all(row["in_ensemble"] for row in search.rows)


def test_the_model_is_loaded_and_acts_in_its_env(searched: Path) -> None:
    folder = open_folder(searched)
    record, model, source = load_winner(folder)
    assert isinstance(model, EnsembleModel)
    assert source == searched / "best_model" / "ensemble.json"
    assert record.index == int(read_search(searched).rows[0]["trial"])
    env = winners_env(folder, record, folder.validation_data, source)
    (history,) = evaluate_account(model, env)
    kept = pd.read_parquet(searched / "ensemble_account.parquet")
    np.testing.assert_array_equal(history.account_value, kept["account_value"])
    # two views: a lookback of 1 and of 2
    assert set(env.reset()) == {"observation_1", "observation_2"}
    assert (searched / "final_model" / "model.zip").is_file()


def test_the_code_of_the_page_runs(searched: Path) -> None:
    page = (REPOSITORY / "docs" / "search.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(code.replace("runs/quickstart_...", str(searched)), names)  # our own text
    assert isinstance(names["model"], EnsembleModel)
    kept = pd.read_parquet(searched / "ensemble_account.parquet")
    np.testing.assert_array_equal(names["history"].account_value, kept["account_value"])


def test_backtest_report_and_show_are_of_it(copied: Path) -> None:
    found = backtest(copied)
    assert sorted(found.ensemble) == [0, 1, 2]
    assert found.who.startswith("the ensemble of trials ")
    assert np.isfinite(found.measures["agent"]["total_return"])
    assert found.trading is not None
    assert [row.multiple for row in found.trading.rows] == [1.0, 2.0, 3.0, 1.0]
    assert found.trading.rows[0].agent["total_return"] == found.measures["agent"]["total_return"]
    assert len({row.agent["total_return"] for row in found.trading.rows}) == 4
    assert backtest(copied).repeated
    assert "the ensemble of trials" in found.opened[0].sentence()
    page = write_report(copied).read_text(encoding="utf-8")
    assert "The ensemble beside the baselines" in page
    assert f"trial {found.trial} alone" in page
    assert "The ensemble of trials" in page
    shown = CliRunner().invoke(app, ["show", str(copied)])
    assert shown.exit_code == 0
    assert "the winner is the ensemble of trials" in " ".join(shown.output.split())
    content = json.loads(CliRunner().invoke(app, ["show", str(copied), "--json"]).output)
    assert sorted(content["ensemble"]["trials"]) == [0, 1, 2]
    assert all(row["in_ensemble"] for row in content["trials"])


def test_all_its_trials_are_reproduced_and_its_account(copied: Path, tmp_path: Path) -> None:
    file = shutil.copy(copied / "reproduction.zip", tmp_path / "sent.zip")
    lines: list[str] = []
    found = reproduce(file, lines.append)
    assert found.exact, found.differences
    assert sorted(found.ensemble) == [0, 1, 2]
    assert found.evaluations == len(lines) == 6
    assert found.timesteps == 3 * 512


@pytest.mark.parametrize("name", ["best_model", "verdict.json"])
def test_what_is_missing_at_the_end_is_written_again(copied: Path, name: str) -> None:
    """As after a kill while the ensemble is written: the verdict is the last of all files."""
    before = {
        file: (copied / file).read_bytes()
        for file in ("best_model/ensemble.json", "verdict.json", "reproduction.zip")
    }
    (copied / "verdict.json").unlink()
    if name == "best_model":
        shutil.rmtree(copied / name)
        with pytest.raises(SearchError, match=r"there is no .*ensemble\.json; let it end once"):
            load_winner(open_folder(copied))
    result = resume_search(copied)
    assert result.finished
    after = {file: (copied / file).read_bytes() for file in before}
    assert after == before


@pytest.mark.parametrize(
    ("part", "name"),
    [
        # before the manifest of the new folder is written
        ("finrl_ray.agents.ensemble_model.files", "write_folder_manifest"),
        # where the old folder is away, and the new one is not there yet
        ("finrl_ray.files.copy", "os"),
        # between the ensemble and the verdict
        ("finrl_ray.search.run.outputs", "_write_reproduction"),
    ],
)
def test_a_kill_while_it_is_written_is_made_good(copied: Path, part: str, name: str) -> None:
    files = ("best_model/ensemble.json", "best_model/member_2.zip", "verdict.json")
    before = {file: (copied / file).read_bytes() for file in files}
    (copied / "verdict.json").unlink()
    code = f"""
import os, signal
from pathlib import Path
from unittest import mock
from finrl_ray.search.run.runner import resume_search

class Kill:
    def __call__(self, *given, **named):
        os.kill(os.getpid(), signal.SIGKILL)

    replace = __call__

with mock.patch("{part}.{name}", Kill()):
    resume_search(Path({str(copied)!r}))
"""
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (copied / "verdict.json").exists()
    assert resume_search(copied).finished
    assert {file: (copied / file).read_bytes() for file in files} == before


def test_a_damaged_member_is_found(copied: Path) -> None:
    file = copied / "best_model" / "member_2.zip"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(SearchError, match=r"is damaged: member_2\.zip has"):
        load_winner(open_folder(copied))
    with pytest.raises(SearchError, match=r"is damaged: member_2\.zip has"):
        backtest(copied)


def test_a_search_with_fewer_trials_uses_those_and_says_so(tmp_path: Path) -> None:
    result = run_search(config(tmp_path, timesteps_budget=600, max_concurrent_trials=1))
    assert result.ended_by
    members, facts = read_ensemble(result.path / "best_model")
    assert 1 <= len(members) < 3
    assert facts["wanted"] == 3
    said = "\n".join(result.judged.sentences())
    assert "search.ensemble asks for 3 trials, and" in said
    assert len(load_ensemble(result.path / "best_model").members) == len(members)
    assert backtest(result.path).ensemble == tuple(one.trial for one in members)


def test_each_seed_of_a_confirmation_trains_all_of_them(copied: Path) -> None:
    found = confirm(copied, top=1, seeds=2, windows=2)
    assert found.finished
    together = found.table[found.table["trial"].isna()]
    assert len(together) == 1
    assert len(found.table) == 4  # all three, although one was asked for
    row = together.iloc[0]
    assert row["folds"] == 4
    assert row["lower_bound"] == pytest.approx(row["mean"] - row["standard_error"], rel=1e-9)
    returns = pd.read_parquet(found.path / "ensemble_account.parquet")
    singles = pd.read_parquet(found.path / "fold_returns.parquet")
    assert set(returns["fold"]) == {0, 1, 2, 3}
    assert len(returns) == len(singles[singles["trial"] == 0])
    # buy & hold beside it is the same
    held = returns["return"] - returns["active_return"]
    one = singles[singles["trial"] == 0]
    np.testing.assert_allclose(
        np.sort(held), np.sort(one["return"] - one["active_return"]), atol=1e-12
    )
    again = read_confirmation(copied)
    assert again is not None
    assert again.table["trial"].isna().sum() == 1
    assert resume_confirmation(found.path).table["lower_bound"].tolist() == pytest.approx(
        found.table["lower_bound"].tolist(), rel=1e-12
    )
    assert "ensemble of trials" in write_report(copied).read_text(encoding="utf-8")


def test_trials_that_train_several_times_act_together_fold_by_fold(tmp_path: Path) -> None:
    sections = {**SECTIONS, "validation": {"scheme": "walk_forward", "n_windows": 2}}
    own = {"space": SPACE, "initial_points": POINTS, "num_samples": 3, "ensemble": 2}
    result = run_search(small_config(tmp_path, **sections, search=own))
    assert result.judged is not None
    assert result.judged.ensemble is not None
    assert len(result.judged.ensemble.trials) == 2
    assert result.judged.verdict.n_trials == 4
    returns = pd.read_parquet(result.path / "ensemble_account.parquet")
    assert set(returns["fold"]) == {0, 1}
    assert np.ptp(returns["return"]) > 0
    assert len(load_ensemble(result.path / "best_model").members) == 2
    found = backtest(result.path)
    assert found.ensemble == result.judged.ensemble.trials
    again = reproduce(result.path)
    assert again.exact, again.differences
    assert "The ensemble beside the baselines" in write_report(result.path).read_text()


@pytest.mark.parametrize(
    "search",
    [
        pytest.param(
            {"scheduler": {"type": "pbt", "perturbation_interval": 256}, "initial_points": []},
            marks=pytest.mark.long,
        ),
        {"select": "best"},
    ],
)
def test_other_kinds_of_searches_have_one_too(tmp_path: Path, search: dict) -> None:
    space = {**SPACE, "agent.normalize": False, "env.lookback": 1, "env.trade_rate": 1.0}
    points = {} if "scheduler" in search else {"initial_points": []}
    result = run_search(config(tmp_path, space=space, ensemble=2, **{**points, **search}))
    assert result.judged is not None
    assert result.judged.ensemble is not None
    kind = open_folder(result.path)
    records = kind.records().in_order()
    looks = sum(len(r.results) for r in records) if "select" in search else 3
    looks += sum(len(r.exploits) for r in records)
    assert result.judged.verdict.n_trials == looks + 1
    found = reproduce(result.path)
    assert found.exact, found.differences
