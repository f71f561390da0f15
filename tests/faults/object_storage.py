"""An S3-speaking server on loopback that can go away: held up, or refusing connections.

The server is moto's, in an environment of its own (see s3-requirements.txt; `make .venv-s3`), as
its dependencies do not fit those of the package. Its data are in memory: to go away and come back
with them it is stopped by a signal, or a small proxy in front of it refuses connections.
"""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pyarrow.fs

PYTHON = Path(
    os.environ.get("FINRL_RAY_S3_PYTHON", Path(__file__).parents[2] / ".venv-s3/bin/python")
)
SERVER = """
import sys, time
from moto.server import ThreadedMotoServer
ThreadedMotoServer(ip_address="127.0.0.1", port=int(sys.argv[1])).start()
time.sleep(3600)
"""
KEY, SECRET, REGION = "tester", "a-secret-that-must-not-be-written", "us-east-1"
BUCKET = "bucket"
READY_S = 600.0


class ObjectStorage:
    """One server with one empty bucket, reached through a proxy that can be shut."""

    def __init__(self) -> None:
        self._port = _free_port()
        self._server = subprocess.Popen(
            [str(PYTHON), "-c", SERVER, str(self._port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._proxy = _Proxy(self._port)
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    @property
    def env(self) -> dict[str, str]:
        """The credentials, as a user has them."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def url(self, path: str) -> str:
        """A storage path inside the bucket, through the proxy."""
        endpoint = f"http://127.0.0.1:{self._proxy.port}"
        return f"s3://{BUCKET}/{path}?endpoint_override={endpoint}&region={REGION}"

    def files(self) -> dict[str, bytes]:
        """Everything in the bucket, by name."""
        found = self._filesystem().get_file_info(pyarrow.fs.FileSelector(BUCKET, recursive=True))
        return {
            info.path.removeprefix(f"{BUCKET}/"): self._filesystem()
            .open_input_stream(info.path)
            .readall()
            for info in found
            if info.is_file
        }

    def hold(self, seconds: float) -> None:
        """Stop the server for a while: connections are taken, nothing is answered."""
        self._server.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._server.send_signal(signal.SIGCONT)

    def refuse(self, seconds: float) -> None:
        """Refuse and cut connections for a while."""
        self._proxy.shut()
        time.sleep(seconds)
        self._proxy.open()

    def _filesystem(self) -> pyarrow.fs.S3FileSystem:
        return pyarrow.fs.S3FileSystem(
            access_key=KEY,
            secret_key=SECRET,
            region=REGION,
            scheme="http",
            endpoint_override=f"127.0.0.1:{self._port}",
            allow_bucket_creation=True,
        )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            assert self._server.poll() is None, "the S3 server ended"
            try:
                urlopen(f"http://127.0.0.1:{self._port}/", timeout=5).close()
            except HTTPError:
                break  # it speaks, and wants to know who asks
            except (URLError, OSError):
                time.sleep(0.1)
                continue
            break
        else:
            raise AssertionError(f"the S3 server did not answer within {READY_S} s")
        self._filesystem().create_dir(BUCKET)

    def close(self) -> None:
        self._proxy.close()
        self._server.kill()
        self._server.wait(600)

    def __enter__(self) -> "ObjectStorage":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Proxy:
    """Passes connections on to a port of this machine, while it is open."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = _free_port()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self.open()

    def open(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(64)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def shut(self) -> None:
        if self._listener is not None:
            # a thread that waits in accept() would keep the socket alive
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            for connection in self._connections:
                _cut(connection)
            self._connections.clear()

    close = shut

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._connections |= {client, server}
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass  # cut from either side
        finally:
            _cut(source)
            _cut(sink)
            with self._lock:
                self._connections -= {source, sink}


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # cut already
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
