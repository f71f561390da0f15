"""`deploy`, `signal` and `forward` as typed: what is printed and written, exit codes, reasons."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from deployed_agents import TRAINED_ROWS, SmallAgent, experiment, small_agent
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


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> SmallAgent:
    facts = {"verdict": {"sentences": ["no evidence of skill"]}}
    return small_agent(tmp_path_factory.mktemp("agents"), experiment(), facts=facts)


def new_bars(agent: SmallAgent, place: Path, days: int) -> tuple[Path, str]:
    """Write the last known bars and some new ones; return the file and the last date."""
    dates = agent.frame["date"].unique()[TRAINED_ROWS - 5 : TRAINED_ROWS + days]
    path = place / "prices.csv"
    agent.frame[agent.frame["date"].isin(dates)].to_csv(path, index=False)
    return path, str(dates[-1])


def test_signal_prints_orders_and_writes_them(agent, tmp_path, monkeypatch, capsys) -> None:
    prices, day = new_bars(agent, tmp_path, 3)
    files = ("--csv", str(tmp_path / "o.csv"), "--json", str(tmp_path / "o.json"))
    asked = ("signal", str(agent.folder), "--prices", str(prices), "--date", day, "--no-record")
    assert run(monkeypatch, *asked, *files) == 0
    out = capsys.readouterr().out
    assert f"Orders after the bar of {day}, to be filled at the close, for the agent's own" in out
    assert "estimated cost" in out
    assert "5 bars of those that the agent knows are the same" in out
    assert "Verdict of the search: No evidence of skill." in out
    written = json.loads((tmp_path / "o.json").read_text())
    assert written["date"] == day
    lines = (tmp_path / "o.csv").read_text().splitlines()
    assert len(lines) == 1 + len(written["orders"]) == 4
    assert not (agent.folder / "paper").exists()
    assert run(monkeypatch, *asked, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["orders"] == written["orders"]


def test_signal_takes_holdings_and_says_what_is_left_out(
    agent, tmp_path, monkeypatch, capsys
) -> None:
    prices, day = new_bars(agent, tmp_path, 3)
    account = tmp_path / "account.csv"
    account.write_text("Ticker,Shares\nAAA,10\nVTI,3\n", encoding="utf-8")
    asked = ("signal", str(agent.folder), "--prices", str(prices), "--date", day, "--no-record")
    assert run(monkeypatch, *asked, "--holdings", str(account)) == 2
    assert "give the cash (--cash AMOUNT)" in capsys.readouterr().err
    assert run(monkeypatch, *asked, "--holdings", str(account), "--cash", "5000") == 0
    out = capsys.readouterr().out
    assert "for the holdings that were given" in out
    assert "VTI (3) is not traded by the agent" in out
    assert run(monkeypatch, *asked, "--cash", "5000") == 2
    assert "--cash must come with --holdings FILE" in capsys.readouterr().err


def test_signal_refuses_with_the_reason(agent, tmp_path, monkeypatch, capsys) -> None:
    prices, _ = new_bars(agent, tmp_path, 3)
    assert run(monkeypatch, "signal", str(agent.folder), "--prices", str(prices)) == 2
    err = capsys.readouterr().err
    assert f"error: {prices}: stale prices: the last bar must be the last completed one" in err
    assert "name the bar (--date 2020-" in err
    assert run(monkeypatch, "signal", str(tmp_path), "--prices", str(prices)) == 2
    assert "is no agent's folder" in capsys.readouterr().err


def test_signal_keeps_the_bars_that_it_has_seen(agent, tmp_path, monkeypatch, capsys) -> None:
    folder = tmp_path / "agent"
    shutil.copytree(agent.folder, folder)
    prices, day = new_bars(agent, tmp_path, 2)
    asked = ("signal", str(folder), "--prices", str(prices), "--date", day)
    assert run(monkeypatch, *asked) == 0
    assert (folder / "paper" / "bars.parquet").is_file()
    first = capsys.readouterr().out
    assert "recorded as line 1 of forward.jsonl, SHA-256 " in first.splitlines()[-1]
    assert run(monkeypatch, *asked, "--json", "-") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["date"] == day
    assert "recorded as line 1" in shown.err
    assert run(monkeypatch, *asked) == 0
    again = capsys.readouterr().out
    assert first.splitlines()[0] == again.splitlines()[0]


def test_forward_says_what_came_of_the_signals(agent, tmp_path, monkeypatch, capsys) -> None:
    folder = tmp_path / "agent"
    shutil.copytree(agent.folder, folder)
    assert run(monkeypatch, "forward", str(folder)) == 0
    assert capsys.readouterr().out.startswith("Nothing has been said yet")
    for days in range(1, 5):
        prices, day = new_bars(agent, tmp_path, days)
        asked = ("signal", str(folder), "--prices", str(prices), "--date", day)
        assert run(monkeypatch, *asked) == 0
    printed = capsys.readouterr().out
    assert run(monkeypatch, "forward", str(folder)) == 0
    out = capsys.readouterr().out
    assert out.startswith("Too few bars to say anything: 3 days can be priced")
    assert "4 entries," in out
    assert "in 3 days the account" in out
    head = out.split("head of the record, to be published: ")[1].strip()
    assert head in printed  # of the last signal
    assert run(monkeypatch, "forward", str(folder), "--published", head, "--json") == 0
    assert json.loads(capsys.readouterr().out)["days"] == 3
    record = folder / "forward.jsonl"
    lines = record.read_bytes().splitlines(keepends=True)
    record.write_bytes(b"".join([lines[0], *lines[2:]]))
    assert run(monkeypatch, "forward", str(folder)) == 1
    out = capsys.readouterr().out
    assert out.startswith("The forward record is not what was written")
    assert "! line 2 of" in out
    assert run(monkeypatch, "signal", str(folder), "--prices", str(prices)) == 2
    assert "does not follow line 1" in capsys.readouterr().err
