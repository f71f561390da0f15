"""The account since deployment: bar by bar that of the env, beside buy & hold, with its record."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bit_equality import assert_equal_bits
from deployed_agents import TRAINED_ROWS, SmallAgent, experiment, price_frame, small_agent

from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.deployment.agent import DeployedAgent, load_agent
from finrl_ray.deployment.forward import expectation_of, forward
from finrl_ray.deployment.forward_entry import GIVEN, PAPER, record_signal
from finrl_ray.deployment.forward_record import read
from finrl_ray.deployment.holdings import Holdings
from finrl_ray.deployment.seen_bars import add_seen_bars
from finrl_ray.statistics.always_valid import WARM_UP


def copied(agent: SmallAgent, place: Path) -> DeployedAgent:
    return load_agent(shutil.copytree(agent.folder, place / "agent"))


def label(agent: SmallAgent, row: int) -> str:
    return str(agent.market.dates[row])[:10]


def feed(
    agent: SmallAgent,
    deployed: DeployedAgent,
    rows: range,
    holdings: Holdings | None = None,
    silent: tuple[int, ...] = (),
) -> None:
    """Have each bar seen and, unless it is a silent one, a signal of it recorded."""
    trained = np.datetime64(label(agent, TRAINED_ROWS - 1), "ns")
    for row in rows:
        frame = agent.frame
        if row not in silent:
            market = agent.market.rows(0, row + 1)
            known = deployed.market_of(frame[frame["date"] <= label(agent, row)])
            assert known.n_periods == market.n_periods
            bars = with_bars(deployed, agent, row)
            record_signal(
                deployed.path,
                deployed.act(market, holdings),
                account=PAPER if holdings is None else GIVEN,
                bars=bars,
                trained=trained,
            )
        add_seen_bars(deployed.path, frame[frame["date"] == label(agent, row)], agent.config.data)


def with_bars(deployed: DeployedAgent, agent: SmallAgent, row: int) -> Any:
    from finrl_ray.deployment.bars import with_new_bars

    frame = agent.frame[agent.frame["date"] <= label(agent, row)]
    return with_new_bars(deployed.known_bars, frame, agent.config.data)


LAST = TRAINED_ROWS + 29


@pytest.fixture(scope="module")
def recorded(deployed: SmallAgent, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An agent that has said what to trade on thirty bars, which tests only read."""
    agent = copied(deployed, tmp_path_factory.mktemp("forward"))
    feed(deployed, agent, range(TRAINED_ROWS, LAST + 1))
    return agent.path


def test_the_account_is_that_of_the_env_beside_buy_and_hold(
    deployed: SmallAgent, recorded: Path
) -> None:
    found = forward(load_agent(recorded))
    assert found.problems == ()
    assert found.n_days == 29
    (history,) = evaluate_account(deployed.model(), deployed.env())
    value = history.account_value[1:]
    assert found.account is not None
    assert_equal_bits(found.account.returns, value[1:] / value[:-1] - 1.0)
    held = buy_and_hold(deployed.market.rows(TRAINED_ROWS, LAST + 1), deployed.config.env)
    assert_equal_bits(found.account.benchmark_returns, held[1:] / held[:-1] - 1.0)
    shares = np.cumsum(history.trades, axis=0)[1:]
    close = deployed.market.close[TRAINED_ROWS:LAST]
    invested = (shares * close).sum(axis=1) / value[:-1]
    assert found.account.exposure == pytest.approx(invested)
    assert found.earnings is not None
    assert found.earnings.total_return == pytest.approx(value[-1] / value[0] - 1.0)
    assert found.head == read(recorded)[-1]["sha256"]
    assert "Too few bars to say anything: 29 days can be priced" in found.sentence
    assert found.test is not None
    assert found.test.n_bets == 29 - WARM_UP
    assert any("the agent's own paper account" in note for note in found.notes)
    assert any("30 of 30 entries were written when the next" in n for n in found.notes) or any(
        "29 of 30 entries" in note for note in found.notes
    )
    said = "\n".join(found.lines())
    assert "mean daily score (the difference in units of its capped risk, no annual ratio)" in said
    beside_a_ratio = [one for one in found.lines() if "annual ratio of" in one]
    assert not any("within" in one or "confidence" in one for one in beside_a_ratio)
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert content["whole"]
    assert content["test"]["mean_score"] == pytest.approx(found.test.mean_score)
    assert len(content["daily"]["return"]) == 29


def test_what_was_said_is_priced_when_the_next_bar_is_known(
    deployed: SmallAgent, tmp_path: Path
) -> None:
    agent = copied(deployed, tmp_path)
    nothing = forward(agent)
    assert nothing.sentence.startswith("Nothing has been said yet")
    assert (nothing.n_days, nothing.problems, nothing.test) == (0, (), None)
    feed(deployed, agent, range(TRAINED_ROWS, TRAINED_ROWS + 1))
    assert forward(agent).n_days == 0
    before = (agent.path / "forward.jsonl").read_bytes()
    feed(deployed, agent, range(TRAINED_ROWS + 1, TRAINED_ROWS + 2))
    found = forward(agent)
    assert found.n_days == 1
    assert (agent.path / "forward.jsonl").read_bytes().startswith(before)


