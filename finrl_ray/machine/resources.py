"""`ResourceMonitor`: memory and CPU of this process and its children, against what they may use."""

import gc
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import psutil
import torch as th

from finrl_ray.errors import ConfigError
from finrl_ray.machine.cgroups import CGROUP_MEMBERSHIP, CGROUP_ROOT, own_cgroups, read_text

logger = logging.getLogger(__name__)

GIB = 1024**3
UNLIMITED_BYTES = 2**60
"""Version 1 of cgroups writes "no limit" as a number beyond this one."""

Level: TypeAlias = Literal["ok", "warn", "critical"]


@dataclass(frozen=True, kw_only=True)
class ResourceUsage:
    """One measurement.

    Parameters
    ----------
    rss_bytes : resident memory of this process and all below it; pages that forked children share
        with their parent count in each
    limit_bytes : what `rss_bytes` may reach: the least of the limit asked for, the cgroup's and the
        machine's memory
    system_available_bytes, system_total_bytes : of the whole machine
    cpu_percent : of the whole machine since the measurement before, 0..100
    gpu_bytes : reserved on all GPUs by this process; None without a GPU
    gpu_fraction : reserved on the fullest GPU, as a fraction of what this process may reserve
        there; None without a GPU
    level : `critical` where memory or GPU memory has reached its limit; `warn` from `warn_fraction`
        of either limit on, or while the machine is short of memory, whoever uses it
    """

    rss_bytes: int
    limit_bytes: int
    system_available_bytes: int
    system_total_bytes: int
    cpu_percent: float
    gpu_bytes: int | None
    gpu_fraction: float | None
    level: Level

    @property
    def memory_fraction(self) -> float:
        """`rss_bytes` as a fraction of the limit."""
        return self.rss_bytes / self.limit_bytes

    def metrics(self) -> dict[str, float]:
        """Return the numbers as log keys: `sys/rss_gb`, `sys/memory_fraction`, ..., in GiB."""
        found = {
            "sys/rss_gb": self.rss_bytes / GIB,
            "sys/memory_fraction": self.memory_fraction,
            "sys/available_gb": self.system_available_bytes / GIB,
            "sys/cpu_percent": self.cpu_percent,
        }
        if self.gpu_bytes is not None:
            found["sys/gpu_gb"] = self.gpu_bytes / GIB
        if self.gpu_fraction is not None:
            found["sys/gpu_fraction"] = self.gpu_fraction
        return found

    def describe(self) -> str:
        """Return the numbers as one line of text."""
        gpu = ""
        if self.gpu_bytes is not None:
            gpu = f", GPU {self.gpu_bytes / GIB:.2f} GB ({self.gpu_fraction or 0.0:.0%})"
        return (
            f"memory {self.rss_bytes / GIB:.2f} of {self.limit_bytes / GIB:.2f} GB "
            f"({self.memory_fraction:.0%}), machine {self.system_available_bytes / GIB:.1f} of "
            f"{self.system_total_bytes / GIB:.1f} GB free, CPU {self.cpu_percent:.0f}%{gpu}"
        )


