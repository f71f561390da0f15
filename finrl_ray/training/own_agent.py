"""The user's own policy, features extractor and callbacks: checked before a search, and run.

Callbacks see the steps of every training. What they have counted is kept in the trial's
checkpoints, so that a resumed trial goes on as if it had not been stopped.
"""

from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.agents.hyperparameters import TrialSettings
from finrl_ray.agents.state.plain_file import split_plain
from finrl_ray.agents.state.random import preserved_random_state
from finrl_ray.config.agent import EXTRACTOR, AgentConfig, callback_name
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.errors import ConfigError
from finrl_ray.own_code.failures import OwnCodeError, calling
from finrl_ray.own_code.load import load_object
from finrl_ray.own_code.reference import names_a_place
from finrl_ray.support.text import and_list
from finrl_ray.training.build_model import build_model

_OF_SB3 = frozenset(
    {"model", "locals", "globals", "parent", "verbose", "num_timesteps", "n_calls", "_logger"}
)
"""Attributes that SB3 sets anew when training begins, or that are kept beside."""


class OwnCallbacks(CallbackList):
    """The callbacks of `agent.callbacks`, one after the other, as one callback.

    Parameters
    ----------
    agent : says which, and with what keywords
    at_once : end training inside a rollout, as SB3 does; False: whoever trains looks at
        `stopped_by` at the next safe point, where the whole state can be kept

    Attributes
    ----------
    stopped_by : name of the callback that has asked to end training; empty while none has

    Raises
    ------
    ConfigError
        If one cannot be loaded or made.
    """

    def __init__(self, agent: AgentConfig, *, at_once: bool = False) -> None:
        self.references = agent.callbacks
        self.at_once = at_once
        self.stopped_by = ""
        self._restored: dict[str, Any] | None = None
        self._lost: dict[str, list[str]] = {}
        super().__init__([_made(one, agent) for one in agent.callbacks])

    def _on_step(self) -> bool:
        for reference, callback in zip(self.references, self.callbacks, strict=True):
            with calling(reference, "callback", f"at timestep {self.num_timesteps:,}"):
                go_on: Any = callback.on_step()
            if not isinstance(go_on, bool | np.bool_):
                raise OwnCodeError(
                    f"agent.callbacks {reference}: _on_step must return True to go on or False to "
                    f"end training, got {go_on!r}; end it with `return True`"
                )
            if not go_on:
                self.stopped_by = callback_name(reference)
        return not (self.at_once and self.stopped_by)

    def next_needed_timestep(self, num_timesteps: int) -> int | None:
        """Say that none is needed beside those that the callbacks themselves ask for."""
        return num_timesteps + 1 if self.at_once and self.stopped_by else None

    def _on_training_start(self) -> None:
        super()._on_training_start()
        if self._restored is not None:
            # only now: what a callback does when training starts is to begin anew
            self._apply(self._restored)
            self._restored = None

    def get_state(self) -> dict[str, Any]:
        """Return what the callbacks have counted, as plain values."""
        if self._restored is not None:
            return self._restored
        pairs = zip(self.references, self.callbacks, strict=True)
        each = {callback_name(reference): _state_of(reference, one) for reference, one in pairs}
        return {"each": each, "stopped_by": self.stopped_by}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo `get_state` when training starts, on callbacks made with the same keywords."""
        self.stopped_by, self._restored = state["stopped_by"], state
        self._lost = {name: list(found["lost"]) for name, found in state["each"].items()}

    def _apply(self, state: dict[str, Any]) -> None:
        for reference, callback in zip(self.references, self.callbacks, strict=True):
            found = state["each"].get(callback_name(reference))
            if found is None:
                continue
            callback.n_calls = found["n_calls"]
            if "own" in found:
                with calling(reference, "callback", "in set_state"):
                    callback.set_state(found["own"])  # type: ignore[attr-defined]  # see _state_of
            else:
                vars(callback).update(found["attributes"])

    def forgotten(self) -> str:
        """Return in words what the checkpoint has not kept of the callbacks; empty for nothing."""
        return "; ".join(
            f"callback {name} began anew in {and_list(lost)}, which a checkpoint cannot keep (give "
            "it get_state and set_state)"
            for name, lost in self._lost.items()
            if lost
        )


def _made(reference: str, agent: AgentConfig) -> BaseCallback:
    kind = load_object(reference, "callback")
    if not (isinstance(kind, type) and issubclass(kind, BaseCallback)):
        raise ConfigError(
            f"agent.callbacks {reference} must be a class derived from SB3's BaseCallback, got "
            f"{kind!r}"
        )
    keywords = agent.callback_kwargs.get(callback_name(reference), {})
    with calling(reference, "callback", f"when it was made with {keywords}"):
        return kind(**keywords)


def _state_of(reference: str, callback: BaseCallback) -> dict[str, Any]:
    state: dict[str, Any] = {"n_calls": callback.n_calls, "lost": []}
    if hasattr(callback, "get_state"):
        with calling(reference, "callback", "in get_state"):
            return {**state, "own": callback.get_state()}
    kept, lost = split_plain({n: v for n, v in vars(callback).items() if n not in _OF_SB3})
    return {**state, "attributes": kept, "lost": lost}


def check_own_agent(config: ExperimentConfig, settings: TrialSettings, env: VecEnv) -> None:
    """Build the model and the callbacks of a trial as its training will, before the search.

    Parameters
    ----------
    config : of the trial
    settings : of the trial
    env : to train in; not stepped

    Raises
    ------
    ConfigError
        If the user's own code fails, or a model of it is not the same when it is built again.
    """
    OwnCallbacks(config.agent)
    model = build_model(config, settings, env, 0)
    owns = {
        "agent.algorithm": config.agent.algorithm,
        "agent.policy": config.agent.policy,
        "features_extractor_class": (settings.model_kwargs.get("policy_kwargs") or {}).get(
            EXTRACTOR
        ),
    }
    named = {key: value for key, value in owns.items() if names_a_place(value)}
    if named:
        _check_repeats(model, build_model(config, settings, env, 0), env, named)


def _check_repeats(
    model: BaseAlgorithm, again: BaseAlgorithm, env: VecEnv, named: dict[str, str]
) -> None:
    what = and_list(f"{key} {value}" for key, value in named.items())
    first, second = model.policy.state_dict(), again.policy.state_dict()
    same = first.keys() == second.keys() and all(
        th.equal(first[name], second[name]) for name in first
    )
    if not same:
        raise OwnCodeError(
            f"{what} must give the same parameters whenever it is built with the same seed, and "
            "does not: draw random numbers from torch or numpy's global streams, which SB3 seeds, "
            "and nothing from the clock or the operating system"
        )
    actions = [_actions(one, env) for one in (model, model, again)]
    for action in actions:
        if not np.isfinite(action).all():
            raise OwnCodeError(f"{what} gives an action that is not a finite number: {action!r}")
    if not all(np.array_equal(actions[0], action) for action in actions[1:]):
        raise OwnCodeError(
            f"{what} must give the same action for the same observation where `deterministic` is "
            "asked for, and does not; switch dropout and noise off in evaluation "
            "(self.training is False)"
        )


def _actions(model: BaseAlgorithm, env: VecEnv) -> Any:
    """Return the deterministic action for an observation of ones."""
    drawn = env.observation_space.sample()
    observation = (
        {name: np.ones_like(part) for name, part in drawn.items()}
        if isinstance(drawn, dict)
        else np.ones_like(drawn)
    )
    with preserved_random_state(cuda=False):
        return np.asarray(model.predict(observation, deterministic=True)[0])
