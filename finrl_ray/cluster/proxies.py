"""HTTP without the environment's proxies on loopback and in clusters, and through them elsewhere.

A proxy never reaches this machine's own loopback, and seldom a cluster that Ray itself is joined
without one. `no_proxy` counts as for every other program.
"""

import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from finrl_ray.cluster.security import host_of, is_loopback
from finrl_ray.support.environment_variables import environment

_EXCEPTIONS = ("no_proxy", "NO_PROXY")


def proxy_for(url: str) -> str:
    """Return the proxy that the environment names for a URL, without its user; empty if none."""
    host = host_of(url)
    if is_loopback(host):
        return ""
    proxies = urllib.request.getproxies()
    found = proxies.get(urlsplit(url).scheme) or proxies.get("all") or ""
    if not found or urllib.request.proxy_bypass(host):
        return ""
    scheme, separator, rest = found.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}".rstrip("/")


def proxy_words(url: str) -> str:
    """Return how a URL was asked for, to be put into an error; empty if directly."""
    proxy = proxy_for(url)
    if not proxy:
        return ""
    return (
        f" through the proxy {proxy} that the environment names; put {host_of(url)} into no_proxy "
        "if it is reached directly"
    )


def opener_for(url: str, *, direct: bool = False) -> urllib.request.OpenerDirector:
    """Return what opens a URL: directly, if asked or on loopback, or as the environment says."""
    if direct or is_loopback(host_of(url)):
        return urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener()


@contextmanager
def without_proxy(url: str) -> Iterator[None]:
    """Let every client that reads the environment reach a URL's host directly in the block."""
    host = host_of(url)
    kept = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    # lower case wins, and some read one of the two alone
    with environment(dict.fromkeys(_EXCEPTIONS, ",".join(filter(None, [kept, host])))):
        yield
