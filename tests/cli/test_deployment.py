"""`deploy` as typed: what is printed, where the folder is, exit code 2 with a reason."""

import json
import sys
from pathlib import Path

import pytest
from made_search import made_search

from finrl_ray.cli.main import main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["finrl-ray", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_search(tmp_path_factory.mktemp("runs"), n_trials=3, failed=[1]).path


def test_deploy_says_what_it_has_made(searched, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "deploy", str(searched), "--until", "2020-06-01") == 0
    out = capsys.readouterr().out
    assert "the winner of the search" in out
    assert "2020-01-01 to 2020-06-01 (not included)" in out
    assert "no evidence of skill" in out
    assert "each trial of the search was on 130 rows" in out
    assert out.splitlines()[-1] == f"agent: {searched / 'agent'}"
    assert run(monkeypatch, "deploy", str(searched)) == 2
    assert "holds an agent already; add --replace" in capsys.readouterr().err


def test_a_trial_is_deployed_to_another_place(searched, tmp_path, monkeypatch, capsys) -> None:
    place = tmp_path / "mine"
    options = ("--trial", "2", "--until", "2020-06-01", "--out", str(place))
    assert run(monkeypatch, "deploy", str(searched), *options) == 0
    assert "trial 2, asked for by its number" in capsys.readouterr().out
    assert json.loads((place / "agent.json").read_text())["trial"] == 2
    assert run(monkeypatch, "deploy", str(searched), "--trial", "1", "--out", str(place)) == 2
    assert "trial 1 cannot be deployed: it is failed" in capsys.readouterr().err
