"""Private names of Ray's core, under public ones, each with the reason why it is needed.

Tried with Ray 2.60.0. What an upgrade of Ray changes is here, in `tune_internals.py` and in
`scheduler_internals.py`; no other file may touch private names of Ray
(tests/cluster/test_ray_internals.py).
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray._private import node, ray_constants, services, utils
from ray._private.resource_and_label_spec import ResourceAndLabelSpec

ADDRESS_VARIABLE: str = ray_constants.RAY_ADDRESS_ENVIRONMENT_VARIABLE
"""The environment variable that names a cluster."""

CLUSTERS_VARIABLE: str = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
"""The environment variable that keeps a Ray on loopback addresses if it is 0."""

HOOK_VARIABLE: str = ray_constants.WORKER_PROCESS_SETUP_HOOK_ENV_VAR
"""The environment variable that names a function which each new worker runs; Ray sets it for its
option `worker_process_setup_hook`, which workers that are started ahead do not know."""

GRPC_OPTIONS = getattr(ray_constants, "GLOBAL_GRPC_OPTIONS", (("grpc.enable_http_proxy", 0),))
"""How Ray itself connects to a head: through no proxy."""


def options_of_own_ray(address: str, folder: str) -> dict[str, Any]:
    """Return the arguments of `ray.init` for a Ray at an address, with its files in a folder.

    Both are arguments that Ray documents as experimental, so that it may rename them.
    """
    return {"_node_ip_address": address, "_temp_dir": folder}


@contextmanager
def loopback_as_it_is() -> Iterator[None]:
    """Keep Ray from replacing a loopback address by that of a network card, on every system.

    It decides so when it is imported, by this constant, and the environment variable is read then.
    """
    constants: Any = ray_constants
    before = constants.ENABLE_RAY_CLUSTER
    constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def without_log_monitor() -> Iterator[None]:
    """Start Rays without the process that sends workers' output to drivers while the block runs.

    Ours has no driver that wants it (`log_to_driver=False`), and Ray has no option for it.
    """
    kind: Any = node.Node
    before = kind.start_log_monitor
    kind.start_log_monitor = lambda _: None
    try:
        yield
    finally:
        kind.start_log_monitor = before


def node_started_here() -> Any:
    """Return Ray's object of the node that this process has started; None on a joined cluster.

    Ray tells neither whether a process has started it, nor its processes, which are watched.
    """
    return ray._private.worker._global_node


def _connected_node() -> Any:
    return ray._private.worker.global_worker.node


def dashboard_of_connection() -> str | None:
    """Return `host:port` of the connected Ray's dashboard, which a driver is not told."""
    address: str | None = getattr(_connected_node(), "address_info", {}).get("webui_url")
    return address


def dashboard_in_store(gcs_address: str) -> str:
    """Return `host:port` of the dashboard of the Ray at an address; empty without one.

    The Ray is asked without being joined, which would take seconds and leave a driver behind.
    """
    raylet: Any = ray._raylet
    client = raylet.GcsClient(address=gcs_address)
    key, space = ray_constants.DASHBOARD_ADDRESS, ray_constants.KV_NAMESPACE_DASHBOARD
    found = client.internal_kv_get(key.encode(), space)
    return found.decode() if found else ""


def log_folder() -> str:
    """Return the folder of the connected node's logs, from which Ray's dashboard serves files."""
    return str(_connected_node().get_logs_dir_path())


def gcs_addresses_here() -> set[str]:
    """Return `host:port` of every Ray that runs on this machine; `ray.init` takes any of them."""
    found: set[str] = services.find_gcs_addresses()
    return found


def latest_address_here() -> str | None:
    """Return `host:port` of the Ray that was started last on this machine."""
    address: str | None = utils.read_ray_address(None)
    return address


def gcs_modules() -> tuple[Any, Any]:
    """Return the modules of messages and stubs by which a head is asked for its cluster's id.

    Ray itself waits for two minutes for a head that does not answer.

    Raises
    ------
    ImportError
        If this version of Ray has none.
    """
    messages = importlib.import_module("ray.core.generated.gcs_service_pb2")
    stubs = importlib.import_module("ray.core.generated.gcs_service_pb2_grpc")
    return messages, stubs


def read_settings_again() -> None:
    """Have Ray read its settings anew: it has read the environment when it was imported."""
    raylet: Any = ray._raylet
    if hasattr(raylet, "Config"):
        raylet.Config.initialize("")


def read_token_again() -> None:
    """Have Ray read its token anew: it keeps the one that this process needed first."""
    raylet: Any = ray._raylet
    if hasattr(raylet, "AuthenticationTokenLoader"):
        raylet.AuthenticationTokenLoader.instance().reset_cache()


def gpus_here() -> int:
    """Return the GPUs that Ray would offer on this machine, before one is started."""
    manager, number = ResourceAndLabelSpec._get_current_node_accelerator(None, {})
    return number if manager is not None and manager.get_resource_name() == "GPU" else 0