class ResourceMonitor:
    """Measures what this process tree uses; no call waits.

    Parameters
    ----------
    memory_limit_gb : what the process tree may use, in GiB; None: only the cgroup (as a container
        or a batch system sets it) and the machine limit it
    warn_fraction : of the limit, from which on the level is `warn`
    min_available_fraction : of the machine's memory; with less available the level is `warn`
    gpu_limit_fraction : of a GPU's memory, what this process may reserve on it
    include_children : count child processes, such as those of a SubprocVecEnv; finding them takes
        milliseconds on a machine with many processes

    Attributes
    ----------
    memory_limit_bytes : the limit in force
    initial_memory : resident bytes of the process tree when the monitor was built

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    def __init__(
        self,
        memory_limit_gb: float | None = 8,
        *,
        warn_fraction: float = 0.8,
        min_available_fraction: float = 0.05,
        gpu_limit_fraction: float = 0.95,
        include_children: bool = True,
    ) -> None:
        number = isinstance(memory_limit_gb, int | float | np.number)
        if memory_limit_gb is not None and not (number and 0 < memory_limit_gb < np.inf):
            raise ConfigError(f"memory_limit_gb must be > 0 (GiB) or None, got {memory_limit_gb!r}")
        for name, fraction in (
            ("warn_fraction", warn_fraction),
            ("gpu_limit_fraction", gpu_limit_fraction),
        ):
            if not 0 < fraction <= 1:
                raise ConfigError(f"{name} must be within 0..1, got {fraction}")
        if not 0 <= min_available_fraction < 1:
            raise ConfigError(
                f"min_available_fraction must be within 0..1, got {min_available_fraction}"
            )
        wanted = None if memory_limit_gb is None else int(memory_limit_gb * GIB)
        limits = (wanted, cgroup_memory_limit(), psutil.virtual_memory().total)
        self.memory_limit_bytes = min(limit for limit in limits if limit is not None)
        self.warn_fraction = warn_fraction
        self.min_available_fraction = min_available_fraction
        self.gpu_limit_fraction = gpu_limit_fraction
        self.include_children = include_children
        self._process = psutil.Process()
        self._level: Level = "ok"
        self.initial_memory = self._tree_rss()
        psutil.cpu_percent(interval=None)  # the first call has nothing to compare with

    def measure(self) -> ResourceUsage:
        """Return the usage at this moment; nothing is logged or freed."""
        machine = psutil.virtual_memory()
        rss = self._tree_rss()
        gpus = gpu_memory()
        gpu_fraction = None if gpus is None else self._fullest(gpus)
        return ResourceUsage(
            rss_bytes=rss,
            limit_bytes=self.memory_limit_bytes,
            system_available_bytes=int(machine.available),
            system_total_bytes=int(machine.total),
            cpu_percent=float(psutil.cpu_percent(interval=None)),
            gpu_bytes=None if gpus is None else sum(reserved for reserved, _ in gpus),
            gpu_fraction=gpu_fraction,
            level=self._level_of(rss, gpu_fraction or 0.0, machine.available / machine.total),
        )

    def check_resources(self) -> ResourceUsage:
        """Return the usage; where the level has risen, after a cleanup and with a warning logged.

        A level that stays is not logged again.
        """
        usage = self.measure()
        order: tuple[Level, ...] = ("ok", "warn", "critical")
        if order.index(usage.level) > order.index(self._level):
            self.cleanup_memory()
            usage = self.measure()
        if usage.level != self._level:
            level = logging.INFO if usage.level == "ok" else logging.WARNING
            logger.log(level, "resources %s: %s", usage.level, usage.describe())
            self._level = usage.level
        return usage

    def cleanup_memory(self) -> int:
        """Collect garbage and empty PyTorch's GPU cache; return the bytes freed, 0 or more.

        Buffers that are in use, such as a replay buffer, stay.
        """
        before = self._tree_rss()
        gc.collect()
        if th.cuda.is_available():
            th.cuda.empty_cache()
        freed = max(0, before - self._tree_rss())
        logger.info("memory cleanup freed %.1f MB", freed / 1024**2)
        return freed

    def log_resources(self) -> ResourceUsage:
        """Log one line at INFO level and return the usage."""
        usage = self.measure()
        grown = (usage.rss_bytes - self.initial_memory) / GIB
        logger.info("resources: %s, %+.2f GB since the start", usage.describe(), grown)
        return usage

    def _fullest(self, gpus: list[tuple[int, int]]) -> float:
        used = [reserved / (self.gpu_limit_fraction * total) for reserved, total in gpus]
        return max(used, default=0.0)

    def _level_of(self, rss: int, gpu_fraction: float, available: float) -> Level:
        fraction = max(rss / self.memory_limit_bytes, gpu_fraction)
        if fraction >= 1.0:
            return "critical"
        short = available < self.min_available_fraction
        return "warn" if fraction >= self.warn_fraction or short else "ok"

    def _tree_rss(self) -> int:
        children = self._process.children(recursive=True) if self.include_children else []
        return int(self._process.memory_info().rss) + sum(_rss(child) for child in children)


def gpu_memory() -> list[tuple[int, int]] | None:
    """Return per GPU the bytes that PyTorch has reserved and those it has; None without a GPU."""
    if not th.cuda.is_available():
        return None
    if not th.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch leaves it out
        return []  # asking for more would start CUDA, which takes seconds and memory
    return [
        (th.cuda.memory_reserved(device), th.cuda.get_device_properties(device).total_memory)
        for device in range(th.cuda.device_count())
    ]


def cgroup_memory_limit(
    root: Path = CGROUP_ROOT, membership: Path = CGROUP_MEMBERSHIP
) -> int | None:
    """Return the memory limit of this process's cgroup in bytes, None if there is none.

    Of the group and those above it the lowest limit counts, in version 2 and in version 1.

    Parameters
    ----------
    root, membership : as for `own_cgroups`
    """
    second, first = own_cgroups("memory", root, membership)
    texts = [read_text(folder / "memory.max").strip() for folder in second]
    texts += [read_text(folder / "memory.limit_in_bytes").strip() for folder in first]
    found = [int(text) for text in texts if text.isdecimal()]
    return min((limit for limit in found if 0 < limit < UNLIMITED_BYTES), default=None)


def _rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # the child has ended, or become a zombie, since it was listed
        return 0
