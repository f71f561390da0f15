"""Compiled passes back through activations, which all fused learners use.

All arrays are of float32 and C-contiguous. A slope is the gradient of the loss with respect to the
array in its name. NaN stays NaN, as in torch.
"""

import numpy as np

from finrl_ray._typing import Float32Array
from finrl_ray.machine.compiled_cache import cached_njit

compiled = cached_njit(nogil=True, error_model="numpy")

_ZERO, _ONE = np.float32(0), np.float32(1)


@compiled
def tanh_back(outputs: Float32Array, slopes: Float32Array, bias_slope: Float32Array) -> None:
    """Turn slopes of outputs (B, W) of tanh into those of its inputs and of the bias (W,)."""
    bias_slope[:] = _ZERO
    for i in range(outputs.shape[0]):
        row, slope = outputs[i], slopes[i]
        for j in range(row.shape[0]):
            g = slope[j] * (_ONE - row[j] * row[j])
            slope[j] = g
            bias_slope[j] += g


@compiled
def relu_back(outputs: Float32Array, slopes: Float32Array, bias_slope: Float32Array) -> None:
    """Turn slopes of outputs (B, W) of relu into those of its inputs and of the bias (W,)."""
    bias_slope[:] = _ZERO
    for i in range(outputs.shape[0]):
        row, slope = outputs[i], slopes[i]
        for j in range(row.shape[0]):
            g = _ZERO if row[j] <= _ZERO else slope[j]
            slope[j] = g
            bias_slope[j] += g
