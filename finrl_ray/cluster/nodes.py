"""Which Ray is meant by an address, whether it can be joined, and what its nodes can do.

Ray waits two minutes for an address at which nothing answers, and 20 seconds for one that refuses
the token. What can be known before is asked before, in seconds, and said in plain words.
"""

import importlib
import json
import logging
import os
import re
import socket
import urllib.error
from pathlib import Path
from typing import Any

import ray

from finrl_ray.cluster.proxies import opener_for
from finrl_ray.cluster.ray_internals import (
    ADDRESS_VARIABLE,
    GRPC_OPTIONS,
    dashboard_in_store,
    dashboard_of_connection,
    gcs_addresses_here,
    gcs_modules,
    latest_address_here,
    read_settings_again,
    read_token_again,
)
from finrl_ray.cluster.security import (
    MODE_VARIABLE,
    host_of,
    read_token,
    token_into_environment,
    token_mode_wanted,
    token_place,
)
from finrl_ray.errors import ConfigError, SearchError

MAX_CPUS_VARIABLE = "FINRL_RAY_MAX_CPUS"
logger = logging.getLogger(__name__)

_NODE_GONE = (
    ray.exceptions.TaskUnschedulableError,
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.NodeDiedError,
)

_CONNECT_S = 5.0
_DASHBOARD_S = 3.0
_NODES_S = 120.0
_CLIENT_REFUSAL = (
    "{address} is an address of Ray Client, under which a search would run in a process of the "
    "cluster and end with this connection: its folder would be written there, Ctrl-C would not "
    "reach it, and nothing would be shown here. Use `finrl-ray submit CONFIG`, which does the same "
    "safely and fetches the results, or join the cluster from one of its nodes with --address auto"
)


def cluster_address(address: str | None) -> str | None:
    """Return the cluster that is meant, as `host:port`; None for a Ray of our own.

    Parameters
    ----------
    address : `auto` (the Ray that runs on this machine), `host:port` of a head, or `local`; None:
        what RAY_ADDRESS says, or else `local`

    Raises
    ------
    ConfigError
        If it is no address that a search can run under.
    SearchError
        If it is `auto` and no Ray, or more than one, runs on this machine.
    """
    named = os.environ.get(ADDRESS_VARIABLE, "")
    if not address or (address == "auto" and named not in ("", "local")):
        address = named
    if not address or address == "local":
        return None
    if address == "auto":
        return _running_here()
    if address.startswith("ray://"):
        raise ConfigError(_CLIENT_REFUSAL.format(address=address))
    if "://" in address:
        raise ConfigError(
            f"a search joins Ray at host:port of its head (6379 by default), got {address}, which "
            f"is a dashboard's: finrl-ray submit CONFIG --address {address}"
        )
    _split(address)
    return address


def local_rays() -> list[str]:
    """Return the `host:port` of every Ray that runs on this machine, the latest first."""
    found = sorted(gcs_addresses_here())
    latest = latest_address_here()
    return sorted(found, key=lambda one: one != latest)


def _running_here() -> str:
    running = local_rays()
    if not running:
        raise SearchError(
            "--address auto joins the Ray that runs on this machine, but none does; leave "
            "--address out to start one, or give host:port of a cluster's head"
        )
    if len(running) > 1 and running[0] != latest_address_here():
        raise SearchError(
            f"--address auto is not clear: several Rays run on this machine, at {running}; give one"
        )
    return running[0]


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(
            f"a Ray address must be auto, local or host:port (such as 10.0.0.1:6379), got "
            f"{address!r}"
        )
    return host.strip("[]"), int(port)


