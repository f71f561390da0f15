"""Memory and CPU of the process tree against what it may use."""

import logging
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch as th

from finrl_ray.errors import ConfigError
from finrl_ray.machine import resources
from finrl_ray.machine.resources import GIB, ResourceMonitor, cgroup_memory_limit, gpu_memory

CHILD = "x = bytearray(60 * 1024**2); print('ready', flush=True); input()"


def cgroup(tmp_path: Path, membership: str, **limits: str) -> int | None:
    """Limit of a made-up cgroup tree; `limits` by path with `__` for `/`."""
    (tmp_path / "membership").write_text(membership)
    for name, text in limits.items():
        path = tmp_path / "root" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return cgroup_memory_limit(tmp_path / "root", tmp_path / "membership")


class TestLimit:
    def test_version_2_takes_the_lowest_limit_on_the_way_up(self, tmp_path) -> None:
        limit = cgroup(
            tmp_path,
            "0::/jobs/mine\n",
            **{"jobs__mine__memory.max": "max", "jobs__memory.max": "5000000"},
        )
        assert limit == 5_000_000

    def test_version_2_in_a_container(self, tmp_path) -> None:
        assert cgroup(tmp_path, "0::/\n", **{"memory.max": "7000000"}) == 7_000_000
        # the path is the host's and means nothing in here
        assert cgroup(tmp_path, "0::/../../docker/a1\n", **{"memory.max": "6000000"}) == 6_000_000

    def test_version_1(self, tmp_path) -> None:
        unlimited = "9223372036854771712"
        membership = "5:cpu,cpuacct:/a\n4:memory:/a\n0::/\n"
        name = "memory__a__memory.limit_in_bytes"
        assert cgroup(tmp_path, membership, **{name: "123456789"}) == 123_456_789
        assert cgroup(tmp_path, membership, **{name: unlimited}) is None

    def test_none_without_cgroups(self, tmp_path) -> None:
        assert cgroup_memory_limit(tmp_path, tmp_path / "missing") is None
        assert cgroup(tmp_path, "garbage\n::\n") is None

    def test_the_least_limit_is_in_force(self, monkeypatch) -> None:
        monkeypatch.setattr(resources, "cgroup_memory_limit", lambda: 2 * GIB)
        assert ResourceMonitor(memory_limit_gb=1).memory_limit_bytes == GIB
        assert ResourceMonitor(memory_limit_gb=8).memory_limit_bytes == 2 * GIB
        monkeypatch.setattr(resources, "cgroup_memory_limit", lambda: None)
        total = psutil.virtual_memory().total
        assert ResourceMonitor(memory_limit_gb=1e6).memory_limit_bytes == total
        assert ResourceMonitor(None).memory_limit_bytes == total
        with pytest.raises(ConfigError, match=r"memory_limit_gb must be > 0 .* got '8'"):
            ResourceMonitor("8")  # type: ignore[arg-type]


