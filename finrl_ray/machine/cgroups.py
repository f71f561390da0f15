"""What the cgroups of this process say, as a container or a batch system sets them (Linux)."""

from collections.abc import Iterator
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
CGROUP_MEMBERSHIP = Path("/proc/self/cgroup")


def own_cgroups(
    controller: str, root: Path = CGROUP_ROOT, membership: Path = CGROUP_MEMBERSHIP
) -> tuple[list[Path], list[Path]]:
    """Return the folders of this process's cgroup and of those above it; not all of them exist.

    Parameters
    ----------
    controller : `cpu` or `memory`
    root : where the cgroup file system is mounted
    membership : file with lines `number:controllers:path`

    Returns
    -------
    tuple
        Those of version 2, and those of version 1.
    """
    # a container may see its own group as the root, whatever the membership says
    second, first = [root], [root / controller]
    for line in read_text(membership).splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers == "":
            second += [*_upwards(root, path), *_upwards(root / "unified", path)]
        elif controller in controllers.split(","):
            first += [*_upwards(root / controller, path), *_upwards(root / controllers, path)]
    return list(dict.fromkeys(second)), list(dict.fromkeys(first))


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    # inside a container the path may be the host's, which does not exist below this mount
    parts = [part for part in path.split("/") if part not in ("", "..")]
    return (mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1))


def read_text(path: Path) -> str:
    """Return the content of a small file; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):  # another operating system, or a group that is gone
        return ""


def cpu_quota(root: Path = CGROUP_ROOT, membership: Path = CGROUP_MEMBERSHIP) -> float | None:
    """Return the CPUs that the cgroups leave this process, a fraction maybe; None without a quota.

    Of the group and those above it the lowest quota counts, in version 2 and in version 1.

    Parameters
    ----------
    root, membership : as for `own_cgroups`
    """
    second, first = own_cgroups("cpu", root, membership)
    pairs = [read_text(folder / "cpu.max").split() for folder in second]
    pairs += [
        [read_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
        for folder in first
    ]
    return min((quota for pair in pairs if (quota := _cpus(pair)) is not None), default=None)


def _cpus(quota_and_period: list[str]) -> float | None:
    """Return quota / period, both in microseconds; None for no quota, as `max 100000` or `-1`."""
    if len(quota_and_period) != 2 or not all(text.isdecimal() for text in quota_and_period):
        return None
    quota, period = (int(text) for text in quota_and_period)
    return quota / period if quota > 0 and period > 0 else None
