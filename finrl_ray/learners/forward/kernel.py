"""A policy's deterministic actions as one compiled function, made of torch's own products.

Everything else here is a single operation per number, in torch's order where there is one.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils as _cgutils
from numba.extending import intrinsic

from finrl_ray._typing import Float32Array, IntArray
from finrl_ray.machine.compiled_cache import cached_njit

cgutils: Any = _cgutils
njit = numba.njit(nogil=True, error_model="numpy")

WEIGHT, BIAS, OUTPUTS, INPUTS, ACTIVATION = range(5)
"""Columns of the layers: two addresses, two sizes, and what is applied to the outputs."""
NOTHING, TANH, RELU = range(3)
CLIPPED, SQUASHED = range(2)
"""How outputs become actions: cut off at the bounds, or -1..1 spread between them."""

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_WAYS = 4
"""Sums that torch adds up side by side."""
_ACCURATE = 0x2
"""VML_HA, the most accurate of MKL's modes."""
_KEEPS_DENORMALS = 0x140000
_IGNORES_ERRORS = 0x100
_VML_MODE = _ACCURATE | _KEEPS_DENORMALS | _IGNORES_ERRORS
"""What torch calls it with (ATen/cpu/vml.h)."""


def _function(builder: Any, address: Any, arguments: list[Any]) -> Any:
    kind = ir.FunctionType(ir.VoidType(), arguments)
    return builder.inttoptr(address, kind.as_pointer())


def _call_sgemm(
    typingctx: Any, address: Any, m: Any, n: Any, k: Any, a: Any, b: Any, c: Any
) -> tuple[Any, Any]:
    """Add A' B to C by `sgemm_`, as torch does for a linear layer.

    Parameters
    ----------
    address : of the function
    m, n, k : A is (m, k) and B (n, k), each row after row; C is (n, m)
    a, b, c : addresses of the first numbers
    """
    del typingctx, address, m, n, k, a, b, c
    signature = types.void(*[types.intp] * 7)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del signature
        address, m, n, k, a, b, c = arguments
        letter, whole, number = ir.IntType(8), ir.IntType(64), ir.FloatType()

        def kept(value: Any) -> Any:
            place = cgutils.alloca_once(builder, value.type)
            builder.store(value, place)
            return place

        # whole numbers of 64 bits: on a little-endian machine the first 32 are the number, too
        words, numbers = whole.as_pointer(), number.as_pointer()
        function = _function(
            builder,
            address,
            [letter.as_pointer()] * 2
            + [words] * 3
            + [numbers, numbers, words, numbers, words, numbers, numbers, words],
        )
        one = kept(ir.Constant(number, 1.0))
        flipped, plain = (kept(ir.Constant(letter, ord(text))) for text in "tn")
        at_a, at_b, at_c = (builder.inttoptr(value, numbers) for value in (a, b, c))
        rows, columns, depth = kept(m), kept(n), kept(k)
        builder.call(
            function,
            [flipped, plain, rows, columns, depth, one, at_a, depth, at_b, depth, one, at_c, rows],
        )
        return context.get_dummy_value()

    return signature, generate


def _call_tanh(typingctx: Any, address: Any, n: Any, at: Any) -> tuple[Any, Any]:
    """Apply tanh in place by `vmsTanh`, as torch does.

    Parameters
    ----------
    address : of the function
    n : numbers
    at : address of the first of them
    """
    del typingctx, address, n, at
    signature = types.void(*[types.intp] * 3)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del signature
        address, n, at = arguments
        whole, numbers = ir.IntType(64), ir.FloatType().as_pointer()
        function = _function(builder, address, [whole, numbers, numbers, whole])
        place = builder.inttoptr(at, numbers)
        builder.call(function, [n, place, place, ir.Constant(whole, _VML_MODE)])
        return context.get_dummy_value()

    return signature, generate


def _copy_numbers(typingctx: Any, to: Any, source: Any, n: Any) -> tuple[Any, Any]:
    """Copy `n` float32 numbers from one address to another."""
    del typingctx, to, source, n
    signature = types.void(*[types.intp] * 3)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del signature
        numbers = ir.FloatType().as_pointer()
        to, source = (builder.inttoptr(value, numbers) for value in arguments[:2])
        cgutils.raw_memcpy(builder, to, source, arguments[2], 4)
        return context.get_dummy_value()

    return signature, generate


call_sgemm: Any = intrinsic(_call_sgemm)
call_tanh: Any = intrinsic(_call_tanh)
copy_numbers: Any = intrinsic(_copy_numbers)


