"""Ctrl-C and SIGTERM are answered at once, remembered, and end a command as interrupted."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import ray
from processes import run, started

from finrl_ray.cluster import session
from finrl_ray.errors import SearchError
from finrl_ray.support import interruptions
from finrl_ray.support.interruptions import (
    answer_through,
    interrupted,
    note,
    stop_answering_through,
)

# minutes inside one call of C code, in which Python runs no handler
BUSY = """
import hashlib, signal
from finrl_ray.support.interruptions import announced
with announced():
    # one that arrives a moment too early ends nothing
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: None)
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"x", b"y", 2 * 10**9)
"""
COMMAND = """
import signal, sys, time
from finrl_ray.cli import main as cli
signal.signal(signal.SIGINT, signal.default_int_handler)

@cli.app.command()
def hang() -> None:
    {first}
    print("ready", flush=True)
    while True:  # a signal that comes right before a sleep begins does not end it
        time.sleep(0.1)

sys.argv = ["finrl-ray", "hang"]
cli.main()
"""
OF_RAY = "signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))"


@pytest.fixture(autouse=True)
def unseen() -> Iterator[None]:
    interruptions.forget()
    yield
    interruptions.forget()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_answer_comes_while_the_process_is_inside_of_c_code(number) -> None:
    pipe = subprocess.PIPE
    with started([sys.executable, "-c", BUSY], stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().strip() == "ready"
        process.send_signal(number)
        assert process.stderr.readline().startswith("stopping; what was reported is kept")
        process.send_signal(number)
        assert process.stderr.readline().strip() == "stopping at once"
        assert process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("first", ["pass", OF_RAY])
def test_a_command_ends_as_interrupted(number, first) -> None:
    code, pipe = COMMAND.format(first=first), subprocess.PIPE
    with started([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        process.send_signal(number)
        _, said = process.communicate(timeout=600)
        assert process.returncode == 130
    lines = said.splitlines()
    assert lines[0].startswith("stopping; ")
    assert lines[1:] == ["interrupted before anything was lost"]


def test_a_signal_is_waited_for_where_another_process_had_it_first() -> None:
    assert not interrupted(0.05)
    before = signal.signal(signal.SIGALRM, lambda number, frame: note(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        assert interrupted(600)
    finally:
        signal.signal(signal.SIGALRM, before)
    interruptions.forget()
    assert not interrupted()


def test_the_view_that_has_the_terminal_gives_the_answer() -> None:
    said: list[str] = []
    before = list(interruptions._say)  # a view of another test may not have ended
    answer_through(said.append)
    interruptions._say[-1]("a")
    stop_answering_through(said.append)
    stop_answering_through(said.append)
    assert said == ["a"]
    assert interruptions._say == before


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("kind", [RuntimeError, Exception])
def test_a_ray_that_ends_while_it_starts_was_interrupted_if_we_were(
    monkeypatch, told, kind
) -> None:
    def failing(**options: object) -> None:
        if told:
            note(signal.SIGTERM)
        raise kind("the gcs_server has died")

    monkeypatch.setattr(ray, "init", failing)
    monkeypatch.setattr(session, "ONE_SIGNAL_S", 0.05)
    with pytest.raises(KeyboardInterrupt if told else SearchError):
        session._init({}, {}, "here")


@pytest.mark.parametrize("lost", ["", "gcs_server"])
def test_a_lost_ray_is_not_waited_for(monkeypatch, lost) -> None:
    go_on, ended = threading.Event(), threading.Event()

    def shutdown() -> None:
        if lost:
            go_on.wait(600)
        ended.set()

    monkeypatch.setattr(ray, "shutdown", shutdown)
    monkeypatch.setattr(session, "lost_process", lambda: lost)
    monkeypatch.setattr(session, "_SHUTDOWN_S", 0.05)
    monkeypatch.setattr(interruptions, "_leaving", [])
    session._shut_down()
    assert ended.is_set() == (not lost)
    assert interruptions.leaves_at_once() == bool(lost)
    go_on.set()
    assert ended.wait(600)


@pytest.mark.parametrize("code", [0, 130])
def test_a_command_that_leaves_at_once_keeps_its_code_and_what_it_said(code) -> None:
    hanging = "atexit.register(time.sleep, 3600); leave_at_once()"
    command = COMMAND.format(first=f"{hanging}; print('said'); raise typer.Exit({code})")
    command = (
        "import atexit, typer\nfrom finrl_ray.support.interruptions import leave_at_once\n"
        + command
    )
    done = run([sys.executable, "-c", command])
    assert done.returncode == code, done.stderr
    assert done.stdout == "said\n"
