"""FinRL's tuner: what it refuses before it starts, and that the trade window is used once."""

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from compat_envs import TINY, env_over, processed
from made_search import made_search
from stable_baselines3.common.vec_env import VecNormalize

from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.compat.study import study_of
from finrl_ray.compat.tuning import TuneSB3Optuna
from finrl_ray.env.rules import TradingRules
from finrl_ray.env.scaling import fit_observation_scaling
from finrl_ray.errors import ConfigError
from finrl_ray.search.folder.folder import SearchFolder, open_folder
from finrl_ray.search.folder.test_openings import count_openings
from finrl_ray.search.results.table import winner

TRAIN, TRADE = ("2004-12-01", "2005-12-01"), ("2005-12-01", "2006-05-01")


def test_shared_dates_are_refused_with_what_to_do() -> None:
    train = env_over("2004-12-01", "2006-01-01")
    with pytest.raises(
        ConfigError,
        match=r"share 21 dates, 2005-12-01 to 2005-12-30.*validation window at the end of env_tr",
    ):
        TuneSB3Optuna(train, "ppo", env_over(*TRADE))
    same = env_over(*TRAIN)
    with pytest.raises(ConfigError, match="share 253 dates"):
        TuneSB3Optuna(same, "ppo", same)
    with pytest.raises(ConfigError, match="env_trade must start after env_train's last date 2006"):
        TuneSB3Optuna(env_over(*TRADE), "ppo", env_over(*TRAIN))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model_name": "ppoo"}, "agent: algorithm must be .* got 'ppoo'. Did you mean 'ppo'"),
        ({"n_trials": 0}, "num_samples must be >= 1"),
        ({"validation_fraction": 1.0}, r"validation_fraction must be within \(0, 1\)"),
        ({"metric": "sharpe"}, "Did you mean 'sharpe_ratio'"),
        ({"total_timesteps": 0}, "total_timesteps must be >= 1"),
        ({"space": {"env.hmax": 5}}, "in the env that it is given, so env.hmax cannot be"),
    ],
)
def test_wrong_arguments_are_refused(changed: dict[str, Any], words: str) -> None:
    arguments = {"model_name": "ppo", **changed}
    with pytest.raises(ConfigError, match=words):
        TuneSB3Optuna(env_over(*TRAIN), env_trade=env_over(*TRADE), **arguments)


@pytest.mark.parametrize(
    ("metric", "stopped", "ranked"),
    [(None, "sharpe_ratio", "appraisal_ratio"), ("calmar_ratio", "calmar_ratio", "calmar_ratio")],
)
def test_the_best_trial_is_first_by_the_metric_that_is_asked_for(metric, stopped, ranked) -> None:
    tuner = TuneSB3Optuna(env_over(*TRAIN), "ppo", env_over(*TRADE), metric=metric)
    assert tuner.config.evaluation.metric == stopped
    assert tuner.config.search.rank_by == ranked


def test_a_study_has_the_values_that_trials_are_ranked_by(tmp_path, monkeypatch) -> None:
    """The best trial of the study is the winner, whose model `backtest` runs."""
    folder = made_search(tmp_path, n_trials=6, failed=[1])
    kept = folder.records()
    for record in kept.in_order():
        if record.index % 3 == 0:
            record.sample["n_steps"] = 7  # as an initial point that lies outside of the space
        for result in record.results:
            result["eval/appraisal_ratio"] = -result["objective"]
    monkeypatch.setattr(SearchFolder, "records", lambda _: kept)
    study, records = study_of(folder.path), kept.in_order()
    assert study.best_trial.number == winner(records, folder.config).index
    assert (
        study.best_trial.number
        == min((r for r in records if r.state != "failed"), key=lambda r: r.last["objective"]).index
    )
    for trial, record in zip(study.trials, records, strict=True):
        assert ("n_steps" in trial.params) == (record.sample["n_steps"] != 7)
        assert trial.params["net_arch"] == record.sample["net_arch"]
        assert trial.value == (None if record.index == 1 else -record.last["objective"])
        assert trial.intermediate_values == {
            result["timesteps"]: -result["objective"] for result in record.results
        }


