"""Policies, features extractors and callbacks of the user's: exact resume, and each broken kind."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from bit_equality import assert_equal_bits
from own_code_files import active_code_of
from own_search import FILES
from trial_reports import Reports

from finrl_ray.agents.hyperparameters import resolve_sample
from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.evaluation import EvaluationConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.errors import ConfigError
from finrl_ray.own_code.failures import OwnCodeError, naming_own_code
from finrl_ray.training.agent import StartPoint, make_trial_envs, train_agent
from finrl_ray.training.own_agent import OwnCallbacks, check_own_agent

CALLBACK = """
    from collections import deque

    import numpy as np
    from stable_baselines3.common.callbacks import BaseCallback

    class Counter(BaseCallback):
        def __init__(self, every=10):
            super().__init__()
            self.every = every
            self.seen = []
            self.mean = np.zeros(2)

        def _on_step(self):
            if self.n_calls % self.every == 0:
                self.seen.append(self.num_timesteps)
                self.mean = 0.9 * self.mean + 0.1
                # what it has counted decides what is learned
                self.model.ent_coef = 0.001 * len(self.seen)
            return True

    class Forgetful(BaseCallback):
        def __init__(self):
            super().__init__()
            self.last = deque(maxlen=3)

        def _on_step(self):
            return True

    class Told(Forgetful):
        def get_state(self):
            return {"last": list(self.last)}

        def set_state(self, state):
            self.last.extend(state["last"])
