"""Trials that are paid and judged by functions of the user's: exact resume, folds, and faults."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from bit_equality import assert_equal_bits
from own_code_files import active_code_of
from trial_reports import Reports

from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.data import SplitConfig
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.evaluation import EvaluationConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import parse_config
from finrl_ray.config.search import SearchConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.data.windows.folds import plan_validation
from finrl_ray.data.windows.split import make_split
from finrl_ray.errors import ConfigError
from finrl_ray.own_code.failures import OwnCodeError
from finrl_ray.training.agent import StartPoint, train_agent
from finrl_ray.training.fold_results import read_folds
from finrl_ray.training.folds import fold_metrics, train_folds
from finrl_ray.training.own_metrics import metrics_of

CODE = """
    import numpy as np

    def reward(account_value, account_value_before, drawdown, recent_account_values, fear=1.0):
        returns = np.diff(np.log(recent_account_values[:, -6:]), axis=1)
        grown = np.log(account_value / account_value_before)
        return 100.0 * grown + fear * drawdown - returns.std(axis=1)

    def fails_late(account_value, step, from_step=1000):
        return np.where(step >= from_step, np.nan, account_value * 0.0)

    def ulcer(account_value, dates, traded_amount):
        assert len(dates) == len(account_value) == len(traded_amount) + 1
        down = account_value / np.maximum.accumulate(account_value) - 1.0
        return float(np.sqrt(np.mean(down**2)))

    ulcer.mode = "min"

    def worst_day(returns):
        return returns.min()
