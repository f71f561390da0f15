"""How the functions of the kernel are compiled, and what is kept on disk.

Numba takes compiled code from disk until the file of that function changes, even if a file changed
that it calls into. So only what Python calls is kept on disk; all else becomes part of that, and a
function that calls into other files has a digest of them among its free variables, which Numba
compares too.
"""

import hashlib
from pathlib import Path

import numba

from finrl_ray.machine import compiled_cache

njit = numba.njit(nogil=True, error_model="numpy")
# inlined so that arrays are not counted as used and as unused again for every account
inlined_njit = numba.njit(nogil=True, error_model="numpy", forceinline=True)
cached_njit = compiled_cache.cached_njit(nogil=True, error_model="numpy")


def digest_of(*files: str | None) -> int:
    """Return a positive number that differs when one of the source files does."""
    digest = hashlib.sha256()
    for file in (__file__, *files):
        assert file is not None
        digest.update(Path(file).read_bytes())
    return 1 + int.from_bytes(digest.digest()[:7], "big")