"""
SAMPLE = {"n_steps": 32, "batch_size": 32, "n_epochs": 1}
SETTINGS: dict[str, Any] = {
    "policy": "my_policy:MyPolicy",
    "callbacks": ("my_callback:Counter",),
    "model_kwargs": {"policy_kwargs": {"features_extractor_class": "my_policy:Squash"}},
}


@pytest.fixture(scope="module")
def windows() -> tuple[MarketData, MarketData]:
    data = MarketData.from_finrl(read_bundled(), features=[])
    return data.rows(100, 200), data.rows(200, 240)


def config(**agent: Any) -> ExperimentConfig:
    return ExperimentConfig(
        agent=AgentConfig(**{"total_timesteps": 192, **agent}),
        evaluation=EvaluationConfig(eval_freq=64),
    )


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    references = {"agent.policy": "my_policy:MyPolicy", "agent.callbacks": "my_callback:Counter"}
    with active_code_of(
        tmp_path, references, my_policy=FILES["my_policy.py"], my_callback=CALLBACK
    ) as folder:
        yield folder


@pytest.mark.slow
def test_own_policy_extractor_and_callback_go_on_bit_for_bit(own, windows, tmp_path) -> None:
    th.set_num_threads(1)
    straight = Reports(tmp_path / "straight")
    model = train_agent(SAMPLE, config(**SETTINGS), *windows, straight)
    assert type(model.policy).__name__ == "MyPolicy"
    assert type(model.policy.features_extractor).__name__ == "Squash"
    assert model.ent_coef == 0.001 * 19  # 192 steps, one in ten
    again = Reports(tmp_path / "again")
    start = StartPoint(checkpoint=tmp_path / "straight" / "64")
    resumed = train_agent(SAMPLE, config(**SETTINGS), *windows, again, start)
    assert again.metrics == straight.metrics[1:]
    assert resumed.ent_coef == model.ent_coef
    assert_equal_bits(dict(model.policy.state_dict()), dict(resumed.policy.state_dict()))


@pytest.mark.slow
def test_a_callback_ends_a_trial_at_a_safe_point_with_its_reason(own, windows, tmp_path) -> None:
    text = """
        from stable_baselines3.common.callbacks import BaseCallback

        class Enough(BaseCallback):
            def _on_step(self):
                return self.num_timesteps < 40
    """
    references = {"agent.callbacks": "my_stop:Enough"}
    with active_code_of(tmp_path, references, my_stop=text):
        reports = Reports(tmp_path / "stopped")
        settings = config(callbacks=("my_stop:Enough",))
        train_agent(SAMPLE, settings, *windows, reports)
        (last,) = reports.metrics
        assert (last["timesteps"], last["stop_reason"]) == (64, "stopped by callback Enough")
        again = Reports(tmp_path / "again")
        start = StartPoint(checkpoint=tmp_path / "stopped" / "64")
        train_agent(SAMPLE, settings, *windows, again, start)
        assert again.metrics == []


def test_what_a_checkpoint_keeps_of_callbacks(own) -> None:
    names = ("my_callback:Counter", "my_callback:Forgetful", "my_callback:Told")
    agent = AgentConfig(callbacks=names, callback_kwargs={"Counter": {"every": 5}})
    first, second = OwnCallbacks(agent), OwnCallbacks(agent)
    counter, forgetful, told = first.callbacks
    counter.seen, counter.mean, counter.n_calls = [3, 8], np.array([1.0, 2.0]), 9
    forgetful.last.append(1)
    told.last.append(2)
    first.stopped_by = "Told"
    second.set_state(first.get_state())
    # a checkpoint that is made again before training goes on holds the same
    assert second.get_state()["each"]["Counter"]["attributes"]["seen"] == [3, 8]
    started(second)
    counter, forgetful, told = second.callbacks
    assert (counter.every, counter.seen, counter.n_calls) == (5, [3, 8], 9)
    assert counter.mean.tolist() == [1.0, 2.0]
    assert (list(forgetful.last), list(told.last)) == ([], [2])
    assert second.stopped_by == "Told"
    assert second.forgotten() == (
        "callback Forgetful began anew in last, which a checkpoint cannot keep (give it get_state "
        "and set_state)"
    )


def started(callbacks: OwnCallbacks) -> OwnCallbacks:
    for one in (callbacks, *callbacks.callbacks):
        one.model = _Counted()
    callbacks.on_training_start({}, {})
    return callbacks


def test_what_a_callback_does_at_the_start_does_not_undo_a_resume(tmp_path) -> None:
    text = """
        from collections import deque
        from stable_baselines3.common.callbacks import BaseCallback

        class Mine(BaseCallback):
            late = None

            def _on_training_start(self):
                self.count, self.late = 0, None

            def _on_step(self):
                self.count += 1
                self.late = deque([self.count])
                return True
    """
    with active_code_of(tmp_path, {"agent.callbacks": "my_callback:Mine"}, my_callback=text):
        agent = AgentConfig(callbacks=("my_callback:Mine",))
        first = started(OwnCallbacks(agent))
        for _ in range(5):
            first.on_step()
        second = OwnCallbacks(agent)
        second.set_state(first.get_state())
        assert second.forgotten().startswith("callback Mine began anew in late")
        started(second).on_step()
        assert second.callbacks[0].count == 6


BROKEN_POLICIES = {
    "is no policy": (
        "class MyPolicy: ...",
        r"must be a class derived from a policy that SB3's ppo has \(ActorCriticPolicy",
    ),
    "raises": (
        """
        from stable_baselines3.common.policies import ActorCriticPolicy
        class MyPolicy(ActorCriticPolicy):
            def __init__(self, *args, **kwargs):
                raise RuntimeError("no layers")
        """,
        r"RuntimeError: no layers \(my_policy\.py, line 4: raise",
    ),
    "other parameters each time": (
        """
        import os
        import torch as th
        from stable_baselines3.common.policies import ActorCriticPolicy
        class MyPolicy(ActorCriticPolicy):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                with th.no_grad():
                    self.log_std += os.urandom(1)[0] / 7.0 + id(self) % 1e6
        """,
        r"agent\.policy my_policy:MyPolicy must give the same parameters",
    ),
    "other actions each time": (
        """
        import torch as th
        from stable_baselines3.common.policies import ActorCriticPolicy
        class MyPolicy(ActorCriticPolicy):
            calls = 0
            def _predict(self, observation, deterministic=False):
                MyPolicy.calls += 1
                return super()._predict(observation, deterministic) * 0 + 0.01 * MyPolicy.calls
        """,
        r"agent\.policy my_policy:MyPolicy must give the same action",
    ),
    "NaN": (
        """
        from stable_baselines3.common.policies import ActorCriticPolicy
        class MyPolicy(ActorCriticPolicy):
            def _predict(self, observation, deterministic=False):
                return super()._predict(observation, deterministic) * float("nan")
        """,
        r"gives an action that is not a finite number",
    ),
    "wrong shape": (
        """
        from stable_baselines3.common.policies import ActorCriticPolicy
        class MyPolicy(ActorCriticPolicy):
            def _get_action_dist_from_latent(self, latent):
                return super()._get_action_dist_from_latent(latent[:, :-1])
        """,
        r"RuntimeError: mat1 and mat2 .*\(my_policy\.py, line 4: return",
    ),
}


@pytest.mark.parametrize(("text", "message"), BROKEN_POLICIES.values(), ids=list(BROKEN_POLICIES))
def test_a_broken_policy_is_refused_before_the_search(text, message, windows, tmp_path) -> None:
    settings = config(policy="my_policy:MyPolicy")
    with active_code_of(tmp_path, {"agent.policy": "my_policy:MyPolicy"}, my_policy=text):
        trial = resolve_sample(SAMPLE, settings.agent)
        env, _ = make_trial_envs(settings, trial, 0, *windows)
        with (
            pytest.raises(ConfigError, match=message),
            naming_own_code("when the model was built"),
        ):
            check_own_agent(settings, trial, env)


def test_an_extractor_of_another_kind_is_refused(windows, tmp_path) -> None:
    keywords = {"policy_kwargs": {"features_extractor_class": "my_net:Net"}}
    settings = config(model_kwargs=keywords)
    text = "from torch import nn\nclass Net(nn.Module): ..."
    key = "agent.model_kwargs.policy_kwargs.features_extractor_class"
    with active_code_of(tmp_path, {key: "my_net:Net"}, my_net=text):
        trial = resolve_sample(SAMPLE, settings.agent)
        env, _ = make_trial_envs(settings, trial, 0, *windows)
        with pytest.raises(ConfigError, match="must be a class derived from SB3's BaseFeaturesE"):
            check_own_agent(settings, trial, env)


BROKEN_CALLBACKS = {
    "no callback": ("class Mine: ...", {}, "must be a class derived from SB3's BaseCallback"),
    "unknown keyword": (
        "from stable_baselines3.common.callbacks import BaseCallback\n"
        "class Mine(BaseCallback):\n    def _on_step(self): return True",
        {"Mine": {"pace": 2}},
        r"my_callback:Mine failed when it was made with \{'pace': 2\}: TypeError: .*'pace'",
    ),
    "raises": (
        "from stable_baselines3.common.callbacks import BaseCallback\n"
        "class Mine(BaseCallback):\n    def __init__(self):\n        raise OSError('no file')\n"
        "    def _on_step(self): return True",
        {},
        r"OSError: no file \(my_callback\.py, line 4",
    ),
}


@pytest.mark.parametrize(
    ("text", "keywords", "message"), BROKEN_CALLBACKS.values(), ids=list(BROKEN_CALLBACKS)
)
def test_a_broken_callback_is_refused_before_the_search(text, keywords, message, tmp_path) -> None:
    agent = AgentConfig(callbacks=("my_callback:Mine",), callback_kwargs=keywords)
    with (
        active_code_of(tmp_path, {"agent.callbacks": "my_callback:Mine"}, my_callback=text),
        pytest.raises(ConfigError, match=message),
    ):
        OwnCallbacks(agent)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise KeyError('x')", r"at timestep 0: KeyError: 'x' \(my_callback\.py, line 4: raise"),
        ("pass", r"_on_step must return True to go on or False to end training, got None"),
    ],
)
def test_a_callback_that_fails_in_training_says_where(body, message, tmp_path) -> None:
    text = (
        "from stable_baselines3.common.callbacks import BaseCallback\n"
        f"class Mine(BaseCallback):\n    def _on_step(self):\n        {body}"
    )
    with active_code_of(tmp_path, {"agent.callbacks": "my_callback:Mine"}, my_callback=text):
        callbacks = OwnCallbacks(AgentConfig(callbacks=("my_callback:Mine",)))
        callbacks.model = callbacks.callbacks[0].model = _Counted()
        with pytest.raises(OwnCodeError, match=message):
            callbacks.on_step()


class _Counted:
    num_timesteps = 0


def test_objects_in_the_config_become_their_import_paths() -> None:
    from stable_baselines3.common.callbacks import StopTrainingOnMaxEpisodes
    from stable_baselines3.common.policies import ActorCriticPolicy

    agent = AgentConfig(policy=ActorCriticPolicy, callbacks=(StopTrainingOnMaxEpisodes,))
    assert agent.policy == "stable_baselines3.common.policies:ActorCriticPolicy"
    assert agent.callbacks == ("stable_baselines3.common.callbacks:StopTrainingOnMaxEpisodes",)
    assert dataclasses.replace(agent) == agent
    with pytest.raises(ConfigError, match="callbacks must have different names"):
        AgentConfig(callbacks=("a:Same", "b:Same"))
    with pytest.raises(ConfigError, match=r"callback_kwargs must be of the callbacks \['Same'\]"):
        AgentConfig(callbacks=("a:Same",), callback_kwargs={"Other": {}})