@njit
def apply_layer(
    functions: IntArray, layer: IntArray, rows: int, inputs: Float32Array, outputs: Float32Array
) -> None:
    """Fill the outputs (rows * O,) of a linear layer, row after row, with its activation."""
    width = layer[OUTPUTS]
    at = outputs.ctypes.data
    for e in range(rows):
        copy_numbers(at + 4 * e * width, layer[BIAS], width)
    if width == 1:
        # one column is for torch a column, and more are the rows of the flipped product
        call_sgemm(functions[0], rows, 1, layer[INPUTS], inputs.ctypes.data, layer[WEIGHT], at)
    else:
        call_sgemm(functions[0], width, rows, layer[INPUTS], layer[WEIGHT], inputs.ctypes.data, at)
    if layer[ACTIVATION] == TANH:
        call_tanh(functions[1], rows * width, at)
    elif layer[ACTIVATION] == RELU:
        for k in range(rows * width):
            if outputs[k] < _ZERO:  # NaN stays NaN
                outputs[k] = _ZERO


@njit
def sum_of_run(values: Float32Array, lanes: int, partial: Float32Array) -> Any:
    """Return the sum of contiguous numbers (N,) in the order in which torch adds them up.

    As `row_sum` and `vectorized_inner_sum` of ATen's SumKernel.cpp: by vector registers of `lanes`
    numbers, and without them where there are fewer numbers.

    Parameters
    ----------
    partial : array of shape (4, lanes), overwritten
    """
    n = values.shape[0]
    width = lanes if n >= lanes else 1
    vectors = n // width
    partial[:, :width] = _ZERO
    whole = vectors // _WAYS * _WAYS
    for i in range(vectors):
        way = i % _WAYS if i < whole else 0
        for j in range(width):
            partial[way, j] += values[i * width + j]
    for way in range(1, _WAYS):
        for j in range(width):
            partial[0, j] += partial[way, j]
    if width == 1:
        return partial[0, 0]
    total = _ZERO
    for i in range(vectors * width, n):
        total += values[i]
    for j in range(width):
        total += partial[0, j]
    return total


@njit
def split_by_ticker(
    observation: Float32Array, n_tickers: int, partial: Float32Array, rows: Float32Array
) -> None:
    """Fill what the network of each ticker sees (N * (1 + 2K),) from an observation (1 + K*N,)."""
    kinds = (observation.shape[0] - 1) // n_tickers
    width = 1 + 2 * kinds
    for kind in range(kinds):
        run = observation[1 + kind * n_tickers : 1 + (kind + 1) * n_tickers]
        # torch adds it to a 0
        total = _ZERO + sum_of_run(run, partial.shape[1], partial)
        mean = np.float32(total / np.float32(n_tickers))
        for i in range(n_tickers):
            rows[i * width + 1 + kind] = run[i]
            rows[i * width + 1 + kinds + kind] = mean
    for i in range(n_tickers):
        rows[i * width] = observation[0]


@njit
def write_actions(
    functions: IntArray,
    layers: IntArray,
    n_tickers: int,
    bounds: Float32Array,
    kind: int,
    observations: Float32Array,
    work: Float32Array,
    partial: Float32Array,
    actions: Float32Array,
) -> bool:
    """Fill the deterministic actions (E, A) of a policy for observations (E, S).

    Parameters
    ----------
    functions : array of shape (2,), from `torch_functions`
    layers : array of shape (L, 5), see `WEIGHT` and the others
    n_tickers : 0, or N of a network that every ticker goes through
    bounds : array of shape (2, A), of the action space
    kind : `CLIPPED` or `SQUASHED`
    work : array of shape (2, R * W), R rows of the widest layer's W or of inputs
        Both start at a multiple of 64 bytes.
    partial : array of shape (4, lanes), see `sum_of_run`

    Returns
    -------
    bool
        Whether all actions are numbers; the caller leaves what is NaN to SB3.
    """
    n_envs, n_actions = actions.shape
    rows = n_envs * max(1, n_tickers)
    width = layers[0, INPUTS]
    seen = work[0]
    for e in range(n_envs):
        # a copy, because a product depends on where its rows start
        if n_tickers > 0:
            first = e * n_tickers * width
            split_by_ticker(
                observations[e], n_tickers, partial, seen[first : first + n_tickers * width]
            )
        else:
            for j in range(width):
                seen[e * width + j] = observations[e, j]
    for k in range(layers.shape[0]):
        outputs = work[(k + 1) % 2]
        apply_layer(functions, layers[k], rows, seen, outputs)
        seen = outputs
    good = True
    for e in range(n_envs):
        for j in range(n_actions):
            value = seen[e * n_actions + j]
            low, high = bounds[0, j], bounds[1, j]
            good = good and value == value  # False for NaN
            if kind == SQUASHED:
                value = low + _HALF * (value + _ONE) * (high - low)
            else:
                value = low if value < low else value
                value = high if value > high else value
            actions[e, j] = value
    return good


@cached_njit(nogil=True, error_model="numpy")
def act(
    functions: IntArray,
    layers: IntArray,
    n_tickers: int,
    bounds: Float32Array,
    kind: int,
    observations: Float32Array,
    work: Float32Array,
    partial: Float32Array,
    actions: Float32Array,
) -> int:
    """Do what `write_actions` does, called from Python or by its address; 1 for True."""
    return int(
        write_actions(
            functions, layers, n_tickers, bounds, kind, observations, work, partial, actions
        )
    )
