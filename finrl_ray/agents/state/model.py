"""The parts of an SB3 model's exact state that its parameters do not hold."""

import copy
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import ActionNoise, VectorizedActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.save_util import recursive_getattr, recursive_setattr
from stable_baselines3.common.utils import update_learning_rate

from finrl_ray._typing import AnyArray
from finrl_ray.agents.sb3_internals import (
    DQN_VALUES,
    memory_states,
    n_updates,
    progress_remaining,
    set_memory_states,
    trained_parts,
    trained_variables,
)
from finrl_ray.errors import ConfigError

EXPLORATION_MATRICES = ("exploration_mat", "exploration_matrices")
# SB3's names of SAC's entropy coefficient: its optimizer where it is learned, else its value
ENTROPY_OPTIMIZER, FIXED_ENTROPY = "ent_coef_optimizer", "ent_coef_tensor"


def to_cpu(value: Any) -> Any:
    """Return a copy of nested dicts and lists with every tensor on the CPU."""
    if isinstance(value, th.Tensor):
        # clone keeps CPU tensors apart from those that training goes on changing
        return value.detach().to("cpu").clone()
    if isinstance(value, dict):
        return {key: to_cpu(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_cpu(item) for item in value)
    return copy.deepcopy(value)


def capture_variables(model: BaseAlgorithm) -> dict[str, th.Tensor]:
    """Return tensors outside all networks, such as SAC's `log_ent_coef`."""
    values = {name: recursive_getattr(model, name) for name in trained_variables(model)}
    return {name: to_cpu(value) for name, value in values.items() if value is not None}


def restore_parameters(model: BaseAlgorithm, parameters: dict[str, Any]) -> None:
    """Load networks and optimizers as SB3's `set_parameters` does.

    SAC has an optimizer of its entropy coefficient only where that is learned: of a captured model
    that differs in this from `model`, it is left out or stays new.

    Raises
    ------
    ValueError, RuntimeError
        If the parameters belong to other networks.
    """
    own = trained_parts(model)
    fitting = {n: v for n, v in parameters.items() if n != ENTROPY_OPTIMIZER or n in own}
    if ENTROPY_OPTIMIZER in own and ENTROPY_OPTIMIZER not in parameters:
        fitting[ENTROPY_OPTIMIZER] = recursive_getattr(model, ENTROPY_OPTIMIZER).state_dict()
    model.set_parameters(fitting, exact_match=True, device=model.device)


def keep_learning_rate(model: BaseAlgorithm) -> None:
    """Set every optimizer to the learning rate that the model's keyword gives at its progress.

    A restored optimizer has the learning rate of its last update. If the model was built with the
    captured keywords, it is the same.
    """
    # until the first update an optimizer is as it was built
    progress = progress_remaining(model) if n_updates(model) else 1.0
    rate = model.lr_schedule(progress)
    for name in trained_parts(model):
        if name.endswith("optimizer"):
            update_learning_rate(recursive_getattr(model, name), rate)


def restore_variables(model: BaseAlgorithm, variables: dict[str, th.Tensor]) -> None:
    """Undo `capture_variables`, except for variables that a keyword of the model fixes.

    A fixed entropy coefficient of SAC is a keyword, and stays that of `model`; a learned one is
    restored where `model` learns it too.
    """
    own = trained_variables(model)
    for name, value in variables.items():
        if name == FIXED_ENTROPY or name not in own:
            continue
        # .data, because an optimizer refers to the tensor itself
        recursive_setattr(model, f"{name}.data", value.to(model.device, copy=True))


def capture_noise(model: BaseAlgorithm) -> list[AnyArray | None]:
    """Return per noise process its last value; only Ornstein-Uhlenbeck noise has one."""
    values = [getattr(noise, "noise_prev", None) for noise in _noises(model.action_noise)]
    return copy.deepcopy(values)


def restore_noise(model: BaseAlgorithm, values: list[AnyArray | None]) -> None:
    """Undo `capture_noise`.

    Raises
    ------
    ConfigError
        If the model has another number of noise processes.
    """
    assert model.env is not None
    noise, n_envs = model.action_noise, model.env.num_envs
    if noise is not None and n_envs > 1 and not isinstance(noise, VectorizedActionNoise):
        model.action_noise = VectorizedActionNoise(noise, n_envs)
    processes = _noises(model.action_noise)
    if len(processes) != len(values):
        raise ConfigError(
            f"the state has {len(values)} action noises, the model {len(processes)}; build it with "
            "the action_noise and n_envs of the captured model"
        )
    for process, value in zip(processes, values, strict=True):
        if value is not None:
            process.noise_prev = value.copy()  # type: ignore[attr-defined]  # see capture_noise


def _noises(noise: ActionNoise | None) -> list[ActionNoise]:
    if noise is None:
        return []
    return noise.noises if isinstance(noise, VectorizedActionNoise) else [noise]


def capture_memory(model: BaseAlgorithm) -> list[th.Tensor]:
    """Return the hidden and cell states of a recurrent model's policy and critic; else nothing."""
    states = memory_states(model)
    return [] if states is None else [to_cpu(one) for part in states for one in part]


def restore_memory(model: BaseAlgorithm, tensors: list[th.Tensor]) -> None:
    """Undo `capture_memory`.

    Raises
    ------
    ConfigError
        If the model's memory is of another size.
    """
    own = memory_states(model)
    if own is None or not tensors:
        return
    shapes = [tuple(one.shape) for part in own for one in part]
    if shapes != [tuple(one.shape) for one in tensors]:
        raise ConfigError(
            f"the state has LSTM states of shape {tuple(tensors[0].shape)}, the model's are "
            f"{shapes[0]}; build it with the captured lstm_hidden_size, n_lstm_layers and n_envs"
        )
    hidden, cell, critic_hidden, critic_cell = (one.to(model.device, copy=True) for one in tensors)
    set_memory_states(model, type(own)((hidden, cell), (critic_hidden, critic_cell)))


def capture_greed(model: BaseAlgorithm) -> dict[str, Any]:
    """Return how far DQN's share of random actions, and the rhythm of its target, have come."""
    return {name: getattr(model, name) for name in DQN_VALUES if hasattr(model, name)}


def restore_greed(model: BaseAlgorithm, values: dict[str, Any]) -> None:
    """Undo `capture_greed`."""
    for name, value in values.items():
        setattr(model, name, value)


def capture_exploration(model: BaseAlgorithm) -> dict[str, th.Tensor]:
    """Return the matrices of state-dependent exploration (gSDE); empty without it."""
    if not model.use_sde:
        return {}
    distribution = _action_distribution(model)
    return {name: to_cpu(getattr(distribution, name)) for name in EXPLORATION_MATRICES}


def restore_exploration(model: BaseAlgorithm, matrices: dict[str, th.Tensor]) -> None:
    """Undo `capture_exploration`."""
    for name, matrix in matrices.items():
        setattr(_action_distribution(model), name, matrix.to(model.device, copy=True))


def _action_distribution(model: BaseAlgorithm) -> Any:
    actor = getattr(model, "actor", None)
    return (model.policy if actor is None else actor).action_dist


def capture_replay(model: OffPolicyAlgorithm) -> dict[str, Any]:
    """Return the filled part of the replay buffer, copied.

    A buffer class with `get_state()` and `set_state(state)` of its own is asked instead.
    """
    buffer = model.replay_buffer
    assert buffer is not None
    if hasattr(buffer, "get_state"):
        return {"own": buffer.get_state()}
    # one row more than filled: optimize_memory_usage keeps the next observation there
    rows = buffer.buffer_size if buffer.full else min(buffer.pos + 1, buffer.buffer_size)
    arrays = {key: array[:rows].copy() for key, array in _replay_arrays(buffer).items()}
    return {"pos": int(buffer.pos), "full": bool(buffer.full), "rows": rows, "arrays": arrays}


def restore_replay(model: OffPolicyAlgorithm, state: dict[str, Any]) -> None:
    """Undo `capture_replay`.

    Raises
    ------
    ConfigError
        If the buffer is smaller, holds other arrays, or is a full ring of another size.
    """
    buffer = model.replay_buffer
    assert buffer is not None
    if ("own" in state) != hasattr(buffer, "set_state"):
        raise ConfigError(
            "the state was captured with another kind of replay buffer than the model's "
            f"{type(buffer).__name__}; build the model in the same way, on the same kind of env"
        )
    if "own" in state:
        buffer.set_state(state["own"])  # type: ignore[attr-defined]  # checked above
        return
    arrays, rows, size = _replay_arrays(buffer), state["rows"], buffer.buffer_size
    if rows > size or (state["full"] and rows != size):
        raise ConfigError(
            f"the state holds a replay buffer of {rows} rows, the model's has {size}; build the "
            "model with the captured buffer_size and n_envs"
        )
    if arrays.keys() != state["arrays"].keys():
        raise ConfigError(
            f"the state's replay buffer holds {sorted(state['arrays'])}, the model's "
            f"{sorted(arrays)}; build the model with the captured keywords"
        )
    for key, array in arrays.items():
        array[:rows] = state["arrays"][key]
    buffer.pos, buffer.full = state["pos"], state["full"]


def _replay_arrays(buffer: Any) -> dict[str, AnyArray]:
    """Return every array of the ring, by name; a dict of observations as `observations.key`."""
    found: dict[str, AnyArray] = {}
    for name, value in vars(buffer).items():
        parts = value if isinstance(value, dict) else {"": value}
        for key, part in parts.items():
            if isinstance(part, np.ndarray) and part.shape[:1] == (buffer.buffer_size,):
                found[f"{name}.{key}" if key else name] = part
    return found


def capture_action_space(model: BaseAlgorithm) -> dict[str, Any] | None:
    """Return the generator of the action space, which draws the actions of the warm-up."""
    generator = model.action_space._np_random
    return None if generator is None else copy.deepcopy(dict(generator.bit_generator.state))


def restore_action_space(model: BaseAlgorithm, state: dict[str, Any] | None) -> None:
    """Undo `capture_action_space`."""
    if state is not None:
        model.action_space.np_random.bit_generator.state = copy.deepcopy(state)
