"""`complete_training_pipeline`: what it leaves, what it returns, and that it can go on."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bit_equality import assert_equal_bits
from small_windows import small_windows
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from finrl_ray.agents.callbacks.interval import TimestepInterval
from finrl_ray.agents.callbacks.learning_rate import LearningRateSchedulerCallback
from finrl_ray.agents.callbacks.setup import setup_callbacks
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import ConfigError
from finrl_ray.monitoring.event_files import read_scalars
from finrl_ray.training.divergence import TrialDivergedError
from finrl_ray.workflows.pipeline import complete, loop
from finrl_ray.workflows.pipeline.complete import complete_training_pipeline

TRAIN, VALIDATION, TEST = small_windows()
SMALL = {"n_steps": 64, "batch_size": 64, "n_epochs": 2}


class Interrupt(BaseCallback):
    """Ctrl-C at a timestep."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.limits = [at]  # a list, which is no part of a callback's restored state

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.limits[0]:
            raise KeyboardInterrupt
        return True


def frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the suite act every few hundred timesteps, and keep the state at every safe point."""
    monkeypatch.setattr(loop, "STATE_INTERVAL_S", 0.0)

    def suite(*args: object, **kwargs: object) -> list[BaseCallback]:
        callbacks = setup_callbacks(*args, **kwargs)
        callbacks[1]._interval = TimestepInterval("eval_freq", 256)
        return callbacks

    monkeypatch.setattr(complete, "setup_callbacks", suite)


def test_arguments_are_checked_before_a_folder_is_made(tmp_path) -> None:
    for wrong, words in (
        ({"algorithm": "pqo"}, "Did you mean 'ppo'"),
        ({"model_kwargs": {"buffer_size": 10}}, "ppo has no keyword 'buffer_size'"),
        ({"total_timesteps": 0}, "total_timesteps must be a whole number >= 1, got 0"),
        ({"total_timesteps": 1.5}, "total_timesteps must be a whole number >= 1, got 1.5"),
        ({"total_timesteps": "100"}, "total_timesteps must be a whole number"),
        ({"n_envs": 0}, "n_envs must be a whole number >= 1, got 0"),
        ({"n_envs": 2.0}, "n_envs must be a whole number"),
        ({"seed": -1}, "seed must be a whole number within 0"),
        ({"metric": "sharp_ratio"}, "metric must be one of"),
        ({"periods_per_year": -1}, "periods_per_year must be > 0"),
        ({"env_kwargs": {"stock_dim": 99}}, "stock_dim must be"),
        ({"policy_kwargs": {"net_arhc": [8]}}, "ppo cannot be built with .*net_arhc"),
    ):
        with pytest.raises(ConfigError, match=words):
            complete_training_pipeline(TRAIN, VALIDATION, experiments_dir=tmp_path, **wrong)
    with pytest.raises(TypeError, match=r"no setting 'sead'\. Did you mean 'seed'"):
        complete_training_pipeline(TRAIN, VALIDATION, experiments_dir=tmp_path, sead=1)
    with pytest.raises(TypeError, match="callbacks must be SB3 callbacks"):
        complete_training_pipeline(TRAIN, VALIDATION, experiments_dir=tmp_path, callbacks=[1])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["ppo", "a2c"])
def test_the_model_after_the_last_update_may_be_the_best(algorithm, tmp_path) -> None:
    # the only evaluation within the budget comes before the first update of these networks
    keywords = {"n_steps": 64, "learning_rate": 0.05}
    run = complete_training_pipeline(
        TRAIN, VALIDATION, algorithm, 64, model_kwargs=keywords, experiments_dir=tmp_path, verbose=0
    )
    with np.load(Path(run.experiment_dir) / "eval_logs" / "evaluations.npz") as log:
        assert log["timesteps"].tolist() == [64, 64]
        last = log["sharpe_ratio"][-1]
    validation = run.metrics["validation"]
    assert validation["final_model"]["sharpe_ratio"] == pytest.approx(last)
    best, final = (validation[name]["sharpe_ratio"] for name in ("best_model", "final_model"))
    assert best >= final


@pytest.mark.slow
def test_the_folder_and_the_result_hold_everything(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    frequent(monkeypatch)
    run = complete_training_pipeline(
        TRAIN,
        VALIDATION,
        "ppo",
        1024,
        "mine",
        test_data=TEST,
        seed=3,
        n_envs=2,
        normalize=True,
        model_kwargs=SMALL,
        env_kwargs={"hmax": 50},
    )
    model, experiment_dir = run
    folder = Path(experiment_dir)
    assert folder.parent == tmp_path / "experiments"
    names = {path.name for path in folder.iterdir()}
    assert {"tensorboard", "checkpoints", "best_model", "eval_logs", "final_model"} <= names
    scalars = read_scalars(folder / "tensorboard")
    assert {
        "train/reward",
        "train/learning_rate",
        "eval/sharpe_ratio",
        "eval/max_drawdown",
        "actions/mean_magnitude",
        "actions/zero_percentage",
        "actions/asset_0_mean",
    } <= set(scalars)
    assert scalars["train/reward"][-1, 0] == 1024
    assert (folder / "best_model" / "vecnormalize.pkl").is_file()

    facts = json.loads((folder / "config.json").read_text())
    assert facts["arguments"]["seed"] == 3
    assert facts["arguments"]["env_kwargs"] == {"hmax": 50}
    assert facts["versions"]["stable-baselines3"]
    assert facts["data"]["test"]["last"] == "2005-09-30"

    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["timesteps"] == 1024
    assert set(metrics["validation"]) == {"final_model", "best_model", "buy_and_hold"}
    assert set(metrics["test"]) == {"best_model", "buy_and_hold"}
    curve = pd.read_csv(folder / "test_curves.csv")["best_model"].to_numpy()
    returns = np.diff(curve) / curve[:-1]
    sharpe = returns.mean() / returns.std(ddof=1) * np.sqrt(252)
    assert metrics["test"]["best_model"]["sharpe_ratio"] == pytest.approx(sharpe)

    with np.load(folder / "eval_logs" / "evaluations.npz") as log:
        best = np.nanmax(log["sharpe_ratio"])
    assert metrics["validation"]["best_model"]["sharpe_ratio"] == pytest.approx(best)
    observation = np.zeros(model.observation_space.shape, dtype=np.float32)
    expected = model.predict(observation, deterministic=True)[0]
    for name in ("final_model", "final_model.zip"):
        loaded = PPO.load(folder / name)
        np.testing.assert_array_equal(loaded.predict(observation, deterministic=True)[0], expected)
    assert run.vec_normalize is not None
    assert run.best_model.num_timesteps <= model.num_timesteps


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_end(tmp_path, monkeypatch) -> None:
    frequent(monkeypatch)
    arguments = {"seed": 5, "model_kwargs": SMALL, "normalize": True, "experiments_dir": tmp_path}
    whole = complete_training_pipeline(TRAIN, VALIDATION, "ppo", 768, "whole", **arguments)
    with pytest.raises(KeyboardInterrupt):
        complete_training_pipeline(
            TRAIN, VALIDATION, "ppo", 768, "cut", callbacks=[Interrupt(400)], **arguments
        )
    (cut,) = tmp_path.glob("cut_*")
    assert not (cut / "metrics.json").exists()
    again = {**arguments, "callbacks": [Interrupt(10**9)], "resume_from": cut}
    with pytest.raises(ConfigError, match="seed must be the same as when"):
        complete_training_pipeline(TRAIN, VALIDATION, "ppo", 768, "cut", **{**again, "seed": 6})
    with pytest.raises(ConfigError, match="data must be the same as when"):
        complete_training_pipeline(TRAIN, TEST, "ppo", 768, "cut", **again)
    resumed = complete_training_pipeline(TRAIN, VALIDATION, "ppo", 768, "cut", **again)
    assert resumed.metrics["validation"] == whole.metrics["validation"]
    ours, theirs = resumed.model.policy.state_dict(), whole.model.policy.state_dict()
    for name, tensor in ours.items():
        assert_equal_bits({name: theirs[name]}, {name: tensor})


@pytest.mark.slow
def test_a_run_that_has_ended_is_read_and_its_test_window_stays_closed(
    tmp_path, monkeypatch
) -> None:
    arguments = {
        "normalize": True,
        "experiments_dir": tmp_path,
        "test_data": TEST,
        # what has no JSON of its own must not look like another argument when resumed
        "model_kwargs": {**SMALL, "learning_rate": lambda remaining: 1e-3 * remaining},
    }
    run = complete_training_pipeline(TRAIN, VALIDATION, "ppo", 64.0, "done", **arguments)
    written = (Path(run.experiment_dir) / "metrics.json").stat().st_mtime_ns

    def judged(*args: object) -> None:
        raise AssertionError("the windows must not be opened again")

    monkeypatch.setattr(complete, "evaluate_models", judged)
    arguments["model_kwargs"] = {**SMALL, "learning_rate": lambda remaining: 1e-3 * remaining}
    again = complete_training_pipeline(
        TRAIN, VALIDATION, "ppo", 64, "done", resume_from=run.experiment_dir, **arguments
    )
    assert (Path(run.experiment_dir) / "metrics.json").stat().st_mtime_ns == written
    assert again.metrics["test"]["best_model"] == run.metrics["test"]["best_model"]
    ours, theirs = again.model.policy.state_dict(), run.model.policy.state_dict()
    for name, tensor in ours.items():
        assert_equal_bits({name: theirs[name]}, {name: tensor})
    np.testing.assert_array_equal(again.vec_normalize.obs_rms.mean, run.vec_normalize.obs_rms.mean)


@pytest.mark.slow
def test_a_policy_that_diverges_is_said_in_one_sentence(tmp_path) -> None:
    with pytest.raises(TrialDivergedError, match=r"^the \w+ of the policy's actions is NaN"):
        complete_training_pipeline(
            TRAIN,
            VALIDATION,
            "ppo",
            512,
            experiments_dir=tmp_path,
            model_kwargs={**SMALL, "learning_rate": 1e10},
        )


@pytest.mark.slow
def test_a_full_disk_does_not_end_training(tmp_path, monkeypatch, caplog) -> None:
    frequent(monkeypatch)

    def full(state: object, path: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(loop, "save_state", full)
    run = complete_training_pipeline(
        TRAIN,
        VALIDATION,
        "ppo",
        128,
        experiments_dir=tmp_path,
        model_kwargs=SMALL,
        callbacks=Interrupt(10**9),
    )
    assert run.model.num_timesteps == 128
    # how often the state is written depends on how long that takes
    assert "the state of 0 timesteps could not be written" in caplog.text


@pytest.mark.slow
def test_each_algorithm_gets_its_own_suite(tmp_path, monkeypatch) -> None:
    suites: list[list[BaseCallback]] = []

    def suite(*args: object, **kwargs: object) -> list[BaseCallback]:
        suites.append(setup_callbacks(*args, **kwargs))
        return suites[-1]

    monkeypatch.setattr(complete, "setup_callbacks", suite)
    run = complete_training_pipeline(
        TRAIN,
        VALIDATION,
        "sac",
        200,
        experiments_dir=tmp_path,
        model_kwargs={"buffer_size": 500, "learning_starts": 150},
    )
    assert suites[0][0].name_prefix == "sac_model"
    assert not any(isinstance(c, LearningRateSchedulerCallback) for c in suites[0])
    assert run.best_model is not run.model
    assert run.best_model.num_timesteps == 200

    for kwargs, rate in ((SMALL, 3e-4), ({**SMALL, "learning_rate": 1e-5}, 1e-5)):
        run = complete_training_pipeline(
            TRAIN, VALIDATION, "ppo", 64, experiments_dir=tmp_path, model_kwargs=kwargs
        )
        assert run.model.policy.optimizer.param_groups[0]["lr"] == rate


@pytest.mark.slow
def test_market_data_train_as_their_frame_does(tmp_path) -> None:
    def market(frame: pd.DataFrame) -> MarketData:
        return MarketData.from_finrl(frame, ["change", "rsi_30"])

    results = [
        complete_training_pipeline(
            train, validation, "a2c", 100, experiments_dir=tmp_path, seed=1
        ).metrics["validation"]
        for train, validation in ((TRAIN, VALIDATION), (market(TRAIN), market(VALIDATION)))
    ]
    assert results[0] == results[1]