def test_given_holdings_are_priced_as_they_were_given(deployed: SmallAgent, tmp_path: Path) -> None:
    agent = copied(deployed, tmp_path)
    own = Holdings(cash=50_000.0, shares={"AAA": 100.0, "CCC": 40.0})
    rows = range(TRAINED_ROWS, TRAINED_ROWS + 4)
    feed(deployed, agent, rows, own, silent=(TRAINED_ROWS + 2,))
    found = forward(agent)
    assert found.account is not None
    close, expected, shares, cash = deployed.market.close, [], np.zeros(3), 0.0
    for row in rows[:-1]:
        if row != TRAINED_ROWS + 2:
            signal = agent.act(deployed.market.rows(0, row + 1), own)
            shares, cash = signal.holdings_after, signal.cash_after
            value = signal.account_value
        else:  # without an entry they are kept
            value = cash + float(shares @ close[row])
        expected.append((cash + float(shares @ close[row + 1])) / value - 1.0)
    assert found.account.returns == pytest.approx(expected, rel=1e-12)
    assert found.account.given == 3
    assert found.problems == (
        f"after line 2: the bar of {label(deployed, TRAINED_ROWS + 2)} has no entry",
    )
    assert any("which is not what a broker has done" in note for note in found.notes)


def test_orders_for_the_next_open(tmp_path: Path) -> None:
    config = experiment(env={"fill": "next_open", "action": "target_weights"})
    made = small_agent(tmp_path, config, frame=price_frame(70))
    agent = load_agent(made.folder)
    feed(made, agent, range(TRAINED_ROWS, 70))
    found = forward(agent)
    (history,) = evaluate_account(made.model(), made.env())
    value = history.account_value[1:]
    assert found.problems == ()
    assert found.account is not None
    assert_equal_bits(found.account.returns, value[1:] / value[:-1] - 1.0)


def changed_copy(recorded: Path, place: Path) -> Path:
    return Path(shutil.copytree(recorded, place / "agent"))


def test_tampering_is_said_first(recorded: Path, tmp_path: Path) -> None:
    folder = changed_copy(recorded, tmp_path)
    lines = (folder / "forward.jsonl").read_bytes().splitlines(keepends=True)
    del lines[3]
    (folder / "forward.jsonl").write_bytes(b"".join(lines))
    found = forward(load_agent(folder))
    assert "line 4 of" in found.problems[0]
    assert "does not follow line 3" in found.problems[0]
    assert found.sentence.startswith("The forward record is not what was written")
    assert len(found.entries) == 3


def test_entries_that_were_cut_off_are_gaps(recorded: Path, tmp_path: Path) -> None:
    folder = changed_copy(recorded, tmp_path)
    lines = (folder / "forward.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "forward.jsonl").write_bytes(b"".join(lines[:-2]))
    found = forward(load_agent(folder), published=read(recorded)[-1]["sha256"])
    assert [one.split(":")[0] for one in found.problems[:2]] == ["after line 28"] * 2
    assert "no line has the published hash" in found.problems[2]
    assert (
        forward(load_agent(folder), published=read(recorded)[5]["sha256"]).problems
        == (found.problems[:2])
    )


def test_a_record_written_anew_with_better_orders_is_found(
    deployed: SmallAgent, recorded: Path, tmp_path: Path
) -> None:
    """Every line fits its neighbours, but the agent says something else on these bars."""
    agent = copied(deployed, tmp_path)
    entries = read(recorded)
    from finrl_ray.deployment.forward_record import append

    for entry in entries:
        kept = {k: v for k, v in entry.items() if k not in ("n", "written", "previous", "sha256")}
        if entry["n"] == 7:
            kept["orders"] = [5.0, -1.0, 0.0]
        append(agent.path, kept)
    (agent.path / "paper").mkdir()
    shutil.copy(recorded / "paper" / "bars.parquet", agent.path / "paper" / "bars.parquet")
    found = forward(load_agent(agent.path))
    assert len(found.problems) == 1
    assert "line 7: the agent gives other orders on the bar of" in found.problems[0]


def test_bars_that_were_changed_are_said(
    deployed: SmallAgent, recorded: Path, tmp_path: Path
) -> None:
    folder = changed_copy(recorded, tmp_path)
    import pandas as pd

    bars = pd.read_parquet(folder / "paper" / "bars.parquet")
    bars.loc[30, "close"] *= 1.1
    bars.to_parquet(folder / "paper" / "bars.parquet", index=False)
    problems = forward(load_agent(folder)).problems
    assert any(p.startswith("line 11: the bars up to") for p in problems)
    assert not any(p.startswith("line 10:") for p in problems)


def test_what_was_expected() -> None:
    figures = {"figures": {"sharpe_annual": 1.5}, "applies": True}
    found = expectation_of({"verdict": figures})
    assert found is not None
    assert found.ratio == 1.5
    assert "validation window" in found.source
    assert expectation_of({"verdict": {**figures, "applies": False}}) is None
    tested = {"window": ["2020-01-01", "2021-01-01"], "measures": {"appraisal_ratio": 0.4}}
    known = expectation_of({"verdict": figures, "backtest": tested})
    assert known is not None
    assert known.ratio == 0.4
    assert known.source == "the backtest of 2020-01-01 to 2021-01-01"
    assert expectation_of({}) is None
    assert expectation_of({"verdict": {"sentences": ["No evidence."]}}) is None
    assert expectation_of({"backtest": {"window": 3}}) is None
