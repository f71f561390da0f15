"""Proxies of the environment: never to loopback; elsewhere as `no_proxy` says, and named."""

import http.server
import os
import threading
from collections.abc import Iterator

import pytest
import requests

from finrl_ray.cli.cluster import _dashboard_at
from finrl_ray.cluster.proxies import opener_for, proxy_for, proxy_words, without_proxy
from finrl_ray.errors import SearchError
from finrl_ray.jobs.client import JobServer

NAMES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy", "no_proxy")
FAR = "http://10.255.255.1:8265"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*NAMES, *map(str.upper, NAMES), "RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")


class _Answers(http.server.BaseHTTPRequestHandler):
    """Answers every request, also one meant for another host, with the server's status."""

    def do_GET(self) -> None:
        """Answer as a proxy does that has a page of its own to show."""
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()
        self.wfile.write(b"<html>the proxy's own page</html>")

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture
def proxy() -> Iterator[http.server.HTTPServer]:
    """A proxy that lets nothing through."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.asked, server.status = [], 403  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("variables", "url", "expected"),
    [
        ({}, FAR, ""),
        ({"http_proxy": "http://p:3128"}, FAR, "http://p:3128"),
        ({"HTTP_PROXY": "http://p:3128/"}, FAR, "http://p:3128"),
        ({"https_proxy": "http://p:3128"}, FAR, ""),
        ({"https_proxy": "http://p:3128"}, "https://ray.example", "http://p:3128"),
        ({"all_proxy": "socks5h://p:1080"}, FAR, "socks5h://p:1080"),
        ({"http_proxy": "http://me:secret@p:3128"}, FAR, "http://p:3128"),
        ({"http_proxy": "p:3128", "no_proxy": "10.255.255.1"}, FAR, ""),
        ({"http_proxy": "p:3128", "no_proxy": ".example"}, "http://ray.example:8265", ""),
        ({"http_proxy": "p:3128", "NO_PROXY": "*"}, FAR, ""),
        ({"http_proxy": "p:3128", "no_proxy": "example.org"}, FAR, "p:3128"),
        ({"http_proxy": "p:3128"}, "http://127.0.0.1:8265", ""),
        ({"http_proxy": "p:3128"}, "http://127.8.8.8:8265", ""),
        ({"http_proxy": "p:3128"}, "http://[::1]:8265", ""),
        ({"http_proxy": "p:3128"}, "http://localhost:8265", ""),
    ],
)
def test_which_proxy_is_meant(variables, url, expected, monkeypatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url) == expected
    assert (expected in proxy_words(url)) if expected else proxy_words(url) == ""


def test_loopback_is_opened_directly_and_other_hosts_as_the_environment_says(
    proxy, monkeypatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
    proxy.status = 200
    own = f"http://127.0.0.1:{proxy.server_port}/own"
    opener_for(own).open(own, timeout=600).close()
    opener_for("http://far.example/x").open("http://far.example/x", timeout=600).close()
    # a proxy is asked for the whole URL, a server for the path
    assert proxy.asked == ["/own", "http://far.example/x"]


@pytest.mark.parametrize("kept", [None, "corp.example"])
def test_clients_that_read_the_environment_are_led_past(proxy, monkeypatch, kept) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    if kept:
        monkeypatch.setenv("NO_PROXY", kept)
    before = dict(os.environ)
    url = f"http://127.0.0.1:{proxy.server_port}/own"
    with pytest.raises(requests.exceptions.ProxyError):
        requests.get(url, timeout=600)
    with without_proxy(url):
        assert requests.get(url, timeout=600).status_code == 403
        assert not kept or kept in os.environ["no_proxy"]
    assert dict(os.environ) == before


def test_a_job_server_behind_a_dead_proxy_is_blamed_on_the_proxy(monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", "http://me:secret@127.0.0.1:9")
    with pytest.raises(
        SearchError, match=r"through the proxy http://127\.0\.0\.1:9 that"
    ) as caught:
        JobServer(FAR)
    assert "put 10.255.255.1 into no_proxy" in str(caught.value)
    assert "secret" not in str(caught.value)
    with pytest.raises(SearchError, match=r"no Ray dashboard answers for .* through the proxy"):
        _dashboard_at(FAR)


@pytest.mark.parametrize("status", [200, 403, 407, 502])
def test_what_a_proxy_answers_is_not_taken_for_rays(proxy, monkeypatch, status) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
    proxy.status = status
    with pytest.raises(SearchError, match="through the proxy"):
        JobServer(FAR)
    assert proxy.asked


def test_a_proxy_of_a_kind_that_is_not_installed(monkeypatch) -> None:
    monkeypatch.setenv("all_proxy", "nonsense://127.0.0.1:9")
    with pytest.raises(SearchError, match="through the proxy nonsense://"):
        JobServer(FAR)
