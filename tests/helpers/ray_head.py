"""One Ray head of our own: own ports, own token, a dashboard on loopback.

Folders of tests that need it import the fixture in their conftest.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from repository import REPOSITORY

from finrl_ray.cluster.nodes import dashboard_answers
from finrl_ray.cluster.ray_internals import read_token_again

START_S = 600.0


@dataclass(frozen=True)
class RayHead:
    """A running head: its addresses, the file with its token, and its session's folder."""

    address: str
    dashboard: str
    token_path: Path
    temp_dir: Path


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _command(ports: list[int], temp_dir: Path) -> list[str]:
    names = (
        "--port",
        "--dashboard-port",
        "--ray-client-server-port",
        "--dashboard-agent-listen-port",
        "--metrics-export-port",
    )
    start = "import sys; from ray.scripts.scripts import main; sys.exit(main())"
    return [
        *(sys.executable, "-c", start, "start", "--head", "--block", "--disable-usage-stats"),
        *("--dashboard-host=127.0.0.1", "--include-dashboard=true", "--num-cpus=2"),
        *(f"{name}={port}" for name, port in zip(names, ports, strict=True)),
        *(f"--temp-dir={temp_dir}", "--object-store-memory=150000000"),
    ]


@pytest.fixture(scope="module")
def ray_head() -> Iterator[RayHead]:
    """The head, and the variables under which this process presents its token."""
    # short: Ray keeps sockets under it, whose paths may have 107 characters
    temp_dir = Path(tempfile.mkdtemp(prefix="fr-"))
    token_path = temp_dir / "token"
    token_path.touch(mode=0o600)
    token_path.write_text(secrets.token_hex(32))
    ports = free_ports(5)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        # jobs run the `python` of the cluster's environment
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_path),
        "PYTHONPATH": str(REPOSITORY),
        "FINRL_RAY_STORAGE": str(temp_dir / "storage"),
    }
    with (temp_dir / "start.log").open("w") as log, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(token_path))
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ADDRESS"):
            # set first, so that what a test sets is gone afterwards where nothing was before
            patch.setenv(name, "")
            patch.delenv(name)
        read_token_again()
        process = subprocess.Popen(
            _command(ports, temp_dir / "t"),
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        head = RayHead(
            f"127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}", token_path, temp_dir
        )
        try:
            _wait_for(head, process)
            yield head
        finally:
            _stop(process)
            shutil.rmtree(temp_dir, ignore_errors=True)
    read_token_again()


def _wait_for(head: RayHead, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_S
    while not dashboard_answers(head.dashboard):
        assert process.poll() is None, (head.temp_dir / "start.log").read_text()
        assert time.monotonic() < deadline, (head.temp_dir / "start.log").read_text()
        time.sleep(0.2)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End the head and what it started, and nothing else: Ray's own stop ends every Ray."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        _, alive = psutil.wait_procs(family, timeout=60)
        for one in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.wait(600)
