"""Interrupted, restored into new objects and trained on: every callback says what it would have."""

import re

import pytest
from bit_equality import assert_equal_bits
from small_models import small_env, small_model
from stable_baselines3.common.callbacks import CallbackList

from finrl_ray.agents.callbacks.callback_state import (
    capture_callback_state,
    restore_callback_state,
)
from finrl_ray.agents.callbacks.checkpoint import CheckpointCallback, TimestampedCheckpointCallback
from finrl_ray.agents.callbacks.early_stopping import StopTrainingOnNoModelImprovement
from finrl_ray.agents.callbacks.evaluation import TradingEvalCallback
from finrl_ray.agents.callbacks.learning_rate import LearningRateSchedulerCallback
from finrl_ray.agents.callbacks.tensorboard import TensorboardCallback
from finrl_ray.agents.state.plain_file import load_plain, save_plain
from finrl_ray.agents.state.training_state import capture_state, learn_from, restore_state

CUT, TOTAL = 128, 1000
SLOW_RUNS = [("ppo", 1), ("sac", 1), ("sac", 4), ("a2c", 4), ("td3", 1), ("ddpg", 4)]


def build(folder, algorithm, n_envs):
    stop = StopTrainingOnNoModelImprovement(3, 1, metric="mean_ep_length")
    callbacks = CallbackList(
        [
            CheckpointCallback(50, folder, "cut", keep_last=3),
            TradingEvalCallback(small_env(), callback_after_eval=stop, eval_freq=60),
            TimestampedCheckpointCallback(70, folder, metric="sharpe_ratio"),
            LearningRateSchedulerCallback(1e-3, 0.9, 30),
            TensorboardCallback(),
        ]
    )
    return small_model(algorithm, n_envs), callbacks


def outcome(folder, model, callbacks) -> dict:
    _, evaluation, _, rate, _ = callbacks.callbacks
    return {
        "end": model.num_timesteps,
        "files": sorted(re.sub(r"_\d+s", "", path.name) for path in folder.iterdir()),
        "rate": rate.current_lr,
        "evaluations": evaluation.log.get_state(),
        "reason": evaluation.callback.stop_reason,
        "best": evaluation.best_mean_reward,
        "model": {name: value for name, value in model.policy.state_dict().items()},
    }


@pytest.mark.parametrize(
    ("algorithm", "n_envs"),
    [("ppo", 4), *(pytest.param(*run, marks=pytest.mark.slow) for run in SLOW_RUNS)],
)
def test_a_resumed_run_gives_the_same_output(tmp_path, algorithm, n_envs) -> None:
    straight, cut = tmp_path / "straight", tmp_path / "cut"
    model, callbacks = build(straight, algorithm, n_envs)
    learn_from(model, TOTAL, callbacks)
    expected = outcome(straight, model, callbacks)
    # the episodes have one length: evaluation 1 is the best, and 2 to 5 do not improve
    assert expected["end"] == 300
    assert expected["reason"] == "no improvement of mean_ep_length in 4 evaluations"

    model, callbacks = build(cut, algorithm, n_envs)
    learn_from(model, TOTAL, callbacks, lambda m: m.num_timesteps < CUT)
    save_plain(
        {"model": capture_state(model), "callbacks": capture_callback_state(callbacks)},
        tmp_path / "state.pt",
    )
    state = load_plain(tmp_path / "state.pt")
    model, callbacks = build(cut, algorithm, n_envs)
    restore_callback_state(callbacks, state["callbacks"])
    restore_state(model, state["model"])
    learn_from(model, TOTAL, callbacks, resumed=True)
    assert_equal_bits(expected, outcome(cut, model, callbacks))