class TestMeasure:
    def test_this_process_counts_and_not_the_whole_machine(self) -> None:
        # the guide's monitor compares what the whole machine uses with the limit
        usage = ResourceMonitor(memory_limit_gb=1e6, include_children=False).measure()
        own = psutil.Process().memory_info().rss
        assert usage.rss_bytes == pytest.approx(own, rel=0.05)
        assert usage.level in ("ok", "warn")
        assert usage.memory_fraction == usage.rss_bytes / usage.limit_bytes

    def test_children_count(self) -> None:
        monitor = ResourceMonitor()
        before = monitor.measure().rss_bytes
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            assert child.stdout is not None
            child.stdout.readline()
            assert monitor.measure().rss_bytes - before > 50 * 1024**2
            monitor.include_children = False
            assert monitor.measure().rss_bytes - before < 50 * 1024**2
        finally:
            child.communicate(b"\n")

    def test_a_child_that_vanishes_is_left_out(self, monkeypatch) -> None:
        class Gone:
            def memory_info(self):
                raise psutil.NoSuchProcess(1)

        monitor = ResourceMonitor()
        children = [Gone()]
        monkeypatch.setattr(
            monitor,
            "_process",
            SimpleNamespace(
                children=lambda recursive: children,
                memory_info=lambda: SimpleNamespace(rss=1000),
            ),
        )
        assert monitor.measure().rss_bytes == 1000

    def test_it_does_not_wait(self, monkeypatch) -> None:
        # the guide's cpu_percent(interval=1) stalls training for a second
        monitor = ResourceMonitor(include_children=False)
        slept: list[float] = []
        monkeypatch.setattr(time, "sleep", slept.append)
        for _ in range(20):
            monitor.measure()
        assert slept == []

    @pytest.mark.parametrize(
        ("rss", "available", "expected"),
        [
            (0.79, 0.5, "ok"),
            (0.80, 0.5, "warn"),
            (0.99, 0.5, "warn"),
            (1.00, 0.5, "critical"),
            (0.10, 0.04, "warn"),
        ],
    )
    def test_levels(self, rss, available, expected, monkeypatch) -> None:
        monitor = ResourceMonitor(memory_limit_gb=1)
        monkeypatch.setattr(monitor, "_tree_rss", lambda: int(rss * monitor.memory_limit_bytes) + 1)
        machine = SimpleNamespace(available=int(available * GIB), total=GIB)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: machine)
        assert monitor.measure().level == expected

    def test_gpu(self, monkeypatch) -> None:
        monkeypatch.setattr(th.cuda, "is_available", lambda: False)
        assert gpu_memory() is None
        assert "sys/gpu_gb" not in ResourceMonitor().measure().metrics()
        monkeypatch.setattr(th.cuda, "is_available", lambda: True)
        monkeypatch.setattr(th.cuda, "is_initialized", lambda: False)
        assert gpu_memory() == []
        monkeypatch.setattr(th.cuda, "is_initialized", lambda: True)
        monkeypatch.setattr(th.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(th.cuda, "memory_reserved", lambda device: (device + 1) * GIB)
        properties = SimpleNamespace(total_memory=4 * GIB)
        monkeypatch.setattr(th.cuda, "get_device_properties", lambda device: properties)
        usage = ResourceMonitor(1000, gpu_limit_fraction=1.0, min_available_fraction=0).measure()
        assert usage.metrics()["sys/gpu_gb"] == 3.0
        assert usage.metrics()["sys/gpu_fraction"] == 0.5  # the fullest of the two
        assert usage.level == "ok"
        for limit, level in ((0.6, "warn"), (0.5, "critical")):
            monitor = ResourceMonitor(1000, gpu_limit_fraction=limit, min_available_fraction=0)
            assert monitor.measure().level == level


class TestActing:
    def test_a_level_is_logged_once_and_cleaned_up_when_it_rises(self, monkeypatch, caplog) -> None:
        monitor = ResourceMonitor(memory_limit_gb=1)
        rss, cleanups = [0.9 * GIB], []
        monkeypatch.setattr(monitor, "_tree_rss", lambda: int(rss[0]))
        monkeypatch.setattr(monitor, "cleanup_memory", lambda: cleanups.append(1))
        for _ in range(3):
            assert monitor.check_resources().level == "warn"
        assert caplog.text.count("resources warn") == len(cleanups) == 1
        rss[0] = 0.1 * GIB
        with caplog.at_level(logging.INFO):
            monitor.check_resources()
        assert "resources ok" in caplog.text
        rss[0] = 0.9 * GIB
        monitor.check_resources()
        assert len(cleanups) == 2

    def test_what_a_cleanup_frees_is_no_emergency(self, monkeypatch, caplog) -> None:
        monitor = ResourceMonitor(memory_limit_gb=1)
        rss = [1.2 * GIB]
        monkeypatch.setattr(monitor, "_tree_rss", lambda: int(rss[0]))
        monkeypatch.setattr(monitor, "cleanup_memory", lambda: rss.__setitem__(0, 0.5 * GIB))
        assert monitor.check_resources().level == "ok"
        assert not caplog.text

    def test_cleanup_says_what_it_freed(self, monkeypatch) -> None:
        monitor = ResourceMonitor()
        readings = iter([5000, 2000, 2000, 3000])
        monkeypatch.setattr(monitor, "_tree_rss", lambda: next(readings))
        assert monitor.cleanup_memory() == 3000
        assert monitor.cleanup_memory() == 0

    def test_log_resources_is_one_line(self, caplog) -> None:
        with caplog.at_level(logging.INFO):
            usage = ResourceMonitor(memory_limit_gb=4).log_resources()
        assert len(caplog.records) == 1
        assert f"{usage.rss_bytes / GIB:.2f} of 4.00 GB" in caplog.text
        assert "since the start" in caplog.text


@pytest.mark.parametrize(
    "options",
    [
        {"memory_limit_gb": 0},
        {"memory_limit_gb": float("nan")},
        {"warn_fraction": 1.5},
        {"min_available_fraction": 1.0},
    ],
)
def test_bad_arguments(options) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        ResourceMonitor(**options)
