"""A Ray cluster of several nodes on this machine: each node a raylet with its own loopback address.

The nodes share this machine's disk, as nodes of a real cluster share a folder. Only loopback is
used, with a token and ports of its own, and only processes of this cluster are ever killed.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

REPOSITORY = Path(__file__).parents[2]
INJECT = Path(__file__).parent / "inject"
_TOO_SLOW = "timed out during startup"
HEAD = "127.0.0.2"
"""Ray replaces 127.0.0.1 by the address of a network card; other loopback addresses stay."""


class LocalNodes:
    """A head without CPUs; nodes are added, killed and brought back by their address.

    Every start of a trial on it leaves a note, see `starts`; `plan` says what happens in trials.
    """

    def __init__(self) -> None:
        # Ray's socket paths must stay below 108 characters
        self.folder = Path(tempfile.mkdtemp(prefix="fc", dir=tempfile.gettempdir()))
        token = self.folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32), encoding="utf-8")
        self.address = f"{HEAD}:{_free_port()}"
        self.driver_env = {
            "RAY_ADDRESS": self.address,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
        }
        self.notes = self.folder / "notes"
        self.notes.mkdir()
        paths = [str(INJECT), str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
        self.env = {
            **os.environ,
            **self.driver_env,
            "RAY_TMPDIR": str(self.folder),
            # else Ray's processes write their titles over it, and are not found
            "SPT_NOENV": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "FINRL_RAY_SEEN": str(self.notes),
            "FINRL_RAY_FAULTS": str(self.folder / "plan.json"),
        }
        self.plan()
        try:
            self._start("--head", f"--port={self.address.rpartition(':')[2]}", HEAD, cpus=0)
        except BaseException:
            self.close()
            raise

    def add(self, ip: str, *, cpus: float = 1, gpus: int = 0) -> None:
        """Start a node, or bring one back that was killed."""
        self._start(f"--address={self.address}", ip, cpus=cpus, gpus=gpus)

    def _start(self, *arguments: str, cpus: float, gpus: int = 0) -> None:
        while (problem := self._try_to_start(*arguments, cpus=cpus, gpus=gpus)) is not None:
            # Ray gives a node 30 seconds, whatever else the machine has to do
            assert _TOO_SLOW in problem, f"the node {arguments[-1]} did not start\n{problem}"
            for process in self.processes():
                if f"--node_ip_address={arguments[-1]}" in process.cmdline() or cpus == 0:
                    _kill(process)

    def _try_to_start(self, *arguments: str, cpus: float, gpus: int) -> str | None:
        """Start a node; return what was said if that has failed."""
        *options, ip = arguments
        options += ["--include-dashboard=false", f"--temp-dir={self.folder}"] * (ip == HEAD)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "ray.scripts.scripts", "start", *options),
                f"--node-ip-address={ip}",
                f"--num-cpus={cpus}",
                f"--num-gpus={gpus}",
                "--object-store-memory=100000000",
                "--disable-usage-stats",
            ],
            # the nodes' own address is theirs, not one to join
            env={k: v for k, v in self.env.items() if k != "RAY_ADDRESS"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,  # as long as a busy machine may take
            check=False,
        )
        return done.stdout[-2000:] if done.returncode else None

    def plan(self, *faults: dict[str, Any]) -> None:
        """Set what happens to trials that begin from here on, see inject/sitecustomize.py."""
        unfinished = self.folder / "plan.unfinished"
        unfinished.write_text(json.dumps({"driver": "", "faults": faults}), encoding="utf-8")
        unfinished.replace(self.folder / "plan.json")

    def struck(self, fault: dict[str, Any]) -> bool:
        """Return whether a trial has come to the moment of a fault of the plan."""
        return (self.folder / f"fired-{fault['name']}").exists()

    def starts(self, since: float) -> list[dict[str, Any]]:
        """The starts of trials after a time: `sample`, `node`, `cuda`, `started`, `ended`."""
        found = self.notes.glob("*.json")
        notes = [json.loads(path.read_text(encoding="utf-8")) for path in found]
        return [note for note in notes if note["started"] >= since]

    def raylet(self, ip: str) -> psutil.Process:
        """The raylet of a node."""
        (found,) = [
            process
            for process in self.processes()
            if process.name() == "raylet" and f"--node_ip_address={ip}" in process.cmdline()
        ]
        return found

    def kill(self, ip: str) -> None:
        """Kill a node at once, as a power cut does: its raylet and everything below it."""
        raylet = self.raylet(ip)
        lost = [raylet, *raylet.children(recursive=True)]
        for process in lost:
            _kill(process)
        psutil.wait_procs(lost, timeout=600)

    def processes(self) -> list[psutil.Process]:
        """Every process of this cluster that is alive."""
        return [p for p in psutil.process_iter() if self._is_ours(p)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            return alive and process.environ().get("RAY_TMPDIR") == str(self.folder)
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            return False

    def close(self) -> None:
        """Kill what is left of the cluster and delete its files."""
        deadline = time.monotonic() + 600
        while (left := self.processes()) and time.monotonic() < deadline:
            for process in left:
                _kill(process)
            psutil.wait_procs(left, timeout=5)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "LocalNodes":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _kill(process: psutil.Process) -> None:
    try:
        process.send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HEAD, 0))
        return int(probe.getsockname()[1])
