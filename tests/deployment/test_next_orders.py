"""From files of prices and holdings to orders, bar after bar, as the env would have traded."""

import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bit_equality import assert_equal_bits
from deployed_agents import TICKERS, TRAINED_ROWS, SmallAgent

from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.deployment.agent import load_agent
from finrl_ray.deployment.broker_files.holdings_file import HeldPositions, read_holdings
from finrl_ray.deployment.forward_entry import find_changed_bars
from finrl_ray.deployment.forward_record import read, sole_writer
from finrl_ray.deployment.new_bars import BarRules
from finrl_ray.deployment.next_orders import (
    NextOrders,
    closing_of,
    next_orders,
    record_orders,
    verdict_in_words,
)
from finrl_ray.errors import ConfigError, DataError, SearchError
from finrl_ray.files.manifest import write_folder_manifest


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
        assert f"recorded as line {day + 1} of forward.jsonl" in record_orders(agent, found)
        assert_equal_bits(found.signal.orders, history.trades[day] + 0.0)
        assert found.signal.account_value == history.account_value[day]
        assert found.account == "the agent's own paper account"
        assert [order.ticker for order in found.orders] == list(TICKERS)
        assert sum(order.cost for order in found.orders) == pytest.approx(found.signal.cost)
        assert found.verdict == "No evidence."
    entries = read(folder)
    assert [entry["date"] for entry in entries] == [
        day_of(deployed, row) for row in range(TRAINED_ROWS - 1, TRAINED_ROWS + 8)
    ]
    trained = np.datetime64(deployed.market.dates[TRAINED_ROWS - 1])
    assert find_changed_bars(entries, load_agent(folder).known_bars, trained) == []


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
    assert read(folder) == []
    record_orders(agent, first)
    again = ask(folder, prices, day)
    assert again.bars.rows.empty
    assert_equal_bits(again.signal.orders, first.signal.orders)
    now = pd.Timestamp(day, tz="UTC") + pd.Timedelta(hours=23)
    with pytest.raises(DataError, match=f"after {day}, for which the agent has given its orders"):
        next_orders(load_agent(folder), prices, rules=BarRules(now=now.to_pydatetime()))
    with pytest.raises(DataError, match="another program may have added it"):
        record_orders(load_agent(folder), first)


def test_what_was_said_of_a_bar_is_never_said_again(deployed: SmallAgent, folder: Path) -> None:
    prices = bars_of(deployed, TRAINED_ROWS - 3, TRAINED_ROWS + 1)
    agent, last = load_agent(folder), day_of(deployed, TRAINED_ROWS + 1)
    record_orders(agent, next_orders(agent, prices, rules=BarRules(date=last)))
    written = (folder / "forward.jsonl").read_bytes()
    assert "recorded as line 1 of" in record_orders(agent, ask(folder, prices, last))
    older = ask(folder, prices, day_of(deployed, TRAINED_ROWS))
    assert record_orders(agent, older).startswith(
        f"not recorded: the forward record goes up to {last}"
    )
    other = ask(folder, prices, last, holdings=HeldPositions(cash=5.0, shares={"AAA": 3.0}))
    assert record_orders(agent, other).startswith("not recorded: line 1 of forward.jsonl has other")
    assert (folder / "forward.jsonl").read_bytes() == written
    (folder / "forward.jsonl").write_bytes(written.replace(b"paper", b"given"))
    with pytest.raises(SearchError, match=r"line 1 of .*it was edited"):
        ask(folder, prices, last)


def test_orders_of_an_agent_that_was_replaced_meanwhile_are_not_recorded(
    deployed: SmallAgent, folder: Path
) -> None:
    prices, last = bars_of(deployed, TRAINED_ROWS, TRAINED_ROWS), day_of(deployed, TRAINED_ROWS)
    agent = load_agent(folder)
    found = next_orders(agent, prices, rules=BarRules(date=last))
    manifest = (folder / "manifest.json").read_bytes()
    write_folder_manifest(folder, folders={}, more="another agent")
    with pytest.raises(
        SearchError, match=r"was replaced meanwhile: .*nothing is written, ask again"
    ):
        record_orders(agent, found)
    assert not (folder / "forward.jsonl").exists()
    assert not (folder / "paper").exists()
    (folder / "manifest.json").unlink()  # between two names
    with pytest.raises(SearchError, match=r"manifest\.json cannot be read"):
        record_orders(agent, found)
    (folder / "manifest.json").write_bytes(manifest)
    assert "recorded as line 1 of" in record_orders(agent, found)


def test_two_signals_at_once_keep_every_bar(deployed: SmallAgent, folder: Path) -> None:
    """One waits for the other, and does not put what it has read before in its place."""
    first, second = (
        (load_agent(folder), bars_of(deployed, row, row), day_of(deployed, row))
        for row in (TRAINED_ROWS, TRAINED_ROWS + 1)
    )
    agent, prices, day = first
    found = next_orders(agent, prices, rules=BarRules(date=day))
    both = pd.concat([prices, second[1]])
    later = next_orders(second[0], both, rules=BarRules(date=second[2]))
    refused: list[Exception] = []

    def write_later() -> None:
        try:
            record_orders(second[0], later)
        except DataError as error:
            refused.append(error)

    with sole_writer(folder):
        waiting = threading.Thread(target=write_later)
        waiting.start()
        time.sleep(0.2)
        assert not (folder / "paper").exists()
        record_orders(agent, found)
    waiting.join()
    assert "another program may have added it: ask again" in str(refused[0])
    assert [entry["date"] for entry in read(folder)] == [day]
    assert str(load_agent(folder).known_bars["date"].iloc[-1])[:10] == day


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


def test_a_revised_volume_of_a_known_bar_does_not_stop_an_agent_that_needs_none(
    deployed: SmallAgent, folder: Path
) -> None:
    prices = bars_of(deployed, TRAINED_ROWS - 5, TRAINED_ROWS)
    revised = prices.copy()
    known = revised["date"] < day_of(deployed, TRAINED_ROWS)
    revised.loc[known, "volume"] *= 1.01
    day = day_of(deployed, TRAINED_ROWS)
    found = ask(folder, revised, day)
    assert any("The source has revised 15 volumes of 15 in common" in n for n in found.notes)
    as_before = ask(folder, prices, day)
    assert found.signal.to_dict() == as_before.signal.to_dict()
    record_orders(load_agent(folder), found)
    agent = load_agent(folder)
    trained = np.datetime64(day_of(deployed, TRAINED_ROWS - 1), "ns")
    assert find_changed_bars(read(folder), agent.known_bars, trained) == []
    # from Python too
    assert agent.act(revised).to_dict() == found.signal.to_dict()


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


def test_the_verdict_in_words() -> None:
    assert verdict_in_words({}) == ""
    judged = {"sentences": ["No evidence of skill.", "More."], "of_this_agent": "it may be luck"}
    assert verdict_in_words(judged) == "No evidence of skill. It may be luck."
