"""The optimizers' own learning rate, during training and after save and load."""

import logging
import pickle

import numpy as np
import pytest
from small_models import SMALL_KWARGS, env_of, small_model

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.callbacks import learning_rate
from finrl_ray.agents.callbacks.learning_rate import LearningRateSchedulerCallback, optimizers
from finrl_ray.errors import ConfigError

N_OPTIMIZERS = {
    **{"a2c": 1, "ppo": 1, "ddpg": 2, "td3": 2, "sac": 3},
    **{"tqc": 3, "crossq": 3, "recurrent_ppo": 1, "trpo": 1, "dqn": 1},
}


def rates(model) -> set[float]:
    return {group["lr"] for opt in optimizers(model) for group in opt.param_groups}


class Watched(LearningRateSchedulerCallback):
    """Keeps what the optimizers hold after each step."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.seen: list[tuple[int, set[float]]] = []

    def _on_step(self) -> bool:
        super()._on_step()
        self.seen.append((self.num_timesteps, rates(self.model)))
        return True


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("n_envs", [1, 4])
def test_every_optimizer_follows_also_after_save_and_load(algorithm, n_envs, tmp_path) -> None:
    model = small_model(algorithm, n_envs)
    assert len(list(optimizers(model))) == N_OPTIMIZERS[algorithm]
    callback = Watched(initial_lr=1e-2, decay_rate=0.5, decay_freq=40)
    model.learn(96, callback)
    for timesteps, seen in callback.seen:
        assert seen == {1e-2 * 0.5 ** (timesteps // 40)}
    # train() has run after the last step, and reads the schedule
    last = 1e-2 * 0.5 ** (model.num_timesteps // 40)
    assert rates(model) == {last}
    assert callback.current_lr == model.learning_rate == model.lr_schedule(0.3) == last
    assert model.logger.name_to_value["train/learning_rate"] == last
    assert pickle.loads(pickle.dumps(model.lr_schedule))(0.0) == last

    model.save(tmp_path / "model.zip")
    loaded = type(model).load(tmp_path / "model.zip", env=env_of(algorithm, n_envs))
    assert rates(loaded) == {last}
    loaded.learn(32 * n_envs, reset_num_timesteps=False)
    assert loaded._n_updates > model._n_updates
    assert rates(loaded) == {last}


def test_the_initial_rate_holds_from_the_first_step() -> None:
    callback = Watched(initial_lr=7e-3, decay_freq=1000)
    small_model("sac").learn(10, callback)
    assert callback.seen[0] == (1, {7e-3})


def test_frequency_is_in_timesteps_whatever_n_envs() -> None:
    callback = Watched(initial_lr=1.0, decay_rate=0.5, decay_freq=20)
    small_model("a2c", 4).learn(40, callback)
    assert [rate for _, (rate,) in callback.seen] == [1.0] * 4 + [0.5] * 5 + [0.25]


@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_a_rate_set_during_training_is_followed(algorithm) -> None:
    class Mutation(Watched):
        def _on_step(self) -> bool:
            if self.num_timesteps == 50:
                self.initial_lr = 4e-2
            return super()._on_step()

    callback = Mutation(initial_lr=1e-2, decay_rate=0.5, decay_freq=40)
    model = small_model(algorithm).learn(64, callback)
    assert dict(callback.seen)[49] == {5e-3}
    assert dict(callback.seen)[50] == {2e-2}
    assert rates(model) == {2e-2}


def test_the_rate_depends_on_the_timesteps_alone() -> None:
    callback = LearningRateSchedulerCallback(3e-4, 0.98, 25_000)
    assert [callback.learning_rate_at(t) for t in (0, 24_999, 25_000, 250_000)] == [
        3e-4,
        3e-4,
        3e-4 * 0.98,
        3e-4 * 0.98**10,
    ]
    model = small_model("a2c").learn(60, LearningRateSchedulerCallback(1e-2, 0.5, 40))
    other = Watched(1e-2, 0.5, 40)
    model.learn(30, other, reset_num_timesteps=False)
    assert other.seen[0] == (61, {5e-3})
    assert other.seen[-1] == (90, {2.5e-3})


def test_each_change_is_said(caplog) -> None:
    with caplog.at_level(logging.INFO):
        small_model("a2c").learn(45, LearningRateSchedulerCallback(1e-2, 0.5, 40, verbose=1))
    own = [r for r in caplog.records if r.name == learning_rate.__name__]
    said = [r.getMessage() for r in own if r.levelno == logging.INFO]
    assert said == ["learning rate 0.005 from 40 timesteps on"]


def test_the_models_own_schedule_is_replaced_and_that_is_said(caplog) -> None:
    assert SMALL_KWARGS["ppo"]["learning_rate"] == "lin_1e-3"
    callback = LearningRateSchedulerCallback(5e-3, 1.0, 10)
    model = small_model("ppo").learn(64, callback)
    assert rates(model) == {5e-3}
    model.learn(64, callback, reset_num_timesteps=False)
    (said,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "schedule LinearSchedule(initial_value=0.001) is replaced by 0.005 * 1 **" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0,), "initial_lr must be finite and > 0, got 0.0"),
        ((np.inf,), "initial_lr must be finite and > 0, got inf"),
        ((3e-4, 1.5), "decay_rate must be > 0 and <= 1, got 1.5"),
        ((3e-4, 0.0), "decay_rate must be > 0 and <= 1, got 0.0"),
        ((3e-4, 0.9, 10.5), "decay_freq must be a whole number of timesteps >= 1, got 10.5"),
    ],
)
def test_bad_arguments_are_refused(arguments, message) -> None:
    with pytest.raises(ConfigError, match=message):
        LearningRateSchedulerCallback(*arguments)
