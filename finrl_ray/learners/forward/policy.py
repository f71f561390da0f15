"""`PolicyForward`: a model's policy in compiled code, where that is torch's bit for bit.

Before it is used it is compared with SB3's own policy on many observations, once for each shape of
network, number of rows and setting of torch that products may depend on. Where one bit differs
(another BLAS, another torch) the policy is left to torch.
"""

import logging
import threading
from collections.abc import MutableMapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.distributions import DiagGaussianDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import MlpExtractor
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from finrl_ray._typing import AnyArray, Float32Array, IntArray
from finrl_ray.learners.flat.parameters import aligned_zeros
from finrl_ray.learners.forward.kernel import (
    ACTIVATION,
    CLIPPED,
    INPUTS,
    NOTHING,
    OUTPUTS,
    RELU,
    SQUASHED,
    TANH,
    act,
)
from finrl_ray.learners.forward.library import torch_functions
from finrl_ray.learners.networks import reason_against_policy, reason_against_spaces
from finrl_ray.learners.on_policy.per_ticker import PerTickerExtractor, PerTickerPolicy
from finrl_ray.machine.compiled_cache import compiler_is_off

logger = logging.getLogger(__name__)

_ACTIVATIONS: dict[type[nn.Module], int] = {nn.Tanh: TANH, nn.ReLU: RELU}
_TORCHS = {TANH: th.tanh, RELU: th.relu}
_LANES = (16, 8)
"""Numbers in a vector register, by which torch adds them up."""
_COMPARED = 24
"""Batches of random observations in a comparison."""
_COLUMNS = 16
"""float32 numbers in 64 bytes, at a multiple of which torch starts a tensor."""

_agreed: dict[tuple[Any, ...], int] = {}
"""Lanes with which compiled code agrees with torch, 0 for none, by what it depends on."""
_forwards: MutableMapping[BaseAlgorithm, "PolicyForward | _Unable"] = WeakKeyDictionary()

_HOOKS = "_forward_hooks", "_forward_pre_hooks"
_HELD = "_parameters"
"""torch's own dict of a layer's parameters; as attributes they take ten times as long to find."""


class _Unable:
    """Stands for a policy that is left to torch."""

    def __init__(self, policy: Any) -> None:
        self.policy = policy


