"""A Ray of our own: who listens where, in which folder it is, and that it ends with its driver."""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from processes import LONGEST_S, run, started, wait_until
from repository import REPOSITORY

from finrl_ray.cluster import temp_folder
from finrl_ray.cluster.process_guard import marked
from finrl_ray.cluster.security import is_loopback
from finrl_ray.cluster.temp_folder import default_ray_folder, longest_path
from finrl_ray.errors import ConfigError

SCALING = REPOSITORY / "docs/scaling.md"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="sockets and folders of Linux")

DRIVER = """
import json, os, sys, time
import ray
from finrl_ray.cluster.nodes import current_dashboard, local_rays
from finrl_ray.cluster.session import ray_session
with ray_session({}, address="local", num_cpus=1, dashboard=True):
    node = ray._private.worker._global_node
    worker, tmpdir = ray.get(ray.remote(lambda: (os.getpid(), os.environ["TMPDIR"])).remote())
    print(json.dumps({
        "worker": worker, "worker_tmpdir": tmpdir, "address": node.gcs_address,
        "dashboard": current_dashboard(), "session": node.get_session_dir_path(),
        "mark": open(f"/proc/{worker}/environ").read().split("FINRL_RAY_OWN_RAY=")[1][:32],
    }), flush=True)
    time.sleep(3600)
"""
JOINING = """
import os, sys
import ray
from finrl_ray.cluster.session import ray_session
with ray_session({}, address=sys.argv[1]):
    print(ray.get(ray.remote(lambda: os.getppid()).remote()), ray.nodes()[0]["NodeManagerAddress"])
"""


@dataclass(frozen=True)
class OwnRay:
    """A Ray of our own in another process."""

    process: "subprocess.Popen[str]"
    facts: dict[str, str]
    variables: dict[str, str]
    log: Path

    def family(self) -> list[psutil.Process]:
        driver = psutil.Process(self.process.pid)
        return [driver, *driver.children(recursive=True)]


