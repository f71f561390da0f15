"""FinRL's reward keys, for every algorithm."""

import numpy as np
import pytest
from small_models import small_model
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import Logger

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.callbacks.tensorboard import TensorboardCallback
from finrl_ray.agents.state.training_state import capture_state, learn_from, restore_state

KEYS = ("train/reward", "train/reward_min", "train/reward_mean", "train/reward_max")


class KeptLogger(Logger):
    """A logger that keeps each dump."""

    def __init__(self) -> None:
        super().__init__(folder=None, output_formats=[])
        self.dumps: list[dict] = []

    def dump(self, step: int = 0) -> None:
        self.dumps.append({"step": step, **self.name_to_value})
        super().dump(step)


class Rewards(BaseCallback):
    """Keeps the rewards of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, np.ndarray]] = []

    def _on_step(self) -> bool:
        self.seen.append((self.num_timesteps, np.array(self.locals["rewards"])))
        return True


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("n_envs", [1, 4])
def test_the_keys_are_those_of_all_steps_since_the_last_dump(algorithm, n_envs, capsys) -> None:
    warm_up = {"learning_starts": 240} if algorithm in ("ddpg", "td3", "sac") else {}
    model, kept, rewards = small_model(algorithm, n_envs, **warm_up), KeptLogger(), Rewards()
    model.set_logger(kept)
    callbacks = CallbackList([rewards, TensorboardCallback()])
    model.learn(256, callbacks, log_interval=1 if n_envs == 4 else 2)
    # off-policy algorithms write the log once for each account that ends at the same step
    dumps = [dump for dump in kept.dumps if KEYS[0] in dump]
    assert len(dumps) >= 2
    start = 0
    for dump in dumps:
        since = [values for at, values in rewards.seen if start < at <= dump["step"]]
        expected = (
            since[-1].mean(),
            np.min(since),
            np.mean(since, dtype=np.float64),
            np.max(since),
        )
        assert [dump[key] for key in KEYS] == pytest.approx(expected, rel=1e-6)
        start = dump["step"]
    assert capsys.readouterr().out == ""


def test_a_resumed_run_goes_on_with_the_same_sums() -> None:
    def build():
        model = small_model("sac")
        model.set_logger(KeptLogger())
        return model, TensorboardCallback()

    model, callback = build()
    learn_from(model, 64, callback, lambda m: m.num_timesteps < 40, log_interval=1)
    state, own = capture_state(model), callback.get_state()
    learn_from(model, 64, callback, resumed=True, log_interval=1)
    other, resumed = build()
    resumed.set_state(own)
    restore_state(other, state)
    learn_from(other, 64, resumed, resumed=True, log_interval=1)
    assert own["count"] == 40 - 29  # since the end of the first episode
    assert other.logger.dumps[-1]["step"] == 58
    for key in KEYS:
        assert other.logger.dumps[-1][key] == model.logger.dumps[-1][key]
