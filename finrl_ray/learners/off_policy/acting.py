"""SAC's exploring actions in compiled code, made of the very products that torch makes them of."""

from typing import Any

import numpy as np
import torch as th
from stable_baselines3 import SAC, TD3

from finrl_ray._typing import Float32Array, IntArray
from finrl_ray.env.compiled import address
from finrl_ray.env.compiled.address import address_of, call_for_nothing, call_for_truth
from finrl_ray.env.kernel.compile import cached_njit, digest_of
from finrl_ray.learners.flat.parameters import aligned_zeros
from finrl_ray.learners.forward import kernel
from finrl_ray.learners.forward.episode import act_address
from finrl_ray.learners.forward.kernel import (
    ACTIVATION,
    BIAS,
    INPUTS,
    OUTPUTS,
    RELU,
    TANH,
    WEIGHT,
    apply_layer,
    call_sgemm,
    call_tanh,
    copy_numbers,
    njit,
)
from finrl_ray.learners.forward.library import torch_functions
from finrl_ray.learners.forward.policy import PolicyForward
from finrl_ray.learners.off_policy.exploring import SquashedActor
from finrl_ray.learners.off_policy.kernels import draw_squashed
from finrl_ray.learners.off_policy.sac import HIGH, LOW

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_COLUMNS = 16
"""float32 numbers in 64 bytes, at a multiple of which torch starts a tensor."""
_COMPARED = 24
"""Batches of random observations in a comparison."""


@njit
def _hidden_layer(
    functions: IntArray,
    layer: IntArray,
    rows: int,
    inputs: Float32Array,
    bias: Float32Array,
    outputs: Float32Array,
) -> None:
    """Fill a hidden layer's outputs (rows * O,): a product, and then its bias and activation."""
    width = layer[OUTPUTS]
    n, at = rows * width, outputs.ctypes.data
    copy_numbers(bias.ctypes.data, layer[BIAS], width)
    for i in range(n):
        outputs[i] = _ZERO
    if width == 1:
        # one column is for torch a column, and more are the rows of the flipped product
        call_sgemm(functions[0], rows, 1, layer[INPUTS], inputs.ctypes.data, layer[WEIGHT], at)
    else:
        call_sgemm(functions[0], width, rows, layer[INPUTS], layer[WEIGHT], inputs.ctypes.data, at)
    is_relu = layer[ACTIVATION] == RELU
    for e in range(rows):
        row = outputs[e * width : (e + 1) * width]
        for j in range(width):
            x = row[j] + bias[j]
            row[j] = _ZERO if is_relu and x <= _ZERO else x
    if layer[ACTIVATION] == TANH:
        call_tanh(functions[1], n, at)


def _run_actor(digest: int) -> Any:
    """Return `run_actor`, kept on disk until this file or those behind `digest` change."""

    @cached_njit
    def run_actor(
        functions: IntArray,
        layers: IntArray,
        observations: Float32Array,
        work: Float32Array,
        outputs: Float32Array,
    ) -> None:
        """Do what `ExploringActor.forward` does.

        Parameters
        ----------
        functions : array of shape (2,), from `torch_functions`
        layers : array of shape (L, 5), see `forward.kernel`
        observations : array of shape (E, S)
        work : array of shape (3, R), R numbers of E rows of the widest layer, each row aligned
        outputs : array of shape (E, O), filled
        """
        _ = digest  # so that it is a free variable, whose value Numba compares
        rows, width = observations.shape
        for e in range(rows):
            for j in range(width):
                work[0, e * width + j] = observations[e, j]
        last = layers.shape[0] - 1
        for k in range(last):
            _hidden_layer(
                functions, layers[k], rows, work[k % 2], work[2], work[(k + 1) % 2]
            )  # fmt: skip
        flat = outputs.reshape(outputs.size)
        apply_layer(functions, layers[last], rows, work[last % 2], flat)

    return run_actor


def _explore(digest: int) -> Any:
    """Return `explore`, kept on disk as `run_actor` is."""

    @cached_njit
    def explore(
        run_at: int,
        draw_at: int,
        network: Any,
        drawing: Any,
        bounds: Float32Array,
        actions: Float32Array,
    ) -> int:
        """Fill SAC's actions (E, A), as the env takes them; 0 where a mean or deviation is NaN.

        Parameters
        ----------
        run_at, draw_at : addresses of `run_actor` and `draw_squashed`
        network, drawing : their arguments, tuples
        bounds : array of shape (2, A), of the action space
        """
        _ = digest
        call_for_nothing(run_at, network)
        fine = call_for_truth(draw_at, drawing)
        squashed = drawing[6]
        for e in range(actions.shape[0]):
            for j in range(actions.shape[1]):
                low, high = bounds[0, j], bounds[1, j]
                actions[e, j] = low + _HALF * (squashed[e, j] + _ONE) * (high - low)
        return 1 if fine else 0

    return explore


_FILES = str(kernel.__file__), str(address.__file__)
run_actor = _run_actor(digest_of(*_FILES))
explore = _explore(digest_of(*_FILES))