def test_envs_that_do_not_match_are_refused() -> None:
    frame = processed()
    fewer = frame[frame["tic"] != "GOOG"]
    with pytest.raises(ConfigError, match="must have the same tickers"):
        TuneSB3Optuna(env_over(*TRAIN), "ppo", env_over(*TRADE, fewer))


def test_the_windows_are_cut_from_the_training_days() -> None:
    train = env_over(*TRAIN)
    tuner = TuneSB3Optuna(train, "a2c", env_over(*TRADE), None, 1000, 3, validation_fraction=0.25)
    config = tuner.config
    assert config.split.train is not None
    assert config.split.validation is not None
    days = train.df["date"].unique()
    assert str(config.split.validation[0]) == days[int(len(days) * 0.75)]
    assert str(config.split.validation[1]) == TRADE[0]
    assert (config.agent.total_timesteps, config.search.num_samples) == (1000, 3)
    assert config.evaluation.eval_freq == 100
    assert "buy_cost_pct" not in config.search.space
    assert config.data.source == "memory"  # such a config cannot be run on other prices by mistake


@pytest.mark.slow
def test_a_whole_study(tmp_path: Path, ray_session: None) -> None:
    train, _ = env_over(*TRAIN).get_sb_env()
    trade = env_over(*TRADE)
    heard: list[tuple[int, float]] = []

    def callback(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        heard.append((trial.number, study.best_value))
        study.stop()  # FinRL's own callback does

    tuner = TuneSB3Optuna(
        VecNormalize(train),
        "ppo",
        trade,
        callback,
        total_timesteps=512,
        n_trials=3,
        space=TINY,
        scheduler="fifo",
        eval_freq=256,
        max_concurrent_trials=1,
        storage_path=tmp_path,
    )
    study = tuner.run_optuna()
    assert tuner.path is not None
    assert count_openings(tuner.path) == 0
    frame = study.trials_dataframe()
    assert len(frame) == len(study.trials) == len(heard) == 3
    assert study.best_value == frame["value"].max()
    assert set(study.best_params) >= {"n_steps", "learning_rate"}
    keywords = study.best_trial.user_attrs["model_kwargs"]
    assert keywords["policy_kwargs"]["net_arch"] == [32]
    assert keywords["n_steps"] == study.best_params["n_steps"]
    assert DRLAgent(train).get_model("ppo", model_kwargs=keywords).n_steps == keywords["n_steps"]
    folder = open_folder(tuner.path)
    # what trials were given ends before the trade window
    assert folder.validation_data.dates[-1] < np.datetime64(TRADE[0])

    account, actions, statistics = tuner.backtest(study)
    assert account["date"].tolist() == trade.df["date"].unique().tolist()
    assert len(actions) == len(account) - 1
    assert "Sharpe ratio" in statistics.index
    assert count_openings(tuner.path) == 1
    again = tuner.backtest(study)
    assert again[0] is account
    assert count_openings(tuner.path) == 1
    other = TuneSB3Optuna(train, "ppo", trade)
    with pytest.raises(ConfigError, match="backtest needs the study that run_optuna"):
        other.backtest(optuna.create_study())
    later, _, _ = other.backtest(study)
    assert later["account_value"].tolist() == account["account_value"].tolist()
    assert count_openings(tuner.path) == 2


@pytest.mark.slow
def test_a_study_of_stationary_observations(tmp_path: Path, ray_session: None) -> None:
    """The trade window is seen under the scaling that the trials were trained under."""
    kind = {"observation": "stationary", "return_horizons": (1, 5), "lookback": 2}
    size = 1 + 4 + 2 * (2 + 2) * 4
    train, trade = (env_over(*days, state_space=size, **kind) for days in (TRAIN, TRADE))
    tuner = TuneSB3Optuna(
        train,
        "ppo",
        trade,
        total_timesteps=128,
        n_trials=1,
        space={**TINY, "n_steps": 64},
        scheduler="fifo",
        eval_freq=128,
        storage_path=tmp_path,
    )
    study = tuner.run_optuna()
    account, _, _ = tuner.backtest(study)
    assert len(account) == len(trade.df["date"].unique())
    assert tuner.path is not None
    trained_on = open_folder(tuner.path).train_data
    expected = fit_observation_scaling(trained_on, 1e6, TradingRules(**kind))
    assert trade.accounts.table.scaling is not None
    assert trade.accounts.table.scaling.key() == expected.key()
