"""`launch_tensorboard`: TensorBoard as a child process that can be stopped."""

import atexit
import http.client
import importlib.util
import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO

import psutil

from finrl_ray.errors import ConfigError, SearchError

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
"""Only this machine: TensorBoard asks nobody for a password."""
_POLL_S = 0.1
_GRACE_S = 5.0
_MESSAGE_CHARACTERS = 2000


class TensorBoardServer:
    """A running TensorBoard; made by `launch_tensorboard`.

    It ends with `stop()`, at the end of a `with` block, or when this interpreter exits.

    Attributes
    ----------
    log_dir : folder that is shown, absolute
    port : it listens to on 127.0.0.1
    """

    def __init__(self, log_dir: Path, port: int) -> None:
        self.log_dir = log_dir
        self.port = port
        self._owner = os.getpid()
        self._messages: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by stop)
        self._process = subprocess.Popen(
            _command(log_dir, port),
            stdin=subprocess.DEVNULL,
            stdout=self._messages,
            stderr=subprocess.STDOUT,
            # Ctrl-C in the terminal is meant for the training; `stop` takes care of this process
            start_new_session=True,
        )
        atexit.register(self._stop_at_exit)

    def url(self) -> str:
        """Return the address for a browser on this machine."""
        return f"http://{HOST}:{self.port}/"

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is alive."""
        return self._process.poll() is None

    def wait(self) -> None:
        """Return when the process has ended, or stop it at Ctrl-C."""
        try:
            self._process.wait()
        except KeyboardInterrupt:
            self.stop()

    def stop(self) -> None:
        """End the process and those it has started; a second call does nothing."""
        if self._process.returncode is None:
            _end(_process_tree(self._process.pid))
            self._process.wait()
            logger.info("TensorBoard at %s has been stopped", self.url())
        self._messages.close()
        atexit.unregister(self._stop_at_exit)

    def __enter__(self) -> "TensorBoardServer":
        """Return the server, which runs already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the server."""
        self.stop()

    def wait_until_up(self, timeout_s: float) -> None:
        """Return once the page is served.

        Raises
        ------
        SearchError
            If the process ends before, or there is no answer within `timeout_s`; with what
            TensorBoard has said.
        """
        deadline = time.monotonic() + timeout_s
        while not _answers(self.port):
            if not self.is_running:
                raise SearchError(
                    f"TensorBoard ended with code {self._process.returncode} before it was up on "
                    f"port {self.port}; it said: {self._said()}"
                )
            if time.monotonic() > deadline:
                raise SearchError(
                    f"TensorBoard did not answer on port {self.port} within {timeout_s:g} s; raise "
                    f"timeout_s on a busy machine; it said: {self._said()}"
                )
            time.sleep(_POLL_S)

    def _said(self) -> str:
        self._messages.seek(0)
        text = self._messages.read().decode(errors="replace").strip()
        return text[-_MESSAGE_CHARACTERS:] or "nothing"

    def _stop_at_exit(self) -> None:
        # a forked child of this process has inherited the handle, but not the server
        if os.getpid() == self._owner:
            self.stop()


def launch_tensorboard(
    log_dir: str | Path = "./training_logs/", port: int = 6006, *, timeout_s: float = 60.0
) -> TensorBoardServer:
    """Start TensorBoard on this machine and return once its page is served.

    Parameters
    ----------
    log_dir : folder with event files, also below it; made if it is missing
    port : to listen to; if it is taken, or 0, a free one is chosen, see `TensorBoardServer.port`
    timeout_s : how long to wait for the page

    Raises
    ------
    ConfigError
        If TensorBoard is not installed, `port` is out of range or `log_dir` cannot be a folder.
    SearchError
        If TensorBoard ends at once or does not answer in time.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise ConfigError("TensorBoard is not installed; run: pip install tensorboard")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise ConfigError(f"port must be a whole number within 0..65535, got {port!r}")
    folder = _folder(log_dir)
    chosen = port if port and _is_free(port) else _free_port()
    if port not in (0, chosen):
        logger.warning("port %d is taken, TensorBoard uses %d instead", port, chosen)
    server = TensorBoardServer(folder, chosen)
    up = False
    try:
        server.wait_until_up(timeout_s)
        up = True
    finally:
        if not up:  # Ctrl-C too must not leave a process behind
            server.stop()
    logger.info("TensorBoard shows %s at %s", folder, server.url())
    return server


def _command(log_dir: Path, port: int) -> list[str]:
    return [
        sys.executable,
        "-m",
        "tensorboard.main",
        "--logdir",
        str(log_dir),
        "--host",
        HOST,
        "--port",
        str(port),
    ]


def _folder(log_dir: str | Path) -> Path:
    folder = Path(log_dir).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"log_dir must be a folder, got {folder}: {error}") from error
    return folder


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if os.name == "posix":
            # a port that a server has left a moment ago is free, as TensorBoard sees it
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    # not urllib: a proxy of the environment must not be asked for this machine's own page
    connection = http.client.HTTPConnection(HOST, port, timeout=2.0)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _process_tree(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return []


def _end(processes: list[psutil.Process]) -> None:
    """Ask processes to end, and kill those that have not done so after the grace period."""
    for process in processes:
        _signal(process, kill=False)
    _, alive = psutil.wait_procs(processes, timeout=_GRACE_S)
    for process in alive:
        _signal(process, kill=True)


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        if kill:
            process.kill()
        else:
            process.terminate()
    except psutil.NoSuchProcess:
        pass
