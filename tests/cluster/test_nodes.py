"""Which Ray an address means, and what is said when it cannot be joined; no Ray is started."""

import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray._private import utils

from finrl_ray.cluster import nodes as nodes_module
from finrl_ray.errors import ConfigError, SearchError


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


def running(monkeypatch: pytest.MonkeyPatch, found: set[str], latest: str | None) -> None:
    monkeypatch.setattr(nodes_module, "gcs_addresses_here", lambda: found)
    monkeypatch.setattr(nodes_module, "latest_address_here", lambda: latest)


@pytest.mark.parametrize(
    ("argument", "variable", "meant"),
    [
        (None, None, None),
        ("local", None, None),
        ("10.0.0.1:6379", None, "10.0.0.1:6379"),
        ("[::1]:6379", None, "[::1]:6379"),
        (None, "10.0.0.2:6379", "10.0.0.2:6379"),
        (None, "local", None),
        ("10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.1:6379"),
        ("local", "10.0.0.2:6379", None),
        ("auto", "10.0.0.2:6379", "10.0.0.2:6379"),
    ],
)
def test_which_cluster_is_meant(argument, variable, meant, monkeypatch) -> None:
    if variable:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    assert nodes_module.cluster_address(argument) == meant


def test_auto_is_the_ray_that_runs_here(monkeypatch) -> None:
    running(monkeypatch, {"10.0.0.1:1"}, None)
    assert nodes_module.cluster_address("auto") == "10.0.0.1:1"
    # of several, the one started last; a record of one that is gone does not count
    running(monkeypatch, {"10.0.0.1:1", "10.0.0.1:2"}, "10.0.0.1:2")
    assert nodes_module.cluster_address("auto") == "10.0.0.1:2"
    running(monkeypatch, {"10.0.0.1:1", "10.0.0.1:2"}, "10.0.0.1:3")
    with pytest.raises(SearchError, match=r"several Rays run .*10\.0\.0\.1:1.*; give one"):
        nodes_module.cluster_address("auto")
    running(monkeypatch, set(), None)
    with pytest.raises(SearchError, match="but none does; leave --address out"):
        nodes_module.cluster_address("auto")


@pytest.mark.parametrize("variable", [False, True])
def test_ray_client_is_refused_with_the_way_out(variable, monkeypatch) -> None:
    if variable:
        monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(ConfigError, match="finrl-ray submit CONFIG"):
        nodes_module.cluster_address(None if variable else "ray://head:10001")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://127.0.0.1:8265", "finrl-ray submit CONFIG --address http://127.0.0.1:8265"),
        ("head", "must be auto, local or host:port"),
        ("head:port", "must be auto, local or host:port"),
        ("head:70000", "must be auto, local or host:port"),
        (":6379", "must be auto, local or host:port"),
    ],
)
def test_what_is_no_address_is_refused(address, words) -> None:
    with pytest.raises(ConfigError, match=words):
        nodes_module.cluster_address(address)


def test_an_address_at_which_nothing_answers_is_said_in_seconds() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    started = time.monotonic()
    with pytest.raises(SearchError, match="no Ray can be reached at"):
        nodes_module.require_reachable(address)
    assert time.monotonic() - started < nodes_module._CONNECT_S + 1


def test_rays_own_complaint_of_versions_is_put_in_plain_words() -> None:
    theirs = {"ray_version": "2.9.3", "python_version": "3.9.18"}
    with pytest.raises(RuntimeError, match="Version mismatch") as caught:
        utils.check_version_info(theirs, "10.0.0.1", raise_on_mismatch=True)
    said = nodes_module.join_error("10.0.0.1:6379", caught.value)
    assert "10.0.0.1:6379 runs Ray 2.9.3 on Python 3.9.18" in said
    assert f"this process has Ray {nodes_module.ray.__version__}" in said


def test_other_complaints_keep_their_words() -> None:
    assert "no luck" in nodes_module.join_error("h:1", RuntimeError("no luck"))
    refused = nodes_module.join_error("h:1", RuntimeError("Authentication token is missing"))
    assert "asks for a token, and none is presented" in refused


class _Answer(http.server.BaseHTTPRequestHandler):
    status, body = 200, b""

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Answer) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "is_one"),
    [
        (200, json.dumps({"authentication_mode": "token"}).encode(), True),
        (200, b"<html>another server</html>", False),
        (200, b'{"mode": 1}', False),
        (401, b"", True),
        (404, b"", False),
    ],
)
def test_a_dashboard_is_told_from_other_servers(server, status, body, is_one, monkeypatch) -> None:
    monkeypatch.setattr(_Answer, "status", status)
    monkeypatch.setattr(_Answer, "body", body)
    assert nodes_module.dashboard_answers(server) is is_one


def test_no_dashboard_at_a_free_port() -> None:
    assert not nodes_module.dashboard_answers("http://127.0.0.1:1")


def test_a_node_that_is_gone_is_left_out_and_one_that_hangs_is_an_error(
    monkeypatch, caplog
) -> None:
    nodes = [
        {"NodeID": name * 56, "Alive": True, "Resources": {"CPU": 1}, "NodeManagerAddress": name}
        for name in ("a", "b")
    ]
    answers: list[Any] = [True, ray.exceptions.TaskUnschedulableError("no such node")]

    def get(number: int, timeout: float) -> Any:
        if isinstance(answers[number], Exception):
            raise answers[number]
        return answers[number]

    def sent() -> Any:
        numbers = iter(range(2))
        asked = SimpleNamespace(remote=lambda: next(numbers))
        return lambda question: SimpleNamespace(options=lambda **kwargs: asked)

    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    monkeypatch.setattr(ray, "get", get)
    monkeypatch.setattr(ray, "remote", lambda **kwargs: sent())
    assert nodes_module._on_each_node(bool) == {"a (aaaaaa)": True}
    assert "node b (bbbbbb) is gone and is not counted on" in caplog.text
    answers[1] = ray.exceptions.GetTimeoutError("late")
    with pytest.raises(SearchError, match=r"node b \(bbbbbb\) of the cluster does not answer"):
        nodes_module._on_each_node(bool)
