"""torch's own product of matrices and its own tanh, called from compiled code.

A product that is added up in another order rounds otherwise, so nothing else than the very function
that torch calls gives torch's bits: MKL's `sgemm` for a linear layer, its `vmsTanh` for tanh. They
are found in torch's library by name. Where torch was built with another BLAS there are none, and
compiled code leaves the networks to torch.
"""

import ctypes
import functools
from pathlib import Path

import numpy as np
import torch as th

from finrl_ray._typing import IntArray

_NAMES = ("sgemm_", "vmsTanh")


@functools.cache
def torch_functions() -> IntArray | None:
    """Return the addresses of MKL's `sgemm_` and `vmsTanh` in this process, of shape (2,).

    None where torch uses another library.
    """
    if not th.backends.mkl.is_available():  # type: ignore[no-untyped-call]  # of torch
        return None
    try:
        library = ctypes.CDLL(str(Path(th.__file__).parent / "lib" / "libtorch_cpu.so"))
        found = [ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in _NAMES]
    except (OSError, AttributeError):
        return None
    return np.array(found, dtype=np.int64)
