"""The exact state of a training run, and the learning loop that can be left and re-entered.

A run that is captured at a safe point and restored into a freshly built model takes the same next
step as one that was never interrupted, bit for bit. A safe point is the top of the learning loop:
after an update, before the next rollout. `learn_from` calls its `at_safe_point` there. A callback's
`_on_step` is no safe point: the env has stepped, but the transition is not stored yet.
"""

import copy
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import MaybeCallback

from finrl_ray.agents.sb3_internals import (
    COUNTERS,
    LAST_VALUES,
    begin_episodes,
    begin_learning,
    continue_learning,
    has_started,
    require_reset,
    statistics_window,
    update_progress,
)
from finrl_ray.agents.state.env import capture_env_state, missing_state, restore_env_state
from finrl_ray.agents.state.model import (
    capture_action_space,
    capture_exploration,
    capture_greed,
    capture_memory,
    capture_noise,
    capture_replay,
    capture_variables,
    keep_learning_rate,
    restore_action_space,
    restore_exploration,
    restore_greed,
    restore_memory,
    restore_noise,
    restore_parameters,
    restore_replay,
    restore_variables,
    to_cpu,
)
from finrl_ray.agents.state.own_attributes import capture_own, restore_own
from finrl_ray.agents.state.plain_file import load_plain, save_plain
from finrl_ray.agents.state.random import get_random_state, set_random_state
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.learners.base import sb3_class
from finrl_ray.own_code.failures import OwnCodeError

FORMAT = 1
AtSafePoint = Callable[[BaseAlgorithm], bool]


def capture_state(model: BaseAlgorithm, *, replay_buffer: bool = True) -> dict[str, Any]:
    """Return everything that the rest of a training run depends on, as copied plain values.

    Call it at a safe point only. It changes nothing and draws no random number.

    Parameters
    ----------
    model : a model that is being trained
    replay_buffer : leave the replay buffer out when False; such a state is not exact for
        off-policy algorithms

    Returns
    -------
    dict
        Parameters and optimizers, entropy coefficient, counters, last observations, episode
        statistics, action noise, gSDE matrices, LSTM states, DQN's exploration, what an algorithm
        of the user's own has counted, replay buffer, env stack and every random stream.

    Raises
    ------
    ConfigError
        If training has not started or was stopped inside a rollout, or the env cannot be captured.
    """
    if model.env is None or not has_started(model):
        raise ConfigError(
            "a state can be captured only while learn_from runs, at a safe point; this model has "
            "not started to learn, or was stopped inside a rollout by a callback"
        )
    state: dict[str, Any] = {
        "format": FORMAT,
        "algorithm": sb3_class(model).__name__,
        "parameters": to_cpu(model.get_parameters()),
        "variables": capture_variables(model),
        "counters": {name: getattr(model, name) for name in COUNTERS},
        "last": {name: copy.deepcopy(getattr(model, name)) for name in LAST_VALUES},
        "episodes": copy.deepcopy(
            [list(model.ep_info_buffer or ()), list(model.ep_success_buffer or ())]
        ),
        "noise": capture_noise(model),
        "exploration": capture_exploration(model),
        "env": capture_env_state(model.env),
        "action_space": capture_action_space(model),
        "random": get_random_state(cuda=model.device.type == "cuda"),
    }
    parts: dict[str, Any] = {"memory": capture_memory(model), "greed": capture_greed(model)}
    parts["own"] = capture_own(model)
    state |= {name: part for name, part in parts.items() if part}
    if replay_buffer and isinstance(model, OffPolicyAlgorithm):
        state["replay"] = capture_replay(model)
    return state


def restore_state(model: BaseAlgorithm, state: dict[str, Any]) -> None:
    """Put a captured state into a model freshly built with the same env.

    Keywords that do not shape networks and buffers (learning rate, discount, entropy coefficient,
    batches, rollouts) stay those of `model`, so that population based training may change them;
    optimizer settings such as Adam's betas come from the state. With the same keywords the run
    goes on bit for bit, unless the env has no exact state (`missing_state`): then all episodes
    begin anew.

    Raises
    ------
    ConfigError
        If the model is of another algorithm, network, buffer size or number of envs.
    SearchError
        If the state was written by another version of this format.
    """
    _check_fits(model, state)
    assert model.env is not None
    # copied, because torch's optimizers go on to change the very tensors that they load
    parameters = to_cpu(state["parameters"])
    try:
        restore_parameters(model, parameters)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"the state does not fit this model's networks: {error}") from error
    restore_variables(model, state["variables"])
    for name, value in {**state["counters"], **state["last"]}.items():
        setattr(model, name, copy.deepcopy(value))
    episodes, successes = copy.deepcopy(state["episodes"])
    model.ep_info_buffer = deque(episodes, maxlen=statistics_window(model))
    model.ep_success_buffer = deque(successes, maxlen=statistics_window(model))
    keep_learning_rate(model)
    restore_noise(model, state["noise"])
    restore_exploration(model, state["exploration"])
    restore_memory(model, state.get("memory", []))
    restore_greed(model, state.get("greed", {}))
    restore_own(model, state.get("own", {}))
    if "replay" in state and isinstance(model, OffPolicyAlgorithm):
        restore_replay(model, state["replay"])
    restore_env_state(model.env, state["env"])
    if missing_state(model.env):
        begin_episodes(model)
    # last: every step above may have drawn random numbers
    restore_action_space(model, state["action_space"])
    set_random_state(state["random"])


def save_state(state: dict[str, Any], path: str | Path) -> None:
    """Write a state, or a nested dict of states, so that the file is complete or not there.

    The file holds tensors and plain values alone and is read with `weights_only=True`.

    Raises
    ------
    ConfigError
        If an env's `get_state()` returned something that is not plain.
    """
    save_plain(state, path)