def require_reachable(address: str) -> None:
    """Check in seconds that a Ray answers at `host:port` and takes our token.

    Raises
    ------
    SearchError
        If nothing answers, what answers is no Ray, or the token is missing or another.
    """
    host, port = _split(address)
    try:
        socket.create_connection((host, port), timeout=_CONNECT_S).close()
    except OSError as error:
        raise SearchError(
            f"no Ray can be reached at {address}: {error}. Is the head running, is the port its "
            "GCS port (6379 by default), and does a firewall lie between? From outside a cluster "
            "use `finrl-ray submit` through an SSH tunnel"
        ) from error
    if os.environ.get("RAY_USE_TLS", "0").lower() not in ("1", "true"):
        _require_token(address)


def _require_token(address: str) -> None:
    try:
        import grpc

        messages, stubs = gcs_modules()
    except ImportError:  # another layout of Ray: it says so itself, only later
        return
    token = read_token() if token_mode_wanted() else None
    metadata = [("authorization", f"Bearer {token}")] if token else []
    # through no proxy, as Ray itself asks
    with grpc.insecure_channel(address, options=GRPC_OPTIONS) as channel:
        stub = stubs.NodeInfoGcsServiceStub(channel)
        try:
            stub.GetClusterId(messages.GetClusterIdRequest(), timeout=_CONNECT_S, metadata=metadata)
        except grpc.RpcError as error:
            status = error.code()
            if status == grpc.StatusCode.UNAUTHENTICATED:
                raise SearchError(token_refused(address, token is not None)) from None
            raise SearchError(
                f"what answers at {address} is no Ray head ({status.name.lower()}); the address of "
                "a search is the head's GCS port (6379 by default), not the dashboard's (8265) and "
                "not Ray Client's (10001)"
            ) from None


def present_token() -> None:
    """Let this process present its token to a Ray that it joins; Ray does so only when told."""
    if not token_mode_wanted():
        return
    os.environ[MODE_VARIABLE] = "token"
    token_into_environment()
    read_settings_again()
    read_token_again()


def token_refused(address: str, had_token: bool) -> str:
    """Return what to do when a cluster refuses us; no part of the token is in it."""
    if had_token:
        return (
            f"the Ray at {address} refuses the token from {token_place()}: copy the file "
            "~/.ray/auth_token of the cluster's head, or set RAY_AUTH_TOKEN"
        )
    return (
        f"the Ray at {address} asks for a token, and none is presented: copy the file "
        "~/.ray/auth_token of the cluster's head to the same place here (mode 600), or set "
        "RAY_AUTH_TOKEN; RAY_AUTH_MODE must be token or unset"
    )


def join_error(address: str, error: Exception) -> str:
    """Return in plain words why Ray could not join `address`."""
    text = str(error)
    if "Version mismatch" in text:
        found = re.findall(r"Ray: (\S+)\s+Python: (\S+)", text)
        theirs, ours = (f"Ray {r} on Python {p}" for r, p in (found + [("?", "?")] * 2)[:2])
        return (
            f"the cluster at {address} runs {theirs}, but this process has {ours}; they must be "
            "equal (Python to its minor version). Install the cluster's versions here, or use "
            "`finrl-ray submit`, which runs the search with the cluster's own"
        )
    if "auth" in text.lower() and "token" in text.lower():
        return token_refused(address, token_mode_wanted())
    return f"the Ray at {address} could not be joined: {text}"


def require_workers(version: str) -> None:
    """Check that each node that can run trials has this version of finrl_ray; Ray is connected.

    Raises
    ------
    SearchError
        With the nodes that lack it, or have another.
    """

    def installed() -> str:
        try:
            package = importlib.import_module("finrl_ray")
        except ImportError as error:
            return f"cannot import it: {error}"
        return str(package.__version__)

    answers = _on_each_node(installed)
    wrong = {ip: found for ip, found in answers.items() if found != version}
    if wrong:
        listed = "; ".join(f"{ip} {found}" for ip, found in sorted(wrong.items())[:5])
        raise SearchError(
            f"every node must have finrl_ray {version}, the version here, but {len(wrong)} of "
            f"{len(answers)} have not: {listed}. Install it there (setup_commands of cluster.yaml) "
            "or use `finrl-ray submit`, which takes it along"
        )


