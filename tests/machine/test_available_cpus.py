"""CPUs that a process may use: affinity, and quotas of both versions of cgroups, made up."""

import os
from pathlib import Path

import pytest

from finrl_ray.machine import available_cpus as available_cpus_module
from finrl_ray.machine.available_cpus import available_cpus
from finrl_ray.machine.cgroups import cpu_quota


def tree(folder: Path, membership: str, **files: str) -> tuple[Path, Path]:
    """Write cgroup files, their paths with `__` for `/`, and the file of memberships."""
    root = folder / "cgroup"
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("cpu_max", "cpu.max")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "membership").write_text(membership, encoding="utf-8")
    return root, folder / "membership"


def version_1(folder: Path, group: str, quota: str, period: str = "100000") -> None:
    """Write the two files of a group of version 1."""
    place = folder / "cgroup" / group
    place.mkdir(parents=True, exist_ok=True)
    (place / "cpu.cfs_quota_us").write_text(quota, encoding="utf-8")
    (place / "cpu.cfs_period_us").write_text(period, encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100000 100000\n", 1.0),
        ("150000 100000\n", 1.5),
        ("50000 100000\n", 0.5),
        ("400000 50000\n", 8.0),
        ("max 100000\n", None),
        ("", None),
        ("nonsense", None),
        ("100000 0\n", None),
    ],
)
def test_a_quota_of_version_2_is_read(tmp_path, text, expected) -> None:
    assert cpu_quota(*tree(tmp_path, "0::/\n", cpu_max=text)) == expected


def test_the_lowest_quota_of_the_groups_above_counts(tmp_path) -> None:
    files = {
        "cpu_max": "max 100000",
        "kubepods__cpu_max": "800000 100000",
        "kubepods__pod__cpu_max": "300000 100000",
        "kubepods__pod__box__cpu_max": "max 100000",
    }
    assert cpu_quota(*tree(tmp_path, "0::/kubepods/pod/box\n", **files)) == 3.0


@pytest.mark.parametrize("group", ["/docker/0123abcd", "/../../docker/0123abcd"])
def test_a_container_that_sees_its_own_group_as_the_root(tmp_path, group) -> None:
    assert cpu_quota(*tree(tmp_path, f"0::{group}\n", cpu_max="200000 100000")) == 2.0


def test_a_quota_where_no_membership_can_be_read(tmp_path) -> None:
    root, membership = tree(tmp_path, "", cpu_max="200000 100000")
    membership.unlink()
    assert cpu_quota(root, membership) == 2.0


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_a_quota_of_version_1_is_read(tmp_path, mount) -> None:
    places = tree(tmp_path, "7:memory:/job\n4:cpu,cpuacct:/job/step\n1:name=systemd:/job\n")
    version_1(tmp_path, f"{mount}/job/step", "-1")
    version_1(tmp_path, f"{mount}/job", "250000")
    version_1(tmp_path, mount, "-1")
    assert cpu_quota(*places) == 2.5


def test_both_versions_beside_each_other(tmp_path) -> None:
    places = tree(tmp_path, "2:cpu:/job\n0::/unit\n", unified__unit__cpu_max="300000 100000")
    version_1(tmp_path, "cpu/job", "700000")
    assert cpu_quota(*places) == 3.0


def test_no_cgroups_at_all(tmp_path) -> None:
    assert cpu_quota(tmp_path / "none", tmp_path / "neither") is None


@pytest.mark.parametrize(
    ("affinity", "quota", "expected"),
    [(8, None, 8), (8, 2.0, 2), (8, 2.9, 2), (8, 0.25, 1), (2, 16.0, 2), (1, 1.0, 1)],
)
def test_the_least_counts_and_fractions_are_rounded_down(
    monkeypatch, affinity, quota, expected
) -> None:
    monkeypatch.setattr(available_cpus_module, "_affinity", lambda: affinity)
    monkeypatch.setattr(available_cpus_module, "cpu_quota", lambda: quota)
    assert available_cpus() == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux has affinities")
def test_the_affinity_of_this_process_counts(monkeypatch) -> None:
    monkeypatch.setattr(available_cpus_module, "cpu_quota", lambda: None)
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert available_cpus() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert available_cpus() == len(before)
