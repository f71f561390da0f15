"""Everything private of Stable-Baselines3 that this package uses, tried with SB3 2.9.2.

The same of sb3-contrib, tried with 2.9.2.

Private names (with a leading underscore) may change in any release of SB3. Whoever upgrades it
reads this file: the functions below are the only places that reach into an SB3 object from outside,
and `OF_SUBCLASSES` lists what subclasses of SB3's classes use of their own base. A test compares
both with the code.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import MaybeCallback
from stable_baselines3.common.utils import configure_logger
from stable_baselines3.common.vec_env import VecEnv

COUNTERS = (
    "num_timesteps",
    "_episode_num",
    "_n_updates",
    "_total_timesteps",
    "_current_progress_remaining",
)
"""Attributes of a model that count, which a state keeps: SB3's files hold only some of them."""
LAST_VALUES = ("_last_obs", "_last_episode_starts", "_last_original_obs")
"""Attributes of a model that hold what its env gave last, from which the next rollout goes on."""
DQN_VALUES = ("_n_calls", "exploration_rate")
"""Attributes of DQN: steps, the rhythm of its target network, and the share of random actions."""
NOISE_FIELDS = ("_mu", "_sigma")
"""Attributes of a `NormalActionNoise`: its constructor's arguments, which it has no names for."""
OU_NOISE_FIELDS = ("_mu", "_sigma", "_theta", "_dt")
"""Those of an `OrnsteinUhlenbeckActionNoise`."""

OF_SUBCLASSES: Mapping[str, str] = MappingProxyType(
    {
        # callbacks fill SB3's hooks; its documentation says so
        "_init_callback": "hook of BaseCallback",
        "_on_training_start": "hook of BaseCallback",
        "_on_rollout_end": "hook of BaseCallback",
        "_on_step": "hook of BaseCallback, and of OffPolicyAlgorithm: target updates of each step",
        "_on_training_end": "hook of BaseCallback",
        "_on_event": "EventCallback: calls the callbacks after an evaluation",
        "_checkpoint_path": "CheckpointCallback: names of SB3's checkpoint files",
        # learners replace the loops of SB3's algorithms, and keep their books
        "_setup_model": "called at the end of the constructor and of `load`: a learner prepares",
        "_setup_learn": "what `learn` does before its loop",
        "_excluded_save_params": "attributes that `save` leaves out: those of a learner",
        "_sample_action": "actions of off-policy rollouts, before and after learning starts",
        "_store_transition": "puts a step into the replay buffer",
        "_update_info_buffer": "statistics of episodes that have ended",
        "_update_current_progress_remaining": "progress that schedules read",
        "_update_learning_rate": "sets and logs the optimizers' learning rate",
        "_current_progress_remaining": "progress that the clip ranges of PPO are read at",
        "_total_timesteps": "end of the training, for the progress",
        "_n_updates": "counts updates; logged, and the rhythm of TD3's policy",
        "_episode_num": "counts episodes, by which logs are written",
        "_last_obs": "observations that the next step acts on",
        "_last_original_obs": "those before they were normalised, which replay buffers keep",
        "_last_episode_starts": "whether those begin an episode",
        "_vec_normalize_env": "the env's statistics, by which sampled transitions are normalised",
        # envs and buffers
        "_reset_seeds": "VecEnv: pending seeds are used up by a reset",
        "_reset_options": "VecEnv: pending options are used up by a reset",
        "_seeds": "VecEnv: seeds of the next reset",
        "_options": "VecEnv: options of the next reset",
        "_get_indices": "VecEnv: accounts that `env_method` and the like are for",
        "_update_reward": "VecNormalize: returns that rewards are scaled by",
        "_get_samples": "ReplayBuffer: a batch of given rows",
        "_maybe_cast_dtype": "ReplayBuffer: float64 actions are kept as float32",
        "_normalize_reward": "ReplayBuffer: rewards under VecNormalize",
    }
)
"""Private names of SB3's classes that subclasses in this package override or use, and why."""


def has_started(model: BaseAlgorithm) -> bool:
    """Return whether a model is in the middle of training: it has observations to act on."""
    return model._last_obs is not None


def last_observations(model: BaseAlgorithm) -> Any:
    """Return the observations that the next step of training acts on; None before the first."""
    return model._last_obs


