"""TensorBoard as a child process that can be stopped."""

import http.client
import importlib.util
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from processes import wait_until

from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.monitoring import tensorboard_server
from finrl_ray.monitoring.tensorboard_server import launch_tensorboard

pytestmark = pytest.mark.slow  # they train, or start a server

SLEEPER = """
import pathlib, sys, time
print("up", flush=True)
pathlib.Path(sys.argv[1]).touch()
time.sleep(3600)
"""
LEFT_RUNNING = """
import sys
from finrl_ray.monitoring import tensorboard_server as module
module._command = lambda log_dir, port: [
    sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"
]
print(module.launch_tensorboard(sys.argv[1], 0).pid)
"""


def answer_as_if(monkeypatch, command: list[str]) -> None:
    monkeypatch.setattr(tensorboard_server, "_command", lambda log_dir, port: command)


def get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("GET", path)
    return connection.getresponse().read()


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.mark.slow
def test_it_serves_a_folder_whatever_its_name_and_stops(tmp_path, taken_port, caplog) -> None:
    folder = tmp_path / "a b; touch 'x\" $(touch y)"
    with launch_tensorboard(folder, taken_port) as server:
        assert server.is_running
        assert server.port != taken_port
        assert f"port {taken_port} is taken" in caplog.text
        assert server.url() == f"http://127.0.0.1:{server.port}/"
        assert b"TensorBoard" in get(server.port, "/")
        assert json.loads(get(server.port, "/data/environment"))["data_location"] == str(folder)
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        listening = [c.laddr.ip for c in family[0].net_connections() if c.status == "LISTEN"]
        assert set(listening) == {"127.0.0.1"}
    assert not server.is_running
    assert not any(process.is_running() for process in family)
    assert not psutil.pid_exists(server.pid)  # no zombie either
    server.stop()
    with pytest.raises(OSError, match="refused"):
        get(server.port, "/")
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_it_ends_with_the_interpreter(tmp_path) -> None:
    out = subprocess.run(
        [sys.executable, "-c", LEFT_RUNNING, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not psutil.pid_exists(int(out.stdout))


def test_what_it_said_is_in_the_error(tmp_path, monkeypatch) -> None:
    answer_as_if(monkeypatch, [sys.executable, "-c", "import sys; sys.exit('no such flag')"])
    with pytest.raises(SearchError, match=r"ended with code 1 .* it said: no such flag"):
        launch_tensorboard(tmp_path, 0)


def test_one_that_never_answers_is_stopped(tmp_path, monkeypatch) -> None:
    started = []
    real, up = subprocess.Popen, tmp_path / "up"

    def start(*arguments: Any, **options: Any) -> Any:
        started.append(real(*arguments, **options))
        wait_until(up.exists)  # the second is counted from here on, however late it began
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    answer_as_if(monkeypatch, [sys.executable, "-c", SLEEPER, str(up)])
    with pytest.raises(SearchError, match=r"within 1 s; .* it said: up"):
        launch_tensorboard(tmp_path, 0, timeout_s=1)
    assert started[0].returncode is not None
    assert not psutil.pid_exists(started[0].pid)


def test_another_server_on_the_port_is_not_taken_for_it(taken_port, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tensorboard_server, "_is_free", lambda port: True)
    answer_as_if(monkeypatch, [sys.executable, "-c", "import sys; sys.exit('address in use')"])
    with pytest.raises(SearchError, match="address in use"):
        launch_tensorboard(tmp_path, taken_port, timeout_s=600)


def test_it_says_when_tensorboard_is_missing(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install tensorboard"):
        launch_tensorboard(tmp_path)


def test_bad_arguments(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"within 0\.\.65535, got 70000"):
        launch_tensorboard(tmp_path, 70000)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="log_dir must be a folder"):
        launch_tensorboard(tmp_path / "file")
