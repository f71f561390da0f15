"""`retrain` as typed: whether it is due, what changed, where the agent before lies."""

import sys
from pathlib import Path

import pytest
from made_search import made_search, prices

from finrl_ray.cli.main import main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["finrl-ray", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_search(tmp_path_factory.mktemp("runs"), n_trials=3, failed=[1]).path


def test_retrain_says_when_it_is_due_and_what_changed(
    searched, tmp_path, monkeypatch, capsys
) -> None:
    place = tmp_path / "agent"
    assert run(monkeypatch, "deploy", str(searched), "--out", str(place)) == 0
    assert run(monkeypatch, "retrain", str(place)) == 0
    assert "not due: 0 bars of 63 have come" in capsys.readouterr().out
    rows = prices(("AAA", "BBB", "CCC"))
    rows[rows["date"] >= "2021-01-01"].to_csv(tmp_path / "prices.csv", index=False)
    options = ("--prices", str(tmp_path / "prices.csv"), "--date", "2021-06-01")
    assert run(monkeypatch, "retrain", str(place), *options) == 0
    out = capsys.readouterr().out
    assert "trained on 370 bars, 2020-01-01 to 2021-06-01" in out
    assert f"agent: {place}" in out
    assert f"the one before: {place}_20" in out


def test_a_sealed_test_window_is_not_rolled_over(searched, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "rollforward", str(searched), "--until", "2021-06-01") == 2
    assert "would trade the test window" in capsys.readouterr().err