class BestActor:
    """The actor of TD3, whose actions are its best ones, for compiled loops.

    Parameters
    ----------
    model : whose actor it is
    forward : of the model
    found : from its `arguments`
    n_observed : S

    Attributes
    ----------
    seen, normal, chosen, act_at, arguments : as of `CompiledActor`; no normal numbers are taken
    """

    def __init__(
        self, model: TD3, forward: PolicyForward, found: tuple[Any, ...], n_observed: int
    ) -> None:
        self._model, self._forward, self.found = model, forward, found
        before, after = found
        self._n_rows = n_rows = model.n_envs
        self.seen: Float32Array = np.zeros((n_rows, n_observed), dtype=np.float32)
        self.normal: Float32Array = np.zeros((0, 0), dtype=np.float32)
        self.chosen: Float32Array = np.zeros((n_rows, before[3].shape[1]), dtype=np.float32)
        self.act_at, self.arguments = act_address(), (*before, self.seen, *after, self.chosen)

    def holds(self) -> bool:
        """Return whether the policy, its parameters' places and torch's settings are the same."""
        forward = self._forward
        return forward.policy is self._model.policy and (
            forward.arguments(self._n_rows) is self.found
        )

    def refuse(self) -> None:
        """Do nothing: the env refuses actions that are NaN."""


_agreed: dict[tuple[Any, ...], bool] = {}
"""Whether compiled code has torch's bits, by what that depends on."""


def _settings() -> tuple[int, str]:
    """Return the settings of torch that its products depend on."""
    return th.get_num_threads(), th.get_float32_matmul_precision()


class CompiledActor:
    """SAC's actor of E rows for compiled loops, on the memory of a `SquashedActor`.

    Parameters
    ----------
    model : whose actor it is
    squashed : that actor
    functions : array of shape (2,), from `torch_functions`

    Attributes
    ----------
    seen : array of shape (E, S)
        The observations to act on.
    normal : array of shape (E, A)
        Standard normal numbers to act with.
    chosen : array of shape (E, A)
        The actions, as the env takes them.
    act_at : the address of what fills them
    arguments : with which it is called
    """

    def __init__(self, model: SAC, squashed: SquashedActor, functions: IntArray) -> None:
        self._model, space, observed = model, model.action_space, model.observation_space
        bounds: Float32Array = np.stack([space.low, space.high]).astype(np.float32)  # type: ignore[attr-defined]  # a Box
        n_observed = observed.shape[0]  # type: ignore[index]  # a Box
        self.squashed = squashed
        outputs, self.normal, inside, deviations, log_prob = squashed.in_kernel()
        self._layers = squashed.actor.in_kernel()
        n_rows = len(self.normal)
        self._setting: tuple[Any, ...] = ()
        self._kind = n_rows, n_observed, self._layers[:, OUTPUTS:].tobytes()
        self.seen: Float32Array = np.zeros((n_rows, n_observed), dtype=np.float32)
        self.chosen: Float32Array = np.zeros_like(self.normal)
        widest = int(self._layers[:, [OUTPUTS, INPUTS]].max())
        columns = -(-n_rows * widest // _COLUMNS) * _COLUMNS
        work: Float32Array = aligned_zeros(3 * columns).numpy().reshape(3, columns)
        self._network = functions, self._layers, self.seen, work, outputs
        actions = np.zeros_like(self.chosen)
        drawing = outputs, self.normal, LOW, HIGH, inside, deviations, actions, log_prob
        places = address_of(run_actor, self._network), address_of(draw_squashed, drawing)
        self.arguments = (*places, self._network, drawing, bounds, self.chosen)
        self.act_at = address_of(explore, self.arguments)

    def holds(self) -> bool:
        """Return whether parameters and torch's settings are those of `agrees`."""
        optimizer: Any = self._model.actor.optimizer
        here = self.squashed.actor.flat is optimizer.flat
        return here and self._setting[len(self._kind) :] == _settings()

    def refuse(self) -> None:
        """Raise what torch raises where a mean or deviation is NaN."""
        self.squashed.refuse()

    def agrees(self) -> bool:
        """Return whether all bits are torch's, for this shape and under torch's settings."""
        self._setting = key = *self._kind, *_settings()
        if key not in _agreed:
            _agreed[key] = self._compare()
        return _agreed[key]

    def _compare(self) -> bool:
        rng = np.random.default_rng(len(self.seen))
        outputs = self._network[-1]
        for k in range(_COMPARED):
            # small ones, and some as large as cash is
            seen = rng.normal(size=self.seen.shape) * 10.0 ** (k % 7 - 3)
            self.seen[:] = seen
            with th.inference_mode():
                self.squashed.actor.forward(th.from_numpy(self.seen.copy()))
            expected = outputs.tobytes()
            run_actor(*self._network)
            # NaN among the parameters says nothing about the products
            if outputs.tobytes() != expected and not np.isnan(outputs).any():
                return False
        return True


def compiled_actor(model: SAC, squashed: SquashedActor) -> CompiledActor | None:
    """Return an actor for compiled loops; None where torch multiplies by another library.

    Parameters
    ----------
    model, squashed : see `CompiledActor`
    """
    functions = torch_functions()
    return None if functions is None else CompiledActor(model, squashed, functions)
