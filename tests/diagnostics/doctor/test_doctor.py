"""`doctor` names every problem of a config, not only the first, and is quiet about a good one."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from env_markets import random_market
from repository import REPOSITORY
from rich.console import Console

from finrl_ray.cli.main import main
from finrl_ray.cli.screen import hanging
from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import load_config, parse_config
from finrl_ray.config.template import new_experiment
from finrl_ray.data.load import load_market_data
from finrl_ray.data.windows.split import make_split
from finrl_ray.diagnostics.doctor import compute_checks
from finrl_ray.diagnostics.doctor.agent_checks import check_agent
from finrl_ray.diagnostics.doctor.compute_checks import largest_trial
from finrl_ray.diagnostics.doctor.config_salvage import salvage
from finrl_ray.diagnostics.doctor.doctor import diagnose_config
from finrl_ray.diagnostics.doctor.search_estimate import check_duration, measure_training
from finrl_ray.diagnostics.findings import FindingList, FindingsReport
from finrl_ray.search.run.prepare import prepare_search
from finrl_ray.search.sampling.domains import parse_domain

pytestmark = pytest.mark.slow  # they train, or start a server

STEPS = 64


def prices(days: int = 900) -> pd.DataFrame:
    market = random_market(days, 2)
    return pd.DataFrame(
        {
            "date": np.repeat(pd.DatetimeIndex(market.dates).strftime("%Y-%m-%d"), 2),
            "tic": ["AAA", "BBB"] * days,
            "close": market.close.ravel(),
            "mine": 1.0,
        }
    )


def write(folder: Path, df: pd.DataFrame | None = None, **sections: dict[str, Any]) -> Path:
    """Write prices and a config that is in order but for `sections`."""
    (prices() if df is None else df).to_csv(folder / "prices.csv", index=False)
    raw: dict[str, Any] = {
        "data": {"source": "prices.csv", "features": ["macd", "mine"]},
        "split": {
            "train": [None, "2021-04-01"],
            "validation": ["2021-04-01", "2022-04-15"],
            "test": ["2022-04-15", None],
        },
        "agent": {
            "algorithm": "ppo",
            "total_timesteps": 2000,
            "normalize": True,
            "model_kwargs": {"n_steps": 64, "batch_size": 64, "n_epochs": 1},
        },
        "env": {"initial_amount": 100_000, "hmax": 500},
        "evaluation": {"eval_freq": 500},
        "search": {
            "num_samples": 2,
            "default_space": False,
            "space": {"learning_rate": {"loguniform": [1e-5, 1e-3]}},
        },
    }
    for name, section in sections.items():
        raw[name] = {**raw.get(name, {}), **section} if isinstance(section, dict) else section
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return path


def look(path: Any, **options: Any) -> FindingsReport:
    options = {"measure": False, **options}
    return diagnose_config(path, n_test_steps=STEPS, **options)


def said(report: FindingsReport, level: Any) -> list[str]:
    return [f"{item.where}: {item.what}" for item in report.of(level)]


@pytest.mark.parametrize(
    ("env", "normalize", "told"),
    [
        ({}, False, True),
        ({}, "rewards", True),
        ({}, True, False),
        ({"observation_scaling": "train"}, False, False),
        ({"observation": "stationary", "lookback": 2}, False, False),
    ],
)
def test_unscaled_observations_are_told(env, normalize, told, tmp_path: Path) -> None:
    report = look(write(tmp_path, env=env, agent={"normalize": normalize}))
    lines = [item for item in report.of("warning") if "drowns them" in item.what]
    assert [item.where for item in lines] == ["agent.normalize"] * told
    assert all("cash of" in item.what and "stationary" in item.remedy for item in lines)
    assert report.healthy


def test_the_observations_length_counts_as_memory() -> None:
    market, space = random_market(200), {"n_steps": parse_domain({"choice": [512]})}
    sizes = {}
    for lookback in (1, 11):
        env = EnvConfig(observation="stationary", lookback=lookback)
        config = ExperimentConfig(env=env, agent=AgentConfig(n_envs=4))
        sizes[lookback] = largest_trial(config, space, market)
    # ten more rows of (4 horizons + 2 features) of 3 tickers, in each of 4 x 512 steps
    more = 10 * 6 * 3
    assert sizes[11].buffer_bytes - sizes[1].buffer_bytes >= more * 4 * 512 * 4
    table = sizes[11].total_bytes - sizes[11].buffer_bytes
    assert table - (sizes[1].total_bytes - sizes[1].buffer_bytes) == 200 * more * 4


def test_a_good_config_is_healthy(tmp_path: Path) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    path = write(tmp_path)
    report = look(path)
    assert said(report, "error") == said(report, "warning") == []
    assert report.healthy
    assert report.summary() == "healthy"
    looked_at = {item.where for item in report.of("ok")}
    assert {"agent", "data", "memory", "split", "search", "training", "rewards"} <= looked_at
    # nothing is written
    assert sorted(p.name for p in tmp_path.iterdir()) == [*before, "config.yaml", "prices.csv"]


def test_bad_cells_are_named_by_ticker_date_and_column(tmp_path: Path) -> None:
    df = prices()
    df.loc[df.index[201], "close"] = np.nan
    df.loc[df.index[300], "mine"] = np.inf
    report = look(write(tmp_path, df))
    assert said(report, "error") == ["data.source: mine of AAA is infinite on 2020-05-30"]
    assert said(report, "warning") == ["data.source: close of BBB is missing (NaN) on 2020-04-10"]
    # and the rest was looked at all the same
    assert {"search", "training"} <= {item.where for item in report.of("ok")}


def test_a_market_series_is_named_once_and_not_for_every_ticker(tmp_path: Path) -> None:
    df = prices()
    df["vix"] = 20.0
    df.loc[df["date"] == "2020-04-10", "vix"] = np.nan
    report = look(write(tmp_path, df, data={"market_columns": ["vix"]}))
    found = "data.source: vix of the market is missing (NaN) on 2020-04-10"
    assert said(report, "warning") == [found]


def test_only_the_rows_that_are_read_count(tmp_path: Path) -> None:
    df = prices()
    df.loc[df.index[1], "close"] = np.nan
    df.loc[df.index[400], "unused"] = np.nan
    data = {"start": "2020-01-05", "tickers": ["AAA", "BBB"]}
    assert said(look(write(tmp_path, df, data=data)), "warning") == []


def test_dates_written_in_two_ways_are_no_missing_rows(tmp_path: Path) -> None:
    df = prices()
    second = df["tic"] == "BBB"
    df.loc[second, "date"] = df.loc[second, "date"].str.replace("-", "")
    report = look(write(tmp_path, df, data={"start": "2020-01-05"}))
    assert said(report, "error") == said(report, "warning") == []


def test_every_problem_is_found_at_once(tmp_path: Path) -> None:
    df = prices()
    df["close"] = df["close"].astype(object)
    df.loc[df.index[7], "close"] = "n.a."
    report = look(
        write(
            tmp_path,
            df,
            env={"hmax": -1, "stop_loss": 1.5, "cooldown": -2},
            evaluation={"max_no_improvement_evals": 10},
            agent={"n_env": 2, "model_kwargs": {"buffer_size": 9, "n_steps": 32, "batch_size": 64}},
            search={"space": {"learning_rate": {"loguniform": [1e-9, 0.5]}}},
        )
    )
    errors = "\n".join(said(report, "error"))
    assert "hmax must be >= 1" in errors
    assert "unknown key 'agent.n_env'. Did you mean 'agent.n_envs'?" in errors
    assert "stop_loss is a fraction of the average buy price" in errors
    assert "cooldown must be >= 0 periods, got -2" in errors
    assert "early stopping can fire at timestep 6000 at the earliest" in errors
    assert "ppo has no keyword 'buffer_size'; ddpg, td3, sac, tqc, crossq, dqn have it" in errors
    assert "batch_size 64 is larger than the rollout of 32" in errors
    assert "close of BBB is no number on 2020-01-04" in errors
    warnings = "\n".join(said(report, "warning"))
    assert "a learning_rate of 1e-09 is below 1e-06" in warnings
    assert "a learning_rate of 0.5 is above 0.01" in warnings
    assert not report.healthy
    assert "errors and" in report.summary()


def test_an_early_stop_that_cannot_fire(tmp_path: Path) -> None:
    report = look(write(tmp_path, evaluation={"max_no_improvement_evals": 10}))
    assert len(report.of("error")) == 1
    assert "early stopping can fire at timestep 6000 at the earliest" in said(report, "error")[0]
    assert "training" in {item.where for item in report.of("ok")}


def test_memory_that_will_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute_checks, "available_memory", lambda: 10**9)
    agent = {"algorithm": "td3", "model_kwargs": {"buffer_size": 20_000_000}}
    report = look(write(tmp_path, agent=agent))
    assert len(report.of("error")) == 1
    error = report.of("error")[0]
    assert error.where == "memory"
    # 20e6 x 4 bytes x (cash, 2 shares, day and link + 2 actions + 3), and the networks
    assert "808 MB for buffers and networks" in error.what
    assert "this will not fit" in error.what
    assert "buffer_size" in error.remedy


def test_networks_that_will_not_fit_are_not_built(tmp_path: Path) -> None:
    kwargs = {"n_steps": 64, "batch_size": 64, "policy_kwargs": {"net_arch": [200_000, 200_000]}}
    report = look(write(tmp_path, agent={"model_kwargs": kwargs}))
    assert len(report.of("error")) == 1
    error = report.of("error")[0]
    assert "1.28 TB for buffers and networks" in error.what
    assert "buffer_size" not in error.remedy
    assert "agent: it was not tried, as it does not fit into the memory" in said(report, "note")


def test_what_cannot_be_built_is_said_once(tmp_path: Path) -> None:
    errors = said(look(write(tmp_path, env={"lot_size": 600})), "error")
    assert len(errors) == 1
    assert "hmax must be at least lot_size, got 500 and 600" in errors[0]


def test_windows_that_overlap_are_one_mistake(tmp_path: Path) -> None:
    windows = {"train": [None, "2021-05-01"]}
    report = look(write(tmp_path, split=windows, env={"hmaxx": 1}))
    errors = said(report, "error")
    assert len(errors) == 2
    assert "2021-05-01 comes before 2021-04-01" in "\n".join(errors)
    assert "unknown key 'env.hmaxx'" in "\n".join(errors)


def test_the_sizes_of_off_policy_agents(tmp_path: Path) -> None:
    kwargs = {"batch_size": 64, "buffer_size": 32, "learning_starts": 5000}
    report = look(write(tmp_path, agent={"algorithm": "sac", "model_kwargs": kwargs}))
    errors = said(report, "error")
    assert "batch_size 64 is larger than the replay buffer of 32" in errors[0]
    assert "learning starts at timestep 5,000, but training ends at 2,000" in errors[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sections", "where", "words"),
    [
        ({"agent": {"normalize": False}}, "agent.normalize", "observations are not normalised"),
        (
            {
                "split": {
                    "train": [None, "2022-01-01"],
                    "validation": ["2022-01-01", "2022-03-01"],
                    "test": ["2022-03-01", None],
                }
            },
            "split.validation",
            "standard error of about 2.5, so trials are ranked mostly by luck",
        ),
        (
            {"env": {"reward_scaling": 1e3}, "agent": {"normalize": False}},
            "training",
            "change reward_scaling",
        ),
        (
            {"agent": {"model_kwargs": {"n_steps": 1000, "batch_size": 50}}},
            "agent.total_timesteps",
            "2,000 timesteps are as few as 2 rollouts of 1,000",
        ),
        ({"evaluation": {"eval_freq": 2000}}, "evaluation.eval_freq", "asha can do nothing"),
        (
            {"search": {"max_concurrent_trials": 1000}},
            "search.max_concurrent_trials",
            "1000 trials of 1 CPU each need 1000 cores",
        ),
        (
            {
                "search": {
                    "space": {"n_steps": {"choice": [32, 64]}, "batch_size": {"choice": [16, 64]}}
                }
            },
            "search.space.batch_size",
            "larger than the shortest rollout of 32",
        ),
    ],
)
def test_what_usually_hurts_is_a_warning(
    sections: Any, where: str, words: str, tmp_path: Path
) -> None:
    report = look(write(tmp_path, **sections))
    assert said(report, "error") == []
    found = [item for item in report.of("warning") if item.where == where]
    assert found
    assert words in found[0].what


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"data": {"source": "price.csv"}}, "Did you mean 'prices.csv'?"),
        ({"data": {"features": ["macd", "nonsense"]}}, "nonsense"),
        (
            {"search": {"space": {"n_steps": {"chioce": [1]}}}},
            "'chioce' is none of",
        ),
        ({"search": {"space": {"lerning_rate": 1}}}, "Did you mean 'learning_rate'?"),
        ({"agent": {"model_kwargs": {"gamma": 1.5}}}, "gamma must be a number within [0, 1]"),
        (
            {"split": {"train": [None, "2030-01-01"], "validation": ["2030-01-01", "2031-01-01"]}},
            "must hold at least 2 rows",
        ),
        ({"search": {"gpus_per_trial": 512}}, "search.gpus_per_trial must be <= "),
        ({"search": {"cpus_per_trial": 65536}}, "got 65536: no trial could ever start"),
    ],
)
def test_what_cannot_run_is_an_error(sections: Any, words: str, tmp_path: Path) -> None:
    if "split" in sections:
        sections["split"]["test"] = ["2031-01-01", None]
    errors = said(look(write(tmp_path, **sections)), "error")
    assert len(errors) == 1
    assert words in errors[0]


def test_files_that_are_no_config(tmp_path: Path) -> None:
    assert "there is no config file" in said(look(tmp_path / "none.yaml"), "error")[0]
    path = tmp_path / "config.yaml"
    path.write_text("agent: [1, 2\nfoo: {", encoding="utf-8")
    report = look(path)
    assert len(report.findings) == 1
    assert "is not valid YAML" in report.findings[0].what


def test_a_config_made_in_python_and_overrides(tmp_path: Path) -> None:
    path = write(tmp_path)
    report = look(path, overrides=["agent.normalize=false"])
    assert [item.where for item in report.of("warning")] == ["agent.normalize"]
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert look(parse_config(raw), base_dir=tmp_path).healthy


def test_salvage_keeps_what_goes_together() -> None:
    raw = {
        "agent": {"n_envs": 30_000, "total_timesteps": 50_000, "algorithm": "pppo"},
        "evaluation": {"max_no_improvement_evals": 5, "eval_freq": 20_000},
        "wrong": 1,
        "seed": "x",
    }
    config, left_out = salvage(raw)
    assert config.agent.n_envs == 30_000
    assert config.evaluation.max_no_improvement_evals == 5
    assert set(left_out) == {
        "agent.algorithm",
        "evaluation.eval_freq",
        "wrong",
        "seed",
    }
    assert salvage({})[0] == ExperimentConfig()


def test_the_same_is_not_said_twice() -> None:
    findings = FindingList()
    findings.error("data", "close is missing")
    findings.error("search", "the train window: close is missing")
    assert len(findings) == 1


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["finrl-ray", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_the_command(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    path = write(tmp_path)
    assert run(monkeypatch, "doctor", str(path)) == 0
    assert capsys.readouterr().out.rstrip().endswith("healthy")
    assert run(monkeypatch, "doctor", str(path), "--set", "agent.model_kwargs.gamma=2") == 2
    out = capsys.readouterr().out
    assert "error   agent.model_kwargs.gamma: gamma must be" in out
    assert out.rstrip().endswith("1 error: repair the errors before you train")
    # a warning alone is no failure
    assert run(monkeypatch, "doctor", str(path), "--set", "agent.normalize=false") == 0
    assert "healthy, with 1 warning" in capsys.readouterr().out


def test_the_output_fits_a_terminal() -> None:
    text = "data.source: " + "close of AAA is missing (NaN) on 2020-04-10, " * 5
    narrow = Console(width=80, force_terminal=True)
    lines = (" " * 8 + hanging(text, narrow, 8)).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) > 2
    assert all(line.startswith(" " * 8) for line in lines)
    # a pipe gets one line per finding, to be searched
    assert hanging(text, Console(width=80, force_terminal=False), 8) == text


@pytest.mark.slow
def test_the_quickstart_is_healthy() -> None:
    path = REPOSITORY / "experiments" / "quickstart" / "config.yaml"
    assert diagnose_config(path).healthy


@pytest.mark.slow
def test_the_config_of_new_has_no_finding_and_that_with_finrl_says_why_to_leave_it(
    tmp_path: Path,
) -> None:
    learning = diagnose_config(new_experiment("learning", tmp_path))
    assert list(learning.of("warning")) == []
    assert learning.healthy
    finrl = diagnose_config(new_experiment("old", tmp_path, style="finrl"))
    assert finrl.healthy
    assert {"env.hmax", "agent.normalize"} & {item.where for item in finrl.of("warning")}


def blemished(days: int = 900) -> pd.DataFrame:
    df = prices(days)
    late = (df["tic"] == "BBB") & (df["date"] >= "2021-01-04")
    df.loc[late, "close"] /= 4
    return df


def test_a_split_and_a_small_hmax_are_found_by_doctor_and_said_by_tune(tmp_path: Path) -> None:
    path = write(tmp_path, blemished(), env={"initial_amount": 1_000_000, "hmax": 10})
    report = look(path)
    said = [item for item in report.of("warning") if item.where in ("prices", "env.hmax")]
    assert [item.where for item in said] == ["prices", "env.hmax"]
    assert "4:1 split" in said[0].what
    assert "BBB changes by" in said[0].what
    assert "on 2021-01-04" in said[0].what
    assert "cannot be invested" in said[1].what
    lines = prepare_search(load_config(path), base_dir=tmp_path).describe()
    assert "warning: BBB changes by" in lines
    assert "warning: an account cannot be invested" in lines


def test_a_small_order_is_no_matter_with_target_weights(tmp_path: Path) -> None:
    config = load_config(write(tmp_path))
    market, _ = load_market_data(config.data, tmp_path)
    price = float(np.median(make_split(market, config.split).train.cut(market).close))
    amount = 100.0 * price / 0.049

    def of(**env: Any) -> list[str]:
        path = write(tmp_path, env={"initial_amount": amount, "hmax": 100, **env})
        return [item.what for item in look(path).of("warning") if item.where == "env.hmax"]

    (words,) = of()
    assert "(env.hmax = 100 shares at the median price of" in words
    assert "is 4.90% of env.initial_amount" in words
    assert of(initial_amount=100.0 * price / 0.051) == []
    assert of(hmax=103) == []
    assert of(action="target_weights", hmax=1) == []
    (words,) = of(hmax=0.049 * amount, hmax_unit="money")
    assert "is 4.90% of env.initial_amount" in words
    assert of(hmax=0.051 * amount, hmax_unit="money") == []
    (words,) = of(hmax=0.049, hmax_unit="account_share")
    assert "(env.hmax = 4.9 % of the account) is 4.90% of env.initial_amount" in words
    assert of(hmax=0.05, hmax_unit="account_share") == []
    (words,) = of(hmax=[100] * len(market.tickers))
    assert "100 shares to 100 shares (by ticker)" in words


def test_an_hmax_that_leaves_tickers_out_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, env={"hmax": {"AAA": 100, "AAB": 5}})
    (item,) = [one for one in look(path).of("error") if one.where == "env.hmax"]
    assert "['BBB'] missing, ['AAB'] unknown" in item.what


@pytest.mark.parametrize("algorithm", ["a2c", "ppo", "ddpg", "td3", "sac"])
def test_the_search_is_estimated_from_a_measured_training(
    tmp_path: Path, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kwargs: dict[str, Any] = {"learning_starts": 5000, "buffer_size": 50_000}
    if algorithm in ("a2c", "ppo"):
        kwargs = {"n_steps": 16}
    agent = {"algorithm": algorithm, "total_timesteps": 10_000}
    path = write(tmp_path, agent={**agent, "model_kwargs": kwargs}, search={"num_samples": 6})
    config = load_config(path)
    market, _ = load_market_data(config.data, tmp_path)
    split = make_split(market, config.split)
    measured = measure_training(config, market, split, measured_s=0.05)
    assert measured.timesteps >= 1  # as many as fit into the time
    assert 0.05 <= measured.seconds < 60
    assert measured.evaluation_s > 0
    assert measured.process_bytes > 50e6
    # 10,000 timesteps at 100 per second and 20 evaluations of 5 s, 6 trials, 2 at once
    known = dataclasses.replace(measured, timesteps=100, seconds=1.0, evaluation_s=5.0)
    monkeypatch.setattr(compute_checks, "available_cpus", lambda: 2)
    findings = FindingList()
    largest = compute_checks.largest_trial(config, {}, market)
    check_duration(config, prepare_search(config, base_dir=tmp_path), known, largest, findings)
    (time,) = [item for item in findings if item.where == "time"]
    assert "about 10 min on this machine: 6 trials of 3 min, 2 at once" in time.what
    assert "100 timesteps in 1.0 s (100 per second)" in time.what


def test_findings_come_as_they_are_found_and_end_with_the_estimate(tmp_path: Path) -> None:
    seen: list[str] = []
    path = write(tmp_path)
    report = look(path, measure=True, listener=lambda item: seen.append(item.where))
    assert seen == [item.where for item in report.findings]
    assert seen[-2:] == ["time", "memory"]
    assert report.summary() == "healthy"


def test_options_of_a_space_are_looked_at_one_by_one(tmp_path: Path) -> None:
    space = {
        "env.hmx": {"choice": [1, 2]},
        "env.initial_amount": {"choice": [1e5, 1e6]},
        "agent.normalize": {"choice": [True, "all"]},
        "data.features": {"choice": [["mine"], ["macd", "mine"]]},
        "learning_rate": {"loguniform": [1e-5, 1e-3]},
    }
    report = look(write(tmp_path, search={"space": space}))
    errors = "\n".join(said(report, "error"))
    assert "search.space.env.hmx: there is no option" in errors
    assert "search.space.env.initial_amount: env.initial_amount cannot be searched" in errors
    assert "search.space.agent.normalize: " in errors
    assert len(report.of("error")) == 3


def test_a_space_of_options_in_order_is_healthy(tmp_path: Path) -> None:
    space = {
        "env.hmax": {"choice": [1, 500]},
        "agent.normalize": {"choice": [True, "observations"]},
        "data.features": {"choice": [["mine"], ["macd", "mine"]]},
    }
    config = write(
        tmp_path, search={"space": space}, agent={"normalize": False}, data={"features": ["mine"]}
    )
    report = look(config)
    assert report.healthy, said(report, "error")
    warnings = said(report, "warning")
    # what the space decides is not warned of as the config has it
    assert not [line for line in warnings if "drowns them" in line]
    slow = [line for line in warnings if line.startswith("env.hmax")]
    assert len(slow) == 1
    assert slow[0].startswith("env.hmax: with env.hmax 1: ")


def test_each_algorithm_of_a_space_is_looked_at_with_its_own_entries(tmp_path: Path) -> None:
    space = {
        "agent.algorithm": {"choice": ["ppo", "sac"]},
        "ppo.n_steps": {"choice": [8, 16]},
        "ppo.batch_size": {"choice": [32]},
        "sac.learning_starts": {"choice": [4000]},
        "sac.learning_rate": {"choice": [0.5]},
    }
    config = write(
        tmp_path,
        search={"space": space, "default_space": False},
        agent={"algorithm": "a2c", "total_timesteps": 5000, "n_envs": 1, "model_kwargs": {}},
    )
    findings: FindingList = FindingList()
    check_agent(load_config(config), findings)
    told = {item.where: item.what for item in findings if item.level in ("error", "warning")}
    assert set(told) == {
        "search.space.ppo.batch_size",
        "search.space.sac.learning_starts",
        "search.space.sac.learning_rate",
    }
    assert "batch_size 32 is larger than the rollout of 16" in told["search.space.ppo.batch_size"]
    assert "4,000 of 5,000" in told["search.space.sac.learning_starts"]


def test_accounts_of_a_space_count_in_rollouts_under_either_name(tmp_path: Path) -> None:
    for name in ("n_envs", "agent.n_envs"):
        config = write(
            tmp_path,
            search={"space": {name: {"choice": [1, 8]}, "n_steps": 512}, "default_space": False},
            agent={"algorithm": "ppo", "total_timesteps": 8192},
        )
        findings: FindingList = FindingList()
        check_agent(load_config(config), findings)
        assert "2 rollouts of 4,096" in "".join(item.what for item in findings)


def test_the_largest_trial_is_that_of_the_longest_observation() -> None:
    market = random_market(200)
    config = ExperimentConfig(agent=AgentConfig(algorithm="ppo", n_envs=4))
    sizes = [
        largest_trial(config, {"env.lookback": parse_domain(entry), **extra}, market).buffer_bytes
        for entry, extra in (
            (1, {}),
            ({"choice": [1, 30]}, {"env.observation": parse_domain("stationary")}),
        )
    ]
    assert sizes[1] > 3 * sizes[0]
