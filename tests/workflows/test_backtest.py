"""A backtest of a finished search: one opening, the winner at several costs, and its file."""

import dataclasses
import json
import shutil
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch as th
from repository import REPOSITORY

from finrl_ray.agents.models import save_model
from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.cli.main import main
from finrl_ray.errors import SearchError
from finrl_ray.search.folder.folder import open_folder
from finrl_ray.search.folder.test_openings import count_openings
from finrl_ray.search.results.winner import load_winner, winners_env
from finrl_ray.workflows.backtest import backtest
from finrl_ray.workflows.backtest_files import RESULT_FILE, read_backtest


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    with tarfile.open(REPOSITORY / "tests/fixtures/old_layout/finished.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "finished"


@pytest.fixture(scope="module")
def opened(searched: Path) -> Path:
    """The search, its winner made to trade, and its test window opened once."""
    _, model, source = load_winner(open_folder(searched))
    with th.no_grad():
        model.policy.action_net.weight *= 300.0
    save_model(model, source)
    backtest(searched)
    return searched


@pytest.fixture
def copied(opened: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(opened, tmp_path / "search"))


def test_all_costs_are_asked_in_one_opening(opened: Path) -> None:
    assert count_openings(opened) == 1
    found = read_backtest(opened)
    assert found is not None
    assert found.trading is not None
    labels = [found.trading.label(row) for row in found.trading.rows]
    assert labels == ["1 x costs", "2 x costs", "3 x costs", "slippage 0.1"]
    assert found.trading.notes == ()
    assert len({row.agent["total_return"] for row in found.trading.rows}) == 4


def test_the_first_row_is_the_backtest_itself(opened: Path) -> None:
    found = read_backtest(opened)
    own, held = found.trading.rows[0], found.measures["buy_and_hold"]
    for name, value in own.agent.items():
        assert found.measures["agent"][name] == value, name
    assert own.held["total_return"] == held["total_return"]
    assert own.held["sharpe_ratio"] == held["sharpe_ratio"]
    assert own.earnings == found.earnings
    assert found.trading.turnover == found.measures["agent"]["turnover"]


def test_each_row_is_what_the_model_does_in_such_an_env(opened: Path) -> None:
    folder = open_folder(opened)
    record, model, source = load_winner(folder)
    window = folder.split.test.cut(folder.market_data)
    for row in read_backtest(opened).trading.rows:
        changes = {
            name: getattr(row, name)
            for name in ("buy_cost_pct", "sell_cost_pct", "volume_slippage")
        }
        env = winners_env(folder, record, window, source)
        for name in ("buy_cost_pct", "sell_cost_pct"):
            env.set_attr(name, changes[name])
        if row.volume_slippage:
            env = winners_env(folder, record, window, source, changes=changes)
        (history,) = evaluate_account(model, env)
        value = history.account_value
        assert row.agent["total_return"] == pytest.approx(value[-1] / value[0] - 1.0, rel=1e-9)
        assert row.cost_paid == pytest.approx(history.cost.sum() / value[0], rel=1e-9)
        held = buy_and_hold(window, dataclasses.replace(folder.config.env, **changes))
        assert row.held["total_return"] == pytest.approx(held[-1] / held[0] - 1.0, rel=1e-9)


def test_capacity_and_holding_periods_are_those_of_the_trades(opened: Path) -> None:
    folder = open_folder(opened)
    window = folder.split.test.cut(folder.market_data)
    wide = pd.read_csv(opened / "backtest" / "trades.csv").iloc[:, 1:].to_numpy()
    trading = read_backtest(opened).trading
    shares = np.abs(wide) / window.volume[: len(wide)]  # filled at the close of their day
    assert trading.capacity.worst_share == pytest.approx(shares.max())
    largest = shares.max(axis=1)
    assert trading.capacity.median_share == pytest.approx(np.median(largest[largest > 0]))
    positions = np.cumsum(wide, axis=0)
    opening = (positions > 0) & (np.vstack([positions[:1] * 0, positions[:-1]]) == 0)
    assert trading.holding.n_positions == opening.sum()
    assert trading.holding.mean_days == pytest.approx((positions > 0).sum() / opening.sum())


def printed(folder: Path, monkeypatch, capsys) -> str:
    monkeypatch.setattr(sys, "argv", ["finrl-ray", "backtest", str(folder)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    return str(capsys.readouterr().out)


def test_the_command_prints_it(copied: Path, monkeypatch, capsys) -> None:
    said = " ".join(printed(copied, monkeypatch, capsys).split())
    assert "The same agent at other costs, test window" in said
    assert said.index("1 x costs") < said.index("3 x costs") < said.index("slippage 0.1")
    assert "1 x costs: 0.1000% of what is bought, 0.1000% of what is sold" in said
    for words in ("turnover: ", "holding periods: ", "capacity: ", "it passes 5% on the median"):
        assert words in said
    assert "opened once" in said


def test_a_result_of_an_earlier_version_is_read_and_shown(copied, monkeypatch, capsys) -> None:
    file = copied / "backtest" / RESULT_FILE
    content = json.loads(file.read_text(encoding="utf-8"))
    del content["trading"]
    file.write_text(json.dumps(content), encoding="utf-8")
    found = backtest(copied)
    assert found.repeated
    assert found.trading is None
    said = printed(copied, monkeypatch, capsys)
    assert "buy & hold" in said
    assert "other costs" not in said


@pytest.mark.parametrize("damage", [[], "costs", {"rows": [1]}, {"rows": [{}]}])
def test_a_damaged_table_of_costs_is_said_to_be(copied: Path, damage) -> None:
    file = copied / "backtest" / RESULT_FILE
    content = json.loads(file.read_text(encoding="utf-8"))
    whole = content["trading"]
    content["trading"] = {**whole, **damage} if isinstance(damage, dict) else damage
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(SearchError, match=r"backtest\.json is damaged .* --again opens"):
        backtest(copied)
