"""What the last bits of numbers depend on besides data, seeds and versions: the processor.

MKL, OpenBLAS, torch, numpy and LLVM look at the processor when they are loaded, and at variables of
the environment, and take the code for its vector registers. Sums come out in another order there.
"""

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

_VARIABLES = (
    *("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE", "OPENBLAS_CORETYPE"),
    *("ATEN_CPU_CAPABILITY", "NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES"),
    *("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"),
)
"""Variables by which libraries take other code than the processor's own."""


def processor_facts(threads: int | None = None) -> dict[str, str]:
    """Return what numbers may depend on in their last bits, in words.

    Parameters
    ----------
    threads : that a trial computes with, where a trial is meant

    Returns
    -------
    dict
        `processor` (its model), `vector instructions` as torch and numpy use them, `compiled for`
        (LLVM's name of the processor), `BLAS of torch`, `BLAS of numpy`, `library settings` from
        the environment, and `threads of a trial`.
    """
    import llvmlite.binding as llvm
    import numpy as np
    import torch as th

    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    found = [*simd.get("baseline", []), *simd.get("found", [])]
    lacking = [f"without {name}" for name in simd.get("not found", [])]
    facts = {
        "processor": processor_name(),
        "vector instructions": f"torch {th.backends.cpu.get_cpu_capability()}, numpy "
        + " ".join([*found[-1:], *lacking]),
        "compiled for": str(llvm.get_host_cpu_name()),
        "BLAS of torch": _blas_of_torch(th.__config__.show()),
        "BLAS of numpy": _blas_of_numpy(),
        "library settings": _settings(),
    }
    if threads is not None:
        facts["threads of a trial"] = str(threads)
    return facts


def differences_of(
    recorded: Mapping[str, str], here: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """Return what differs, as name to (recorded, here); what was not recorded does not differ."""
    return {
        name: (value, here.get(name, "not known"))
        for name, value in recorded.items()
        if here.get(name) != value
    }


def processor_name() -> str:
    """Return the model of this machine's processor, with family and model number if known."""
    system = platform.system()
    if system == "Linux":
        name = _name_of_linux(Path("/proc/cpuinfo"))
    elif system == "Darwin":
        name = _name_of_macos()
    else:
        name = ""
    return name or platform.processor() or platform.machine() or "not known"


def _name_of_linux(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    known: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            known.setdefault(key.strip().lower(), value.strip())
    name = known.get("model name") or known.get("cpu model") or ""
    # ARM's processors have numbers instead of names
    keys = ("cpu family", "model", "cpu implementer", "cpu part")
    numbers = ", ".join(f"{key} {known[key]}" for key in keys if known.get(key))
    return f"{name} ({numbers})".strip() if numbers else name


def _name_of_macos() -> str:
    try:
        done = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _blas_of_torch(config: str) -> str:
    """Return the library that torch's own description names."""
    version = re.search(r"Math Kernel Library Version (\S+)", config)
    if version is not None:
        return f"MKL {version[1]}"
    name = re.search(r"BLAS_INFO=(\w+)", config)
    return name[1] if name is not None else "not known"


def _blas_of_numpy() -> str:
    """Return the libraries that numpy has loaded, and for which processor their kernels are."""
    import threadpoolctl  # type: ignore[import-untyped]  # it has no types

    pools = {
        f"{pool['internal_api']} {pool.get('version') or ''} {pool.get('architecture') or ''}"
        for pool in threadpoolctl.threadpool_info()
        if pool["user_api"] == "blas" and "torch" not in pool["filepath"]
    }
    return ", ".join(" ".join(text.split()) for text in sorted(pools)) or "not known"


def _settings() -> str:
    known = [f"{name}={os.environ[name]}" for name in _VARIABLES if os.environ.get(name)]
    return " ".join(known) or "none"