class PolicyForward:
    """The deterministic actions of a model's policy.

    Parameters
    ----------
    model : for which there is no `reason_against_forward`

    Attributes
    ----------
    policy : of the model
    kind : how outputs become actions, see `write_actions`
    bounds : array of shape (2, A), of the action space
    n_tickers : 0, or N of a network that every ticker goes through
    """

    def __init__(self, model: BaseAlgorithm) -> None:
        self.policy: Any = model.policy
        self._linear, activations = _layers(self.policy)
        extractor = getattr(self.policy, "mlp_extractor", None)
        self.n_tickers = extractor.n_tickers if isinstance(extractor, PerTickerExtractor) else 0
        self.kind = SQUASHED if self.policy.squash_output else CLIPPED
        space: Any = model.action_space
        self.bounds: Float32Array = np.stack([space.low, space.high])
        self._n_entries = int(model.observation_space.shape[0])  # type: ignore[index]  # a Box
        rows = [
            (0, 0, *layer.weight.shape, activation)
            for layer, activation in zip(self._linear, activations, strict=True)
        ]
        self._layers: IntArray = np.array(rows, dtype=np.int64)
        self._signature = self._layers.tobytes(), self._n_entries, self.n_tickers, self.kind
        self._places: list[int] = []
        self._holders = _holders(self.policy, self._linear)
        self._arrays: dict[tuple[int, int, int], tuple[Any, ...]] = {}

    def arguments(self, n_envs: int) -> tuple[Any, ...] | None:
        """Return what `write_actions` takes before and after the observations, as two tuples.

        They hold as long as nothing replaces the parameters. None where compiled code does not
        agree with torch.

        Parameters
        ----------
        n_envs : E
        """
        key = self._key(n_envs)
        lanes = _agreed.get(key)
        if lanes is None:
            lanes = self._compare(n_envs)
            if lanes is not None:
                _agreed[key] = lanes
        if not lanes or not self._find_parameters():
            return None
        return self._made(n_envs, lanes)

    def _key(self, n_envs: int) -> tuple[Any, ...]:
        # the first call for the number of threads in a thread sets it there, for MKL too
        setting = th.get_num_threads(), th.get_float32_matmul_precision(), n_envs
        return (*self._signature, *setting)

    def refuse(self, n_envs: int) -> None:
        """Leave policies of this shape to torch from here on, for E observations at once."""
        _agreed[self._key(n_envs)] = self._refused()

    def actions(self, observations: Float32Array) -> Float32Array | None:
        """Return the deterministic actions (E, A) for observations (E, S), as SB3 gives them.

        None where compiled code does not agree with torch, or an action is NaN.
        """
        found = self.arguments(len(observations))
        return None if found is None else self._act(observations, found)

    def _act(self, observations: Float32Array, found: tuple[Any, ...]) -> Float32Array | None:
        bounds: Float32Array = found[0][3]
        actions = np.empty((len(observations), bounds.shape[1]), dtype=np.float32)
        return actions if act(*found[0], observations, *found[1], actions) else None

    def _find_parameters(self) -> bool:
        """Take over where the parameters lie; return whether all lie as compiled code needs."""
        if not all(held.get(name) is layer for held, name, layer in self._holders):
            return False  # a layer has been replaced
        parts: list[dict[str, Any]] = [vars(layer)[_HELD] for layer in self._linear]
        parameters: list[Any] = [part.get(name) for part in parts for name in ("weight", "bias")]
        hooked = any(vars(layer)[name] for layer in self._linear for name in _HOOKS)
        if hooked or not all(isinstance(one, th.Tensor) for one in parameters):
            return False
        places = [one.data_ptr() for one in parameters]
        if places == self._places:
            return True
        plain = all(
            one.dtype == th.float32 and one.device.type == "cpu" and one.is_contiguous()
            for one in parameters
        )
        if plain:
            self._places = places
            self._layers[:, :2] = np.reshape(places, (-1, 2))
        return plain

    def _made(self, n_envs: int, lanes: int) -> tuple[Any, ...]:
        # each thread has arrays of its own, as the code runs beside other threads
        key = threading.get_ident(), n_envs, lanes
        made = self._arrays.get(key)
        if made is None:
            rows = n_envs * max(1, self.n_tickers)
            widest = int(self._layers[:, [OUTPUTS, INPUTS]].max())
            columns = -(-rows * widest // _COLUMNS) * _COLUMNS
            work = aligned_zeros(2 * columns).numpy().reshape(2, columns)
            before = torch_functions(), self._layers, self.n_tickers, self.bounds, self.kind
            made = before, (work, np.zeros((4, lanes), dtype=np.float32))
            self._arrays[key] = made
        return made

    def _compare(self, n_envs: int) -> int | None:
        """Return the lanes with which all bits are torch's, 0 for none; None without an answer."""
        if not self._find_parameters():
            return None  # which says nothing of other models of this shape
        rng = np.random.default_rng(n_envs)
        rows = n_envs * max(1, self.n_tickers)
        if not all(self._layer_agrees(k, rows, rng) for k in range(len(self._layers))):
            return self._refused()
        seen = rng.normal(size=(_COMPARED, n_envs, self._n_entries))
        # small ones, so that nothing is cut off at the bounds, and some as large as cash is
        seen *= 10.0 ** rng.integers(-3, 4, size=(_COMPARED, 1, 1))
        seen = seen.astype(np.float32)
        try:
            expected = [best_by_torch(self.policy, one) for one in seen]
        except ValueError:  # torch's, for NaN among the parameters
            return None
        for lanes in _LANES if self.n_tickers else _LANES[:1]:
            found = self._made(n_envs, lanes)
            if all(
                _same_bits(self._act(one, found), wanted)
                for one, wanted in zip(seen, expected, strict=True)
            ):
                return lanes
        return self._refused()

    def _layer_agrees(self, k: int, rows: int, rng: np.random.Generator) -> bool:
        """Return whether layer k alone has torch's bits, nothing cut off or squashed."""
        layer, width = self._linear[k], int(self._layers[k, OUTPUTS])
        bounds = np.stack([np.full(width, -np.inf), np.full(width, np.inf)]).astype(np.float32)
        _, (work, partial) = self._made(rows // max(1, self.n_tickers), _LANES[0])
        found = (torch_functions(), self._layers[k : k + 1], 0, bounds, CLIPPED), (work, partial)
        for _ in range(_COMPARED):
            inputs = rng.normal(size=(rows, self._layers[k, INPUTS])).astype(np.float32)
            with th.no_grad():
                outputs = layer(th.from_numpy(inputs))
                activation = _TORCHS.get(int(self._layers[k, ACTIVATION]))
                expected = outputs if activation is None else activation(outputs)
            if not _same_bits(self._act(inputs, found), expected.numpy()):
                # NaN among the parameters says nothing about the products
                return bool(th.isnan(expected).any())
        return True

    def _refused(self) -> int:
        logger.info("deterministic actions are left to torch: compiled ones have other bits")
        return 0


def best_by_torch(policy: Any, observations: Float32Array) -> Float32Array:
    """Return deterministic actions (E, A) as SB3's `predict` makes them of observations (E, S)."""
    actions: Float32Array = policy.predict(np.array(observations), deterministic=True)[0]
    return actions


def forward_of(model: BaseAlgorithm) -> PolicyForward | None:
    """Return the compiled policy of a model; None where it is left to torch."""
    found = _forwards.get(model)
    if found is None or found.policy is not model.policy:
        unable = reason_against_forward(model)
        found = _forwards[model] = _Unable(model.policy) if unable else PolicyForward(model)
    return found if isinstance(found, PolicyForward) else None


def compiled_actions(model: BaseAlgorithm, observations: Float32Array) -> Float32Array | None:
    """Return the deterministic actions (E, A) for observations (E, S), bit for bit SB3's.

    None where the policy is left to torch, or an action is NaN.
    """
    forward = forward_of(model)
    if forward is None or len(observations) == 0:
        return None
    flags = observations.flags
    if not (flags.c_contiguous and flags.writeable):  # code is compiled for one kind of array
        observations = np.array(observations, order="C")
    return forward.actions(observations)


def predict(
    model: Any, observations: Any, state: Any, episode_start: Any, *, deterministic: bool
) -> tuple[AnyArray, Any]:
    """Return what `model.predict` returns, of SB3's own classes in compiled code where it can be.

    Parameters
    ----------
    model : of SB3, or another object with `predict`
    observations, state, episode_start, deterministic : see SB3's `predict`
    """
    own = getattr(type(model), "predict", None) is BaseAlgorithm.predict
    if deterministic and own and "predict" not in vars(model) and are_rows(model, observations):
        actions = compiled_actions(model, observations)
        if actions is not None:
            return actions, state
    result: tuple[AnyArray, Any] = model.predict(
        observations, state, episode_start, deterministic=deterministic
    )
    return result


def are_rows(model: BaseAlgorithm, observations: Any) -> bool:
    """Return whether observations are a float32 array of shape (E, S), S the model's."""
    return (
        isinstance(observations, np.ndarray)
        and observations.dtype == np.float32
        and observations.ndim == 2
        and observations.shape[1:] == model.observation_space.shape
    )


def reason_against_forward(model: BaseAlgorithm) -> str:
    """Return why a model's policy cannot run in compiled code, or an empty text."""
    if torch_functions() is None or compiler_is_off():
        return "torch multiplies without MKL, or Numba's compiler is switched off"
    reason = reason_against_spaces(model.observation_space, model.action_space)
    if reason:
        return reason
    space: Any = model.action_space
    if space.dtype != np.float32:
        return f"actions are of {space.dtype}"
    if not (space.low.all() and space.high.all()):
        return "a bound of the actions is 0, of which there are two"
    policy: Any = model.policy
    wanted = type(policy)
    if wanted in (SACPolicy, TD3Policy):
        network = policy.actor
    elif wanted in (ActorCriticPolicy, PerTickerPolicy):
        network = policy
        extractor = PerTickerExtractor if wanted is PerTickerPolicy else MlpExtractor
        if type(policy.action_dist) is not DiagGaussianDistribution:
            return f"actions are of a {type(policy.action_dist).__name__}"
        if type(policy.mlp_extractor) is not extractor:
            return f"the networks are in a {type(policy.mlp_extractor).__name__}"
    else:
        return f"the policy is a {wanted.__name__}"
    reason = reason_against_policy(policy, wanted, [network])
    if reason or getattr(network, "use_sde", False):
        return reason or "use_sde is set"
    return "" if _layers(policy)[0] else "there are layers of another kind in the networks"


def _layers(policy: Any) -> tuple[list[nn.Linear], list[int]]:
    """Return the linear layers from observations to actions, and what is applied to each's outputs.

    Empty where there is something else between them.
    """
    if isinstance(policy, TD3Policy):
        modules: list[nn.Module] = list(policy.actor.mu)
    elif isinstance(policy, SACPolicy):
        modules = [*policy.actor.latent_pi, policy.actor.mu, nn.Tanh()]
    else:
        modules = [*policy.mlp_extractor.policy_net, policy.action_net]
    linear: list[nn.Linear] = []
    activations: list[int] = []
    for module in modules:
        if type(module) is nn.Linear and module.bias is not None:
            linear.append(module)
            activations.append(NOTHING)
        elif type(module) in _ACTIVATIONS and activations and activations[-1] == NOTHING:
            activations[-1] = _ACTIVATIONS[type(module)]
        elif type(module) is not nn.Flatten:
            return [], []
    return linear, activations


def _holders(policy: Any, layers: list[nn.Linear]) -> list[tuple[dict[str, Any], str, nn.Linear]]:
    """Return where each layer is held: torch's dict of the module around it, and its name there."""
    wanted = {id(layer) for layer in layers}
    return [
        (vars(module)["_modules"], name, child)
        for module in policy.modules()
        for name, child in module.named_children()
        if id(child) in wanted
    ]


def _same_bits(one: AnyArray | None, other: AnyArray) -> bool:
    return one is not None and one.dtype == other.dtype and one.tobytes() == other.tobytes()
