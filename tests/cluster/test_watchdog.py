"""A Ray that is gone ends the process with a message; one that lives does nothing."""

import socket
import time
from types import SimpleNamespace
from typing import Any

import pytest

from finrl_ray.cluster import watchdog
from finrl_ray.cluster.watchdog import EXIT_LOST, lost_process, watching


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(watchdog, "GRACE_S", 0.05)
    monkeypatch.setattr(watchdog, "_CONNECT_S", 0.2)


def node(*dead: str) -> SimpleNamespace:
    return SimpleNamespace(head=True, dead_processes=lambda: [(kind, None) for kind in dead])


def use(monkeypatch: pytest.MonkeyPatch, own: Any, head: tuple[str, int] | None = None) -> None:
    monkeypatch.setattr(watchdog, "node_started_here", lambda: own)
    monkeypatch.setattr(watchdog, "_head_address", lambda: head)


def wait_for(ended: list[int]) -> None:
    deadline = time.monotonic() + 600
    while not ended and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.parametrize("kind", ["raylet", "gcs_server"])
def test_a_dead_process_of_our_own_ray_ends_the_search_in_words(monkeypatch, capsys, kind) -> None:
    use(monkeypatch, node("dashboard", kind))
    ended: list[int] = []
    with watching("go on with `finrl-ray resume x`", ended.append):
        wait_for(ended)
    assert ended == [EXIT_LOST]
    assert f"Ray was lost ({kind} has died). go on with `finrl-ray resume x`" in (
        capsys.readouterr().err
    )


def test_a_signal_to_the_whole_group_is_an_interruption_and_no_loss(monkeypatch, capsys) -> None:
    use(monkeypatch, node("raylet"))
    monkeypatch.setattr(watchdog, "interrupted", lambda: True)
    ended: list[int] = []
    with watching("go on with `finrl-ray resume x`", ended.append):
        wait_for(ended)
    assert ended == [130]
    said = capsys.readouterr().err
    assert said == "interrupted. go on with `finrl-ray resume x`\n"


def test_a_cluster_whose_head_no_longer_answers_is_lost(monkeypatch, capsys) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    use(monkeypatch, None, address)
    ended: list[int] = []
    with watching("resume", ended.append):
        wait_for(ended)
    assert ended == [EXIT_LOST]
    assert "the cluster's head has died" in capsys.readouterr().err


def test_a_ray_that_lives_is_left_alone(monkeypatch) -> None:
    ended: list[int] = []
    use(monkeypatch, node("dashboard"))
    with watching("resume", ended.append):
        time.sleep(0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        use(monkeypatch, None, listener.getsockname())
        with watching("resume", ended.append):
            time.sleep(0.2)
    assert ended == []
    assert lost_process() == ""


def test_a_search_that_ends_by_itself_in_time_is_left_alone(monkeypatch) -> None:
    use(monkeypatch, node("raylet"))
    monkeypatch.setattr(watchdog, "GRACE_S", 5.0)
    ended: list[int] = []
    with watching("resume", ended.append):
        time.sleep(0.1)
    time.sleep(0.1)
    assert ended == []