def load_state(path: str | Path) -> dict[str, Any]:
    """Read what `save_state` has written.

    Raises
    ------
    SearchError
        If the file is missing, truncated, or not a saved state.
    """
    return dict(load_plain(path))


def learn_from(
    model: BaseAlgorithm,
    total_timesteps: int,
    callback: MaybeCallback = None,
    at_safe_point: AtSafePoint | None = None,
    *,
    resumed: bool | None = None,
    log_interval: int | None = None,
    tb_log_name: str = "run",
    progress_bar: bool = False,
) -> bool:
    """Train from wherever the model is until `total_timesteps`: SB3's `learn` for resumed runs.

    A new model starts as in `learn`. A model that has learned, or was restored, goes on without
    the reset of env, counters, episode statistics and action noise that a second `learn` brings.
    Schedules run over `total_timesteps` once, however often training is left and re-entered.

    Parameters
    ----------
    model : a model with its env
    total_timesteps : timesteps at the end of training, counted from its true start
    callback : as in `learn`
    at_safe_point : called with the model at each safe point, also before the first rollout and
        after the last update; False ends training there, and the model can go on later
    resumed : whether `model` was restored or has learned before; None: look at the model. True
        for a model that has not is refused, as its training would start again from a reset env.
    log_interval : rollouts (on-policy) or episodes (off-policy) between log dumps; None: never
    tb_log_name : name of the run in TensorBoard
    progress_bar : show SB3's progress bar

    Returns
    -------
    bool
        Whether `total_timesteps` was reached.

    Raises
    ------
    ConfigError
        If the model has no env, or `resumed` contradicts the model.
    OwnCodeError
        If code of the user's fails on the way, with the timestep.
    """
    if model.env is None:
        raise ConfigError("learn_from needs a model with an env; call model.set_env(env) first")
    under_way = has_started(model)
    if resumed is not None and resumed != under_way:
        raise ConfigError(
            f"learn_from got resumed={resumed}, but the model "
            + ("is in the middle of training" if under_way else "has no state to go on from")
        )
    listener = _begin(model, total_timesteps, callback, tb_log_name, progress_bar)
    with _naming_timesteps(model):
        while at_safe_point is None or at_safe_point(model):
            if model.num_timesteps >= total_timesteps:
                break
            if not _learn_one_rollout(model, total_timesteps, listener, log_interval):
                # the env is one step ahead of the model: the next training must reset it
                require_reset(model)
                break
    listener.on_training_end()
    return model.num_timesteps >= total_timesteps


@contextmanager
def _naming_timesteps(model: BaseAlgorithm) -> Iterator[None]:
    """Say in errors of the user's code after how many timesteps they came."""
    try:
        yield
    except OwnCodeError as error:
        raise OwnCodeError(f"after {model.num_timesteps:,} timesteps: {error}") from error


def _check_fits(model: BaseAlgorithm, state: dict[str, Any]) -> None:
    if state.get("format") != FORMAT:
        raise SearchError(
            f"the state has format {state.get('format')}, this version of finrl_ray reads "
            f"{FORMAT}; resume with the version that wrote it"
        )
    name = sb3_class(model).__name__
    if state["algorithm"] != name:
        raise ConfigError(f"the state belongs to a {state['algorithm']} model, got a {name}")
    if model.env is None:
        raise ConfigError("restore_state needs a model with an env; call model.set_env(env) first")


def _begin(
    model: BaseAlgorithm, total: int, callback: MaybeCallback, tb_log_name: str, progress_bar: bool
) -> BaseCallback:
    """Do what SB3's `learn` does before its loop; a run that is under way is not disturbed."""
    if has_started(model):
        model.start_time = time.time_ns()
        listener = continue_learning(model, total, callback, tb_log_name, progress_bar)
    else:
        listener = begin_learning(model, total, callback, tb_log_name, progress_bar)
    names = {"self": model, "total_timesteps": total, "tb_log_name": tb_log_name}
    listener.on_training_start(names, globals())
    return listener


def _learn_one_rollout(
    model: BaseAlgorithm, total: int, callback: BaseCallback, log_interval: int | None
) -> bool:
    """Run one pass of SB3's learning loop; False if a callback stopped it."""
    if isinstance(model, OnPolicyAlgorithm):
        return _learn_on_policy(model, total, callback, log_interval)
    if isinstance(model, OffPolicyAlgorithm):
        return _learn_off_policy(model, callback, log_interval)
    raise ConfigError(f"learn_from cannot train a {type(model).__name__}")


def _learn_on_policy(
    model: OnPolicyAlgorithm, total: int, callback: BaseCallback, log_interval: int | None
) -> bool:
    assert model.env is not None
    if not model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps):
        return False
    update_progress(model, total)
    iteration = model.num_timesteps // (model.n_steps * model.n_envs)
    if log_interval is not None and iteration % log_interval == 0:
        model.dump_logs(iteration)
    model.train()
    return True


def _learn_off_policy(
    model: OffPolicyAlgorithm, callback: BaseCallback, log_interval: int | None
) -> bool:
    assert model.env is not None
    assert model.replay_buffer is not None
    rollout = model.collect_rollouts(
        model.env,
        train_freq=model.train_freq,  # type: ignore[arg-type]  # a TrainFreq once the model is set up
        action_noise=model.action_noise,
        callback=callback,
        learning_starts=model.learning_starts,
        replay_buffer=model.replay_buffer,
        log_interval=log_interval,
    )
    if not rollout.continue_training:
        return False
    if model.num_timesteps > model.learning_starts:
        steps = model.gradient_steps
        steps = steps if steps >= 0 else rollout.episode_timesteps
        if steps > 0:
            model.train(batch_size=model.batch_size, gradient_steps=steps)
    return True