@pytest.fixture(scope="module")
def own_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRay]:
    """Started as under SLURM: a deep TMPDIR; and with a proxy that leads nowhere."""
    home = tmp_path_factory.mktemp("home")
    deep = home / ("job_" + "x" * 90) / "tmp"
    deep.mkdir(parents=True)
    token = home / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    proxies = {f"{kind}_proxy": "http://127.0.0.1:9" for kind in ("http", "https", "grpc")}
    variables = {
        **kept,
        **proxies,
        "TMPDIR": str(deep),
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_AUTH_MODE": "token",
    }
    command = [sys.executable, "-c", DRIVER]
    log = home / "log"
    with (
        log.open("w") as errors,
        started(
            command, env=variables, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        yield OwnRay(process, json.loads(line), variables, log)


def sockets(process: psutil.Process) -> set[str]:
    try:
        found = process.net_connections("inet")
    except psutil.NoSuchProcess:  # a worker that was idle
        return set()
    return {c.laddr.ip for c in found if c.status == psutil.CONN_LISTEN}


def kind_of(process: psutil.Process) -> str:
    """What docs/scaling.md calls a process."""
    command = " ".join(process.cmdline())
    known = {
        "gcs/gcs_server": "gcs_server",
        "raylet/raylet": "raylet",
        "dashboard/dashboard.py": "dashboard",
        "_private/monitor.py": "monitor",
        "ray::DashboardAgent": "DashboardAgent",
        "ray::RuntimeEnvAgent": "RuntimeEnvAgent",
    }
    first = next((name for part, name in known.items() if part in command.split(" --")[0]), "")
    return first or ("worker" if command.startswith("ray::") else process.name())


def documented() -> set[str]:
    """The processes of the table of docs/scaling.md that a Ray of our own has."""
    rows = re.findall(r"^\| `(\w+)`[^|]*\| [^|]*\| 127\.0\.0\.1 ", SCALING.read_text("utf-8"), re.M)
    assert rows, "the table of docs/scaling.md has changed its form"
    return set(rows)


@LINUX
@pytest.mark.slow
def test_every_socket_is_on_loopback_and_every_listener_is_in_the_docs(own_ray: OwnRay) -> None:
    expected = documented() - {"driver"}

    def listening() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for process in own_ray.family()[1:]:
            addresses = sockets(process)
            if addresses:
                found[kind_of(process)] = found.get(kind_of(process), set()) | addresses
        return found

    # the agents open theirs some seconds after the start
    # (the only port of `monitor` may be taken by another Ray of this machine)
    certain = expected - {"monitor"}
    wait_until(lambda: certain <= set(listening()), what=f"all of {sorted(certain)} listen")
    assert set(listening()) <= expected
    own = sockets(own_ray.family()[0])
    everywhere = set.union(own, *listening().values())
    outside = {ip for ip in everywhere if not is_loopback(ip.removeprefix("::ffff:"))}
    assert not outside
    assert own


@LINUX
@pytest.mark.slow
def test_the_dashboard_asks_for_the_token_behind_a_proxy_too(own_ray: OwnRay) -> None:
    url = own_ray.facts["dashboard"]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(urllib.error.HTTPError, match="401"):
        opener.open(f"{url}/api/version", timeout=LONGEST_S)
    token = Path(own_ray.variables["RAY_AUTH_TOKEN_PATH"]).read_text()
    request = urllib.request.Request(
        f"{url}/nodes?view=summary", headers={"Authorization": f"Bearer {token}"}
    )
    with opener.open(request, timeout=LONGEST_S) as reply:
        (node,) = json.load(reply)["data"]["summary"]
    assert node["raylet"]["nodeManagerAddress"] == "127.0.0.1"


@LINUX
@pytest.mark.slow
@pytest.mark.parametrize("named", ["address", "localhost"])
def test_another_process_of_the_machine_can_join_it(own_ray: OwnRay, named: str) -> None:
    address = own_ray.facts["address"]
    assert address.startswith("127.0.0.1:")
    if named == "localhost":
        address = address.replace("127.0.0.1", "localhost")
    done = run([sys.executable, "-c", JOINING, address], env=own_ray.variables, check=True)
    raylet, node = done.stdout.split()
    assert psutil.Process(int(raylet)).name() == "raylet", done.stderr
    assert node == "127.0.0.1"


@LINUX
@pytest.mark.slow
def test_under_a_long_tmpdir_it_is_in_a_short_folder_of_the_user_and_says_so(
    own_ray: OwnRay,
) -> None:
    session = Path(own_ray.facts["session"])
    closed = session.parent.parent
    assert closed.parent in (Path("/tmp"), Path("/var/tmp"))
    assert closed.stat().st_mode & 0o777 == 0o700
    assert closed.stat().st_uid == os.getuid()
    said = own_ray.log.read_text()
    assert said.count("is too long for Ray's sockets") == 1
    assert f"Ray's files are in {session.parent}" in said
    assert own_ray.facts["worker_tmpdir"] == own_ray.variables["TMPDIR"]


@LINUX
@pytest.mark.slow
def test_nothing_of_it_outlives_a_killed_driver(own_ray: OwnRay) -> None:
    family = own_ray.family()
    mark = own_ray.facts["mark"]
    parts = {"gcs_server", "raylet", "worker", "DashboardAgent", "RuntimeEnvAgent"}
    # a worker takes its name some time after it has started
    wait_until(lambda: parts <= {kind_of(one) for one in marked(mark)})
    os.kill(own_ray.process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(family, timeout=LONGEST_S)
    assert [one.name() for one in alive] == []
    assert marked(mark) == []


def test_a_short_tmpdir_is_left_to_ray(monkeypatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/tmp/x")
    assert temp_folder.ray_folder() == default_ray_folder()


@LINUX
def test_a_ray_tmpdir_that_is_too_long_is_refused_with_both_numbers(monkeypatch) -> None:
    most = longest_path() - len("/ray")
    longest = "/" + "x" * (most - 1)
    monkeypatch.setenv("RAY_TMPDIR", longest)
    assert temp_folder.ray_folder() == Path(longest) / "ray"
    monkeypatch.setenv("RAY_TMPDIR", longest + "y")
    words = rf"at most {most} bytes.*\({most + 1} bytes\); set RAY_TMPDIR=/tmp/r"
    with pytest.raises(ConfigError, match=words):
        temp_folder.ray_folder()


@LINUX
def test_the_longest_path_that_is_allowed_fits_rays_sockets(monkeypatch) -> None:
    from ray._private.utils import validate_socket_filepath

    folder = "/" + "x" * (longest_path() - 1)
    session = f"{folder}/session_2026-11-29_16-27-22_179123_{os.getpid()}"
    for name in ("plasma_store", "raylet", "dash_ReportHead", "dash_MetricsHead"):
        validate_socket_filepath(f"{session}/sockets/{name}")
    with pytest.raises(OSError, match="AF_UNIX path length"):
        validate_socket_filepath(f"{session}/sockets/dash_MetricsHead.")


@LINUX
def test_a_folder_that_somebody_else_has_made_is_not_used(monkeypatch, tmp_path) -> None:
    base = Path(tempfile.mkdtemp(prefix="b", dir="/tmp"))
    try:
        monkeypatch.setattr(temp_folder, "_SHORT_BASES", (str(base),))
        monkeypatch.delenv("RAY_TMPDIR", raising=False)
        monkeypatch.setenv("TMPDIR", "/" + "x" * 90)
        theirs = base / f"ray-{os.getuid()}"
        theirs.symlink_to(tmp_path)
        taken = temp_folder.ray_folder()
        assert taken.name == "ray"
        assert taken.parent.parent == base
        assert taken.parent != theirs
        assert taken.parent.stat().st_mode & 0o777 == 0o700
        theirs.unlink()
        theirs.mkdir(mode=0o755)
        assert temp_folder.ray_folder() == theirs / "ray"
        assert theirs.stat().st_mode & 0o777 == 0o700
    finally:
        run(["rm", "-r", str(base)])