"""
SAMPLE = {"n_steps": 32, "batch_size": 32, "n_epochs": 1, "net_arch": "tiny"}


@pytest.fixture(autouse=True)
def own(tmp_path: Path) -> Iterator[Path]:
    th.set_num_threads(1)
    references = {"env.reward": "my_code:reward", "evaluation.metric": "my_code:ulcer"}
    with active_code_of(tmp_path, references, my_code=CODE) as folder:
        yield folder


@pytest.fixture(scope="module")
def data() -> MarketData:
    return MarketData.from_finrl(read_bundled(), features=[])


def config(
    env: dict[str, Any] | None = None, evaluation: dict[str, Any] | None = None, **sections: Any
) -> ExperimentConfig:
    return ExperimentConfig(
        env=EnvConfig(**{"reward": "my_code:reward", "random_start": True, **(env or {})}),
        agent=AgentConfig(total_timesteps=192, n_envs=2),
        evaluation=EvaluationConfig(
            **{"eval_freq": 64, "metric": "my_code:ulcer", **(evaluation or {})}
        ),
        **sections,
    )


@pytest.mark.slow
def test_a_trial_goes_on_bit_for_bit(data: MarketData, tmp_path: Path) -> None:
    windows = data.rows(100, 200), data.rows(200, 240)
    settings = config(
        {"reward_kwargs": {"fear": 2.0}}, search=SearchConfig(rank_by="my_code:worst_day")
    )
    straight = Reports(tmp_path / "straight")
    model = train_agent(SAMPLE, settings, *windows, straight)
    for metrics in straight.metrics:
        # the objective is such that more is better
        assert metrics["objective"] == -metrics["eval/ulcer"] <= 0.0
        assert metrics["eval/worst_day"] <= 0.0
    for timesteps in (64, 128):
        again = Reports(tmp_path / f"from_{timesteps}")
        start = StartPoint(checkpoint=tmp_path / "straight" / str(timesteps))
        resumed = train_agent(SAMPLE, settings, *windows, again, start)
        assert again.metrics == straight.metrics[timesteps // 64 :]
        assert_equal_bits(dict(model.policy.state_dict()), dict(resumed.policy.state_dict()))


@pytest.mark.slow
def test_rewards_that_a_sample_chooses_the_keywords_of(data: MarketData, tmp_path: Path) -> None:
    windows = data.rows(100, 200), data.rows(200, 240)
    for fear in (5.0, 0.0):
        sample = {**SAMPLE, "env.reward_kwargs.fear": fear}
        model = train_agent(sample, config(), *windows, Reports(tmp_path / str(fear)))
        env: Any = model.env
        accounts = env.unwrapped.accounts
        values, paid = accounts.column(0, "account_value"), accounts.column(0, "reward")[1:]
        logs = np.log(np.append(np.full(5, values[0]), values))
        spread = np.array([np.diff(logs[k : k + 6]).std() for k in range(1, len(values))])
        down = values / np.maximum.accumulate(values) - 1.0
        expected = 100.0 * np.diff(np.log(values)) + fear * down[1:] - spread
        np.testing.assert_allclose(paid, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.slow
def test_a_reward_that_is_none_ends_the_trial_with_place_and_time(
    data: MarketData, tmp_path: Path
) -> None:
    windows = data.rows(100, 200), data.rows(200, 240)
    settings = config(
        {
            "reward": "my_code:fails_late",
            "reward_kwargs": {"from_step": 51},
            "random_start": False,
        }
    )
    with pytest.raises(
        OwnCodeError,
        match=r"^after 100 timesteps: env.reward my_code:fails_late \(my_code.py, line 8\) paid "
        r"nan to account 0 in step 51 of its episode, to 2005-.*told account_value .*, step 51;",
    ):
        train_agent(SAMPLE, settings, *windows, Reports(tmp_path / "none"))


@pytest.mark.slow
def test_folds_keep_own_metrics(data: MarketData, tmp_path: Path) -> None:
    market = data.rows(0, 400)
    settings = config(
        split=SplitConfig(
            train=(None, np.datetime64("2005-06-01").item()),
            validation=(np.datetime64("2005-06-01").item(), np.datetime64("2005-12-01").item()),
            test=(np.datetime64("2005-12-01").item(), None),
        ),
        validation=parse_config(
            {"validation": {"scheme": "walk_forward", "n_windows": 2, "objective": "metric"}}
        ).validation,
        search=SearchConfig(rank_by="my_code:worst_day"),
    )
    plan = plan_validation(market, make_split(market, settings.split), settings)
    reports = Reports(tmp_path / "folds")
    done = train_folds(SAMPLE, settings, plan.development(market), plan, reports)
    for result in done:
        # one segment a fold: the returns are those of its account
        curve = np.cumprod(np.append(1.0, 1.0 + result.returns))
        down = curve / np.maximum.accumulate(curve) - 1.0
        assert result.own["ulcer"] == pytest.approx(np.sqrt(np.mean(down**2)), rel=1e-9)
        assert result.own["worst_day"] == pytest.approx(result.returns.min(), rel=1e-9)
    last = reports.metrics[-1]
    assert last["eval/ulcer"] == np.mean([result.own["ulcer"] for result in done])
    assert last["objective"] == -last["eval/ulcer"]
    assert last["eval/worst_day_se"] > 0.0
    read = read_folds(tmp_path / "folds" / str(last["timesteps"]))
    assert [result.own for result in read] == [result.own for result in done]
    assert fold_metrics(read, settings, 252.0)["objective"] == last["objective"]


def test_what_must_be_more_the_better_is_refused_with_the_mode_min() -> None:
    ranked = config(search=SearchConfig(rank_by="my_code:ulcer"))
    with pytest.raises(ConfigError, match=r"mode 'min'.*search.rank_by.*or rank by 'objective'"):
        metrics_of(ranked)
    several = SearchConfig(objectives=("my_code:ulcer", "sharpe_ratio"), searcher="optuna")
    with pytest.raises(ConfigError, match=r"ulcer .* mode 'min', .* search.objectives names"):
        metrics_of(config(search=several))
    assert [own.name for own in metrics_of(config())] == ["ulcer"]


def test_names_and_keywords_of_own_metrics_in_a_config() -> None:
    settings = config(
        evaluation={"metric_kwargs": {"power": 1.0}},
        search=SearchConfig(rank_by="my_code:worst_day"),
    )
    assert settings.own_metrics == {"my_code:ulcer": {"power": 1.0}, "my_code:worst_day": {}}
    with pytest.raises(ConfigError, match=r"must differ in the last part .*other_code:ulcer"):
        config(search=SearchConfig(rank_by="other_code:ulcer"))
    with pytest.raises(ConfigError, match="metric_kwargs are keywords of an own metric"):
        dataclasses.replace(EvaluationConfig(), metric_kwargs={"power": 1.0})
    with pytest.raises(ConfigError, match=r"metric must be one of .*Did you mean 'sharpe_ratio'"):
        EvaluationConfig(metric="sharp_ratio")
    assert settings.search.rank_by == "my_code:worst_day"
