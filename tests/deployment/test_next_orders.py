"""From files of prices and holdings to orders, bar after bar, as the env would have traded."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bit_equality import assert_equal_bits
from deployed_agents import TICKERS, TRAINED_ROWS, SmallAgent

from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.deployment.agent import load_agent
from finrl_ray.deployment.broker_files.holdings_file import read_holdings
from finrl_ray.deployment.new_bars import BarRules
from finrl_ray.deployment.next_orders import (
    PAPER,
    NextOrders,
    closing_of,
    keep_bars,
    next_orders,
)
from finrl_ray.errors import ConfigError, DataError


@pytest.fixture
def folder(deployed: SmallAgent, tmp_path: Path) -> Path:
    """A copy of the agent's folder, which may be written to."""
    place = tmp_path / "agent"
    shutil.copytree(deployed.folder, place)
    return place


def day_of(deployed: SmallAgent, row: int) -> str:
    return str(deployed.market.dates[row])[:10]


def bars_of(deployed: SmallAgent, first: int, last: int) -> pd.DataFrame:
    days = [day_of(deployed, row) for row in range(first, last + 1)]
    return deployed.frame[deployed.frame["date"].isin(days)]


def ask(folder: Path, prices: str | Path | pd.DataFrame, date: str, **more: object) -> NextOrders:
    return next_orders(
        load_agent(folder),
        prices,
        rules=BarRules(date=date),
        **more,  # type: ignore[arg-type]  # by name
    )


def test_one_new_bar_after_the_other_is_traded_as_in_the_env(
    deployed: SmallAgent, folder: Path, tmp_path: Path
) -> None:
    (history,) = evaluate_account(deployed.model(), deployed.env())
    assert np.any(history.trades)
    for day, row in enumerate(range(TRAINED_ROWS - 1, TRAINED_ROWS + 8)):
        path = tmp_path / f"{row}.csv"
        bars_of(deployed, row, row).to_csv(path, index=False)
        agent = load_agent(folder)  # as from one evening to the next
        found = next_orders(agent, path, rules=BarRules(date=day_of(deployed, row)))
        keep_bars(agent, found)
        assert_equal_bits(found.signal.orders, history.trades[day] + 0.0)
        assert found.signal.account_value == history.account_value[day]
        assert found.account == PAPER
        assert [order.ticker for order in found.orders] == list(TICKERS)
        assert sum(order.cost for order in found.orders) == pytest.approx(found.signal.cost)
        assert found.verdict == "No evidence."


def test_later_rows_change_nothing(deployed: SmallAgent, folder: Path) -> None:
    row = TRAINED_ROWS + 3
    day = day_of(deployed, row)
    exact = ask(folder, bars_of(deployed, TRAINED_ROWS - 5, row), day)
    more = bars_of(deployed, TRAINED_ROWS - 5, row + 5).copy()
    more.loc[more["date"] > day, ["open", "close", "trend"]] = 1e6
    found = ask(folder, more, day)
    assert_equal_bits(found.signal.orders, exact.signal.orders)
    assert_equal_bits(found.signal.action, exact.signal.action)
    assert found.to_dict()["orders"] == exact.to_dict()["orders"]


def test_nothing_is_kept_until_it_is_asked_for(deployed: SmallAgent, folder: Path) -> None:
    day = day_of(deployed, TRAINED_ROWS)
    prices = bars_of(deployed, TRAINED_ROWS - 3, TRAINED_ROWS)
    agent = load_agent(folder)
    first = next_orders(agent, prices, rules=BarRules(date=day))
    assert not (folder / "paper").exists()
    keep_bars(agent, first)
    again = ask(folder, prices, day)
    assert again.bars.rows.empty
    assert_equal_bits(again.signal.orders, first.signal.orders)
    now = pd.Timestamp(day, tz="UTC") + pd.Timedelta(hours=23)
    with pytest.raises(DataError, match=f"after {day}, for which the agent has given its orders"):
        next_orders(load_agent(folder), prices, rules=BarRules(now=now.to_pydatetime()))
    with pytest.raises(DataError, match="another program may have added it"):
        keep_bars(load_agent(folder), first)


def test_holdings_of_a_broker_are_traded_instead(
    deployed: SmallAgent, folder: Path, tmp_path: Path
) -> None:
    row = TRAINED_ROWS + 2
    day, prices = day_of(deployed, row), bars_of(deployed, TRAINED_ROWS - 3, row)
    own = ask(folder, prices, day).signal
    account = tmp_path / "account.csv"
    rows = [f"{t},{h!r}" for t, h in zip(TICKERS, own.holdings_before.tolist(), strict=True)]
    text = "\n".join(["Symbol,Quantity", *rows, f"Cash,{own.cash_before!r}", "XYZ,5"])
    account.write_text(text + "\n", encoding="utf-8")
    same = ask(folder, prices, day, holdings=read_holdings(account, TICKERS))
    assert_equal_bits(same.signal.orders, own.orders)
    assert any("XYZ (5) is not traded by the agent" in note for note in same.notes)
    assert same.account == "the holdings that were given"
    account.write_text("Symbol,Quantity\nAAA,7\nCash,1000\n", encoding="utf-8")
    other = ask(folder, prices, day, holdings=read_holdings(account, TICKERS))
    assert other.signal.holdings_before.tolist() == [7.0, 0.0, 0.0]
    assert other.signal.cash_before == 1000.0


def test_when_an_exchange_closes() -> None:
    assert closing_of(None, None) is None
    closing = closing_of("15:30", "Asia/Tokyo")
    assert closing is not None
    assert closing.name == "15:30 Asia/Tokyo"
    with pytest.raises(ConfigError, match="give both"):
        closing_of("15:30", None)
    with pytest.raises(ConfigError, match="--closes must be a time such as 16:00, got 'late'"):
        closing_of("late", "UTC")
    with pytest.raises(ConfigError, match="time zone"):
        closing_of("16:00", "Mars/Olympus")