def require_shared(folder: Path) -> None:
    """Check that each other node that can run trials sees `folder`, which is here.

    Raises
    ------
    SearchError
        With the nodes on which it is not there.
    """
    name = str(folder)

    def visible() -> bool:
        return os.path.isdir(name)  # noqa: PTH112  # runs on nodes, by value, without our imports

    seen_on = _on_each_node(visible, but=_own_node())
    blind = sorted(ip for ip, seen in seen_on.items() if not seen)
    if blind:
        raise SearchError(
            f"search.storage_path must be a folder that every node sees, but {folder} is not there "
            f"on {', '.join(blind[:5])}; use a shared folder or a storage URL"
        )


def _own_node() -> str:
    return str(ray.get_runtime_context().get_node_id())


def _on_each_node(question: Any, but: str = "") -> dict[str, Any]:
    """Return the answers of `question`, run once on each node with CPUs, by the node's address.

    A node that dies meanwhile, or is dead without Ray knowing it, is left out.

    Raises
    ------
    SearchError
        If a node that lives does not answer.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # a function inside a function is sent by value, so that nodes without finrl_ray can answer
    task = ray.remote(num_cpus=0, max_retries=1)(question)
    asked = {}
    nodes = ray.nodes()
    for node in nodes:
        able = node["Alive"] and node["Resources"].get("CPU", 0) > 0
        if able and node["NodeID"] != but:
            place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            label = f"{node['NodeManagerAddress']} ({node['NodeID'][:6]})"
            asked[label] = task.options(scheduling_strategy=place).remote()
    answers = {}
    for label, one in asked.items():
        try:
            answers[label] = ray.get(one, timeout=_NODES_S)
        except _NODE_GONE as error:
            logger.warning("node %s is gone and is not counted on: %s", label, error)
        except ray.exceptions.RayError as error:
            raise SearchError(f"node {label} of the cluster does not answer: {error}") from error
    return answers


def most_cpus() -> float:
    """Return the CPUs that the connected Ray has, or can grow to as FINRL_RAY_MAX_CPUS says.

    A cluster that grows with its work has no CPUs before the first trial, and Ray does not tell how
    far it can grow; the cluster files do, by this variable on the head.

    Raises
    ------
    ConfigError
        If the variable is no number.
    """
    resources: dict[str, float] = ray.cluster_resources()
    named = os.environ.get(MAX_CPUS_VARIABLE, "0")
    try:
        limit = float(named)
    except ValueError:
        raise ConfigError(f"{MAX_CPUS_VARIABLE} must be a number of CPUs, got {named!r}") from None
    return max(resources.get("CPU", 0.0), limit)


def current_dashboard() -> str | None:
    """Return the URL of the connected Ray's dashboard; None if it has none that answers."""
    if not ray.is_initialized():
        return None
    url = dashboard_of_connection()
    return f"http://{url}" if url and dashboard_answers(f"http://{url}") else None


def dashboard_of(address: str) -> str | None:
    """Return the URL of the dashboard of the Ray at `host:port`; None if none answers.

    Raises
    ------
    SearchError
        If that Ray cannot be reached, or refuses our token.
    """
    require_reachable(address)
    present_token()
    found = dashboard_in_store(address)
    url = f"http://{found}" if found else ""
    # a Ray without one names an address all the same
    return url if url and dashboard_answers(url) else None


def dashboard_answers(url: str, *, direct: bool = True) -> bool:
    """Return whether a Ray dashboard answers at `url`, with or without asking for a token.

    Parameters
    ----------
    url : of the dashboard
    direct : through no proxy, as for an address that Ray has told; otherwise as the environment
        says, except on loopback
    """
    try:
        opener = opener_for(url, direct=direct)
        with opener.open(f"{url}/api/authentication_mode", timeout=_DASHBOARD_S) as reply:
            return "authentication_mode" in json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code in (401, 403) and bool(host_of(url))
    except (OSError, ValueError):
        return False
