"""From a search to orders: the quickstart, deployed, then thirty more bars one at a time."""

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from repository import REPOSITORY

from finrl_ray.cli.main import main
from finrl_ray.config.load import load_config
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.search.run.runner import run_search

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_session_of_two")]

N_MORE = 30


def typed(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["finrl-ray", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def more_bars(known: pd.DataFrame) -> pd.DataFrame:
    """Return thirty days that nobody has seen, after the last one."""
    rng = np.random.default_rng(7)
    last = known[known["date"] == known["date"].max()].sort_values("tic")
    dates = pd.bdate_range(str(last["date"].iloc[0]), periods=N_MORE + 1)[1:]
    growth = np.cumsum(rng.normal(0.0, 0.015, (N_MORE, len(last))), axis=0)
    days = []
    for date, factor in zip(dates, np.exp(growth), strict=True):
        day = last.copy()
        day["date"] = f"{date:%Y-%m-%d}"
        for name in ("open", "high", "low", "close"):
            day[name] = last[name].to_numpy() * factor
        days.append(day)
    return pd.concat(days, ignore_index=True)


@pytest.fixture(scope="module")
def searched(ray_session_of_two: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = load_config(
        REPOSITORY / "experiments" / "quickstart" / "config.yaml",
        [
            "search.num_samples=3",
            "search.ensemble=2",
            "search.searcher=random",
            f"search.storage_path={tmp_path_factory.mktemp('runs')}",
            "agent.total_timesteps=4096",
            "evaluation.eval_freq=4096",
        ],
    )
    return run_search(config).path


def test_orders_of_every_bar_make_the_account(searched, tmp_path, monkeypatch, capsys) -> None:
    assert typed(monkeypatch, "backtest", str(searched)) == 0
    assert typed(monkeypatch, "deploy", str(searched)) == 0
    agent = searched / "agent"
    facts = json.loads((agent / "agent.json").read_text())
    known = read_bundled()
    new = more_bars(known)
    rows = pd.concat([known[known["date"] == known["date"].max()], new])
    said = []
    for date in sorted(rows["date"].unique()):
        file = tmp_path / "prices.csv"
        rows[rows["date"] == date].to_csv(file, index=False)
        capsys.readouterr()
        asked = ("signal", str(agent), "--prices", str(file), "--date", date, "--json", "-")
        assert typed(monkeypatch, *asked) == 0
        said.append(json.loads(capsys.readouterr().out))
        assert said[-1]["date"] == date
    # what the orders leave is worth, at the next close, what the next signal begins with
    closes = rows.pivot(index="date", columns="tic", values="close")
    for before, after in itertools.pairwise(said):
        held = {order["ticker"]: order["holdings_after"] for order in before["orders"]}
        worth = sum(closes.loc[after["date"], name] * shares for name, shares in held.items())
        assert after["account_value"] == pytest.approx(before["cash_after"] + worth, rel=1e-12)
        assert {o["ticker"]: o["holdings_before"] for o in after["orders"]} == held
        assert after["cash_before"] == before["cash_after"]
    assert said[0]["account_value"] == 1_000_000.0
    assert facts["verdict"]["of_this_agent"][1:] in said[0]["verdict"]
    assert any(order["side"] == "sell" for one in said for order in one["orders"])
    assert typed(monkeypatch, "forward", str(agent), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["whole"]
    assert found["days"] == N_MORE
    assert found["expectation"]["source"].startswith("the backtest of 2011-07-01 to ")
    values = np.array([one["account_value"] for one in said])
    np.testing.assert_allclose(found["daily"]["return"], values[1:] / values[:-1] - 1, rtol=1e-9)