def memory_states(model: BaseAlgorithm) -> Any:
    """Return what a recurrent model remembers of its accounts' episodes; None of other models.

    It is sb3-contrib's `RNNStates`: for the policy and for the critic a hidden and a cell state,
    each a tensor of shape (layers, E, units).
    """
    return getattr(model, "_last_lstm_states", None)


def set_memory_states(model: BaseAlgorithm, states: Any) -> None:
    """Let a recurrent model go on from states as `memory_states` returns them."""
    model._last_lstm_states = states  # type: ignore[attr-defined]  # of RecurrentPPO


def require_reset(model: BaseAlgorithm) -> None:
    """Let the next training begin with a reset of the env, whose steps the model has not seen."""
    model._last_obs = None


def begin_episodes(model: BaseAlgorithm) -> None:
    """Reset the env and let the model go on from there, as SB3 does when it begins to learn."""
    assert model.env is not None
    observations: Any = model.env.reset()
    model._last_obs = observations
    model._last_episode_starts = np.ones((model.env.num_envs,), dtype=bool)
    normalizer = model.get_vec_normalize_env()
    if normalizer is not None:
        model._last_original_obs = normalizer.get_original_obs()


def n_updates(model: BaseAlgorithm) -> int:
    """Return how many updates a model has made; SB3 logs it and has no name for it."""
    return int(model._n_updates)


def end_of_training(model: BaseAlgorithm) -> int:
    """Return the timesteps at which the training that was begun last ends."""
    return int(model._total_timesteps)


def progress_remaining(model: BaseAlgorithm) -> float:
    """Return the part of the training that is left, at which schedules are read."""
    return float(model._current_progress_remaining)


def update_progress(model: BaseAlgorithm, total: int) -> None:
    """Set the progress that schedules read, as SB3's learning loop does after a rollout."""
    model._update_current_progress_remaining(model.num_timesteps, total)


def statistics_window(model: BaseAlgorithm) -> int:
    """Return over how many episodes SB3 averages what it logs."""
    return int(model._stats_window_size)


def rebuild_schedule(model: BaseAlgorithm) -> None:
    """Make `lr_schedule` of the attribute `learning_rate`; `train` reads the schedule alone."""
    model._setup_lr_schedule()


def trained_parts(model: BaseAlgorithm) -> list[str]:
    """Return the names of networks and optimizers, as in `get_parameters`."""
    return model._get_torch_save_params()[0]


def trained_variables(model: BaseAlgorithm) -> list[str]:
    """Return the names of tensors outside all networks, such as SAC's `log_ent_coef`."""
    return model._get_torch_save_params()[1]


def set_up(model: BaseAlgorithm) -> None:
    """Build a model's networks and buffers, which its constructor left out or has built before."""
    model._setup_model()


def has_own_logger(model: BaseAlgorithm) -> bool:
    """Return whether `set_logger` was called: SB3 then makes no logger of its own."""
    return bool(model._custom_logger)


def set_own_logger(model: BaseAlgorithm, own: bool) -> None:
    """Let SB3 keep the model's logger in the next training, or make one again."""
    model._custom_logger = own


def begin_learning(
    model: BaseAlgorithm, total: int, callback: MaybeCallback, tb_log_name: str, progress_bar: bool
) -> BaseCallback:
    """Do what SB3's `learn` does before its loop, with a reset of the env; return the callback.

    The counters begin at 0 for a model that has not learned.
    """
    fresh = model.num_timesteps == 0
    remaining = total - model.num_timesteps
    return model._setup_learn(remaining, callback, fresh, tb_log_name, progress_bar)[1]


def continue_learning(
    model: BaseAlgorithm, total: int, callback: MaybeCallback, tb_log_name: str, progress_bar: bool
) -> BaseCallback:
    """Do what `_setup_learn` does, less what would disturb a run that is under way."""
    model._total_timesteps = total
    model._num_timesteps_at_start = model.num_timesteps
    if not model._custom_logger:
        fresh = model.num_timesteps == 0
        model._logger = configure_logger(model.verbose, model.tensorboard_log, tb_log_name, fresh)
    return model._init_callback(callback, progress_bar)


def pending_resets(env: VecEnv) -> tuple[Any, Any]:
    """Return the seeds and options that the next reset of a vec env will use."""
    return env._seeds, env._options


def set_pending_resets(env: VecEnv, seeds: Any, options: Any) -> None:
    """Set the seeds and options that the next reset of a vec env will use."""
    env._seeds, env._options = seeds, options
