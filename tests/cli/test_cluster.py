"""The commands for clusters, as far as they need none."""

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from finrl_ray.cli import cluster
from finrl_ray.cli.main import main
from finrl_ray.cluster import nodes
from finrl_ray.errors import SearchError
from finrl_ray.jobs.client import Ended


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["finrl-ray", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "got 0 of them"),
        (("c.yaml", "--stop", "j"), "got 2 of them"),
        (("--follow", "j", "--set", "a=1"), "a job that was sent keeps its own"),
        (("none.yaml",), "there is no config file none.yaml"),
    ],
)
def test_submit_refuses_what_is_not_clear(arguments, words, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "submit", *arguments) == 2
    assert words in capsys.readouterr().err


def test_submit_without_a_cluster_says_how_to_reach_one(tmp_path) -> None:
    (tmp_path / "c.yaml").write_text("name: c\n")
    # in a process of its own: an earlier Ray of this one may have left its token mode behind
    command = [sys.executable, "-m", "finrl_ray", "submit", "c.yaml"]
    done = subprocess.run(
        [*command, "--address", "http://127.0.0.1:1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    error = done.stderr
    assert "no Ray dashboard answers at http://127.0.0.1:1" in error
    assert "ray dashboard cluster.yaml" in error


@pytest.mark.parametrize("command", ["tune", "submit"])
def test_a_ray_client_address_is_refused_before_anything_is_written(
    command, monkeypatch, capsys, tmp_path
) -> None:
    (tmp_path / "c.yaml").write_text("name: c\n")
    assert run(monkeypatch, command, "c.yaml", "--address", "ray://head:10001") == 2
    assert "is an address of Ray Client" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (Ended(state="SUCCEEDED", exit_code=0, message=""), 0),
        (Ended(state="FAILED", exit_code=2, message=""), 2),
        (Ended(state="FAILED", exit_code=1, message=""), 1),
        (Ended(state="STOPPED", exit_code=None, message=""), 130),
    ],
)
def test_the_exit_code_is_the_jobs(ended, code) -> None:
    assert cluster._exit_code(ended) == code


def test_a_job_that_was_never_run_says_why() -> None:
    ended = Ended(state="FAILED", exit_code=None, message="runtime_env setup failed")
    with pytest.raises(SearchError, match="was never run: runtime_env setup failed"):
        cluster._exit_code(ended)


def test_ctrl_c_leaves_the_job_and_says_how_to_go_on(monkeypatch, capsys) -> None:
    def interrupted(job_id: str, write: object) -> None:
        raise KeyboardInterrupt

    import typer

    server = SimpleNamespace(follow=interrupted)
    with pytest.raises(typer.Exit) as caught:
        cluster._follow(server, "night_1", "http://127.0.0.1:9")
    assert caught.value.exit_code == 130
    said = capsys.readouterr().out
    assert "finrl-ray submit --follow night_1 --address http://127.0.0.1:9" in said
    assert "finrl-ray submit --stop night_1 --address http://127.0.0.1:9" in said


def test_dashboard_prints_each_dashboard_of_this_machine_once(monkeypatch, capsys) -> None:
    found = {"a:1": "http://127.0.0.1:8265", "a:2": "http://127.0.0.1:8265", "a:3": None}
    monkeypatch.setattr(nodes, "local_rays", lambda: [*found, "a:4"])

    def dashboard_of(address: str) -> str | None:
        if address == "a:4":
            raise SearchError("refuses the token")
        return found[address]

    monkeypatch.setattr(nodes, "dashboard_of", dashboard_of)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "the-token")
    assert run(monkeypatch, "dashboard") == 0
    said = capsys.readouterr().out
    assert said.count("dashboard: http://127.0.0.1:8265") == 1
    assert "environment variable RAY_AUTH_TOKEN" in said
    assert "the-token" not in said


def test_dashboard_says_when_no_ray_here_has_one(monkeypatch, capsys) -> None:
    monkeypatch.setattr(nodes, "local_rays", lambda: ["a:1"])
    monkeypatch.setattr(nodes, "dashboard_of", lambda address: None)
    assert run(monkeypatch, "dashboard") == 2
    error = capsys.readouterr().err
    assert re.search(r"1 Ray on this machine, at a:1, but none has a dashboard", error)
    assert "leave --no-dashboard out" in error


def test_dashboard_warns_of_one_that_is_open(monkeypatch, capsys) -> None:
    monkeypatch.setattr(nodes, "dashboard_answers", lambda url, **_: True)
    assert run(monkeypatch, "dashboard", "--address", "http://10.0.0.9:8265") == 0
    assert "--dashboard-host=127.0.0.1" in capsys.readouterr().err
