"""Callbacks that say which steps they need are called at those, and count as if at every one."""

from typing import Any

import pytest
from stable_baselines3.common import callbacks as sb3
from stable_baselines3.common.callbacks import BaseCallback, CallbackList

from finrl_ray.agents.callbacks.action_analysis import ActionAnalysisCallback
from finrl_ray.agents.callbacks.checkpoint import CheckpointCallback
from finrl_ray.agents.callbacks.evaluation import TradingEvalCallback
from finrl_ray.agents.callbacks.interval import TimestepInterval
from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.learners.awaited_steps import next_needed_timestep, pass_over, watching_every_step
from finrl_ray.training.agent import SafePointCallback
from finrl_ray.training.own_agent import OwnCallbacks


class Child(BaseCallback):
    def __init__(self) -> None:
        super().__init__()
        self.at: list[int] = []

    def _on_step(self) -> bool:
        self.at.append(self.parent.num_timesteps)
        return True


class Model:
    num_timesteps = 0


def called(callback: Any, *, n_envs: int, n_steps: int, skipping: bool) -> tuple[int, int]:
    """Call a callback for every step, or for those alone that it needs; return how often."""
    callback.model = model = Model()
    for one in getattr(callback, "callbacks", []):
        one.model = model
    skipped = calls = 0
    for step in range(1, n_steps + 1):
        if skipping:
            needed = next_needed_timestep(callback, (step - 1 - skipped) * n_envs, n_envs)
            if (needed is None or needed > step * n_envs) and step < n_steps:
                skipped += 1
                continue
        if skipped:
            pass_over(callback, skipped, (step - 1) * n_envs, n_envs)
            skipped = 0
        model.num_timesteps = step * n_envs
        callback.on_step()
        calls += 1
    return callback.n_calls, calls


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("n_steps", [7, 10, 31])
def test_an_interval_fires_at_the_same_steps(n_envs: int, n_steps: int) -> None:
    fired = []
    for skipping in (False, True):
        child = Child()
        child.model = Model()
        callback = CallbackList([sb3.EveryNTimesteps(n_steps, child)])
        n_calls, calls = called(callback, n_envs=n_envs, n_steps=50, skipping=skipping)
        assert n_calls == 50
        assert (calls < 30) == skipping
        fired.append((child.at, callback.callbacks[0].n_calls))
    assert fired[0] == fired[1]
    assert fired[0][0]


def test_what_counts_calls_is_asked_in_timesteps() -> None:
    checkpoint = sb3.CheckpointCallback(10, "/tmp")
    checkpoint.n_calls = 23
    assert next_needed_timestep(checkpoint, 92, 4) == 92 + 7 * 4
    assert next_needed_timestep(sb3.ConvertCallback(None), 92, 4) is None


def test_callbacks_that_say_nothing_are_found_in_lists() -> None:
    quiet = sb3.EveryNTimesteps(5, Child())
    assert watching_every_step(CallbackList([quiet])) is None
    inner = CallbackList([quiet, Child()])
    assert isinstance(watching_every_step(CallbackList([quiet, inner])), Child)
    assert watching_every_step(sb3.ConvertCallback(lambda *_: True)) is not None
    assert watching_every_step(ActionAnalysisCallback(10)) is not None


def test_a_method_that_was_put_on_an_object_counts() -> None:
    callback = sb3.EveryNTimesteps(5, Child())
    callback._on_step = lambda: True  # type: ignore[method-assign]
    assert watching_every_step(callback) is callback


def test_an_answer_that_is_no_number_is_refused() -> None:
    class Wrong(Child):
        def next_needed_timestep(self, num_timesteps: int) -> str:
            return "soon"

        def _on_step(self) -> bool:
            return True

    with pytest.raises(TypeError, match=r"Wrong.next_needed_timestep must return.*got 'soon'"):
        next_needed_timestep(Wrong(), 0, 1)


def test_a_plain_search_needs_no_step_between_its_evaluations(monkeypatch: Any) -> None:
    monkeypatch.setattr("finrl_ray.training.agent.make_evaluation", lambda *_, **__: None)
    config = ExperimentConfig()
    own = OwnCallbacks(config.agent)
    trial = SafePointCallback(config, None, 0, lambda *_: None, periods_per_year=252, own=own)  # type: ignore[arg-type]  # no env is needed to ask
    for callback in (trial, own, CallbackList([trial, own])):
        assert watching_every_step(callback) is None
        assert next_needed_timestep(callback, 1000, 4) is None


def test_own_callbacks_of_a_search_are_asked_one_by_one() -> None:
    def own(kind: str) -> OwnCallbacks:
        return OwnCallbacks(AgentConfig(callbacks=[f"stable_baselines3.common.callbacks:{kind}"]))

    assert watching_every_step(own("EventCallback")) is None
    threshold = "StopTrainingOnMaxEpisodes"
    agent = AgentConfig(
        callbacks=[f"stable_baselines3.common.callbacks:{threshold}"],
        callback_kwargs={threshold: {"max_episodes": 2}},
    )
    assert watching_every_step(OwnCallbacks(agent)) is None


def test_this_packages_intervals_wait_for_the_next_multiple(tmp_path: Any) -> None:
    interval = TimestepInterval("eval_freq", 100)
    interval.start(250)
    assert interval.next_due == 300
    checkpoint = CheckpointCallback(40, tmp_path)
    assert watching_every_step(checkpoint) is None
    assert next_needed_timestep(checkpoint, 8, 1) == 40
    assert "next_needed_timestep" in dir(TradingEvalCallback)
