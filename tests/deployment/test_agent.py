"""A deployed agent gives, bar by bar and bit for bit, the orders that its env would have traded."""

import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from bit_equality import assert_equal_bits
from deployed_agents import TRAINED_ROWS, SmallAgent, experiment, price_frame, small_agent

import finrl_ray
from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.deployment import paper_account
from finrl_ray.deployment.agent import DeployedAgent, load_agent
from finrl_ray.deployment.holdings import Holdings
from finrl_ray.deployment.order_table import orders_of
from finrl_ray.errors import DataError, SearchError
from finrl_ray.learners.forward.policy import predict

BANDED = {"action": "target_weights", "no_trade_band": 0.05, "trade_rate": 0.5}
EQUAL = {"action": "target_weights", "zero_action": "equal_weights", "no_trade_band": 0.0}
RULED = {"stop_loss": 0.97, "profit_loss_ratio": 2.0, "cooldown": 2, "lot_size": 10.0}
SHORT = {"action": "target_weights", "short": True, "fractional_shares": True}
CASES = {
    "orders of shares": ("ppo", {}, {}),
    "orders in currency": ("ppo", {"hmax": 10_000.0, "hmax_unit": "money"}, {}),
    "orders as shares of the account": ("ppo", {"hmax": 0.1, "hmax_unit": "account_share"}, {}),
    "rules": ("ppo", RULED, {}),
    "turbulence": ("ppo", {"turbulence_threshold": 70.0}, {}),
    "target weights, banded": ("ppo", BANDED, {}),
    "short weights": ("ppo", {**SHORT, "stop_loss": 0.97, "cooldown": 1}, {}),
    "short orders": ("sac", {"short": True}, {}),
    "statistics": ("ppo", {}, {"normalize": True}),
    "statistics inside stacks": ("ppo", {}, {"normalize": True, "n_stack": 3}),
    "stacks": ("td3", {}, {"n_stack": 2}),
    "stationary": ("sac", {"observation": "stationary", "return_horizons": (1, 5), **BANDED}, {}),
    "recurrent": ("recurrent_ppo", {"observation_scaling": "train"}, {}),
    "choices": ("ppo", {"action": "target_weights", "discrete_actions": "per_ticker"}, {}),
    "portfolio": ("ppo", {"type": "portfolio", "covariance_lookback": 5}, {}),
    "slippage": ("ppo", {"volume_slippage": 0.1, "fractional_shares": True}, {}),
    "FinRL's env": ("ppo", {"parity": True}, {}),
    "one network for each ticker": ("a2c", EQUAL, {"policy": "PerTickerPolicy"}),
    "one choice of many": ("dqn", {**BANDED, "discrete_actions": "product"}, {}),
    "quantiles": ("tqc", {"lookback": 2, "observation": "stationary"}, {"normalize": "rewards"}),
    "coins": ("crossq", {"type": "crypto", "hmax": 0.2}, {"normalize": "observations"}),
}


def made(place, name: str, *, halts: float = 0.05, **env) -> SmallAgent:
    algorithm, options, agent = CASES[name]
    config = experiment(algorithm, env={**options, **env}, agent=agent)
    return small_agent(place, config, frame=price_frame(halts=halts), seed=5)


def start_of(agent: SmallAgent) -> str:
    return str(agent.market.dates[TRAINED_ROWS - 1])[:10]


@pytest.mark.parametrize("name", CASES)
def test_orders_are_those_of_the_env_on_every_bar(tmp_path, name) -> None:
    agent = made(tmp_path, name)
    deployed = load_agent(agent.folder)
    (history,) = evaluate_account(agent.model(), agent.env())
    assert history.trades is not None
    assert np.any(history.trades)
    days = len(history.trades)
    assert days == agent.market.n_periods - TRAINED_ROWS
    for day in range(days):
        row = TRAINED_ROWS - 1 + day
        signal = deployed.act(agent.market.rows(0, row + 1), start=start_of(agent))
        assert_equal_bits(signal.orders, history.trades[day] + 0.0)
        assert signal.date == str(agent.market.dates[row])[:10]
        assert signal.account_value == history.account_value[day]
        assert_equal_bits(signal.reference_price, agent.market.close[row])
        for i, codes in enumerate(signal.reasons):
            changed = not np.isclose(signal.planned[i], signal.orders[i], rtol=1e-6, atol=1e-6)
            assert codes or not changed
            assert "limited" not in codes
    account = deployed.account(agent.market)
    assert_equal_bits(account.account_value, history.account_value)
    assert_equal_bits(account.trades, history.trades)


@pytest.mark.parametrize("options", [{}, {**BANDED, "turbulence_threshold": 80.0}, SHORT])
def test_orders_for_the_next_open_are_those_that_the_env_plans(tmp_path, options) -> None:
    config = experiment(env={"fill": "next_open", **options})
    agent = small_agent(tmp_path, config, frame=price_frame(halts=0.05))
    deployed, model, env = load_agent(agent.folder), agent.model(), agent.env()
    observations, done, day = env.reset(), [False], 0
    while not done[0]:
        row = TRAINED_ROWS - 1 + day
        actions, _ = predict(model, observations, None, np.ones(1, bool), deterministic=True)
        planned = env.accounts.planned_orders(actions)[0]
        observations, _, done, infos = env.step(actions)
        traded = env.accounts.last_executed[0].copy()
        signal = deployed.act(agent.market.rows(0, row + 1))
        assert signal.fill == "next_open"
        assert_equal_bits(signal.planned, planned + 0.0)
        settled = deployed.settle(agent.market.rows(0, row + 2))
        assert_equal_bits(settled.orders, traded + 0.0)
        assert settled.date == signal.date
        assert_equal_bits(settled.planned, signal.planned)
        day += 1
    history = infos[0]["account_history"]
    assert np.any(history.trades)
    assert_equal_bits(deployed.account(agent.market).account_value, history.account_value)


@pytest.mark.parametrize("name", ["rules", "statistics inside stacks", "recurrent", "portfolio"])
def test_nothing_reads_a_row_after_the_bar(tmp_path, name) -> None:
    agent = made(tmp_path, name)
    row = TRAINED_ROWS + 9
    frame, cut = agent.frame, str(agent.market.dates[row])[:10]
    later = frame["date"] > cut
    other = frame.copy()
    for column in ("open", "high", "low", "close"):
        other.loc[later, column] *= 3.0
    other.loc[later, ["trend", "swing", "risk", "volume"]] = 99.0
    signals = [
        load_agent(agent.folder).act(rows)
        for rows in (frame[~later], agent.market.rows(0, row + 1))
    ]
    # and where the future is there, on the bar itself
    for whole in (frame, other):
        deployed = load_agent(agent.folder)
        market = deployed.market_of(whole)
        signals.append(deployed.act(market.rows(0, row + 1)))
    for signal in signals[1:]:
        assert signal.to_dict() == signals[0].to_dict()
    assert signals[0].date == cut


def test_one_bar_at_a_time_takes_one_step_and_says_the_same(tmp_path, monkeypatch) -> None:
    agent = made(tmp_path, "statistics inside stacks")
    deployed = load_agent(agent.folder)
    steps = []
    step = paper_account._Run.step
    monkeypatch.setattr(paper_account._Run, "step", lambda s, a: (steps.append(1), step(s, a)))
    for row in range(TRAINED_ROWS - 1, agent.market.n_periods):
        market = agent.market.rows(0, row + 1)
        steps.clear()
        signal = deployed.act(market)
        assert len(steps) == 1 + (row >= TRAINED_ROWS)
        assert signal.to_dict() == load_agent(agent.folder).act(market).to_dict()
    # rows that have changed since are stepped anew
    changed = dataclasses.replace(agent.market, features=agent.market.features + 1.0)
    other = deployed.act(changed)
    assert other.to_dict() == load_agent(agent.folder).act(changed).to_dict()
    assert not np.array_equal(other.action, signal.action)


@pytest.mark.parametrize(
    "name", ["rules", "short weights", "statistics inside stacks", "portfolio"]
)
def test_holdings_like_those_of_the_paper_account_change_nothing(tmp_path, name) -> None:
    agent = made(tmp_path, name)
    market = agent.market.rows(0, TRAINED_ROWS + 12)
    own = load_agent(agent.folder).act(market)
    assert np.any(own.holdings_before)
    shares = dict(zip(own.tickers, own.holdings_before.tolist(), strict=True))
    same = load_agent(agent.folder).act(market, Holdings(cash=own.cash_before, shares=shares))
    assert same.to_dict() == own.to_dict()
    # the observation made anew is the one that was seen
    close = agent.market.close[TRAINED_ROWS + 11]
    paid = {} if name == "rules" else dict(zip(own.tickers, close.tolist(), strict=True))
    anew = Holdings(cash=own.cash_before, shares=shares, bought_at=paid)
    if paid and name not in ("portfolio", "short weights"):
        assert_equal_bits(load_agent(agent.folder).act(market, anew).orders, own.orders)


def test_orders_follow_from_the_holdings_of_an_account(deployed) -> None:
    agent, market = load_agent(deployed.folder), deployed.market.rows(0, TRAINED_ROWS + 5)
    rich = agent.act(market, Holdings(cash=5e6, shares={"AAA": 1000.0}))
    assert rich.holdings_before.tolist() == [1000.0, 0.0, 0.0]
    assert rich.account_value == 5e6 + 1000.0 * market.close[-1, 0]
    np.testing.assert_allclose(rich.weight_before.sum() + 5e6 / rich.account_value, 1.0)
    spent = rich.orders @ rich.reference_price
    assert rich.cash_after == pytest.approx(5e6 - spent - rich.cost)
    assert rich.cost == pytest.approx(0.001 * np.abs(rich.orders) @ rich.reference_price)
    poor = agent.act(market, Holdings(cash=10.0, shares={}))
    assert not np.any(poor.orders)
    buys = np.flatnonzero(poor.planned >= 1)
    sells = np.flatnonzero(poor.planned <= -1)
    assert all("no_cash" in poor.reasons[i] for i in buys)
    assert all("not_held" in poor.reasons[i] for i in sells)
    assert buys.size + sells.size
    # what the account says does not touch the agent's own
    assert agent.act(market).to_dict() == load_agent(deployed.folder).act(market).to_dict()
    for holdings, told in (
        (Holdings(cash=1.0, shares={"AAAA": 1.0}), "does not trade .'AAAA'.; .*Did you mean 'AAA'"),
        (Holdings(cash=1.0, shares={"AAA": -1.0}), "trained without short sales"),
        (Holdings(cash=-1.0, shares={"AAA": 1.0}), "cash must be >= 0, got -1"),
        (Holdings(cash=0.0, shares={}), "worth more than 0 together, got 0"),
    ):
        with pytest.raises(DataError, match=told):
            agent.act(market, holdings)


class SellsShort:
    """A policy that sells whatever it can, for one account."""

    device = torch.device("cpu")

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return np.full((1, 3), -1.0, dtype=np.float32), None


def test_an_account_that_has_lost_everything_trades_no_more(tmp_path) -> None:
    frame = price_frame()
    risen = frame["date"] > str(frame["date"].unique()[TRAINED_ROWS + 2])
    for column in ("open", "high", "low", "close"):
        frame.loc[risen, column] *= 30.0
    config = experiment(env={"short": True, "hmax": 5000.0})
    agent = small_agent(tmp_path, config, frame=frame)
    deployed = load_agent(agent.folder)
    deployed._account.model = SellsShort()
    lost_on = TRAINED_ROWS + 3
    for rows in range(TRAINED_ROWS, TRAINED_ROWS + 8):
        signal = deployed.act(agent.market.rows(0, rows))
        lost = rows > lost_on
        assert lost == (signal.reasons == (("account_lost",),) * 3)
        assert lost != bool(np.any(signal.holdings_before) or np.any(signal.orders))
        account = deployed.account(agent.market.rows(0, rows + 1))
        assert len(account.dates) == rows + 2 - TRAINED_ROWS
        assert len(account.trades) == rows + 1 - TRAINED_ROWS
    assert account.account_value[-1] == signal.account_value
    json.dumps(signal.to_dict(), allow_nan=False)


def test_the_fee_for_shares_owed_is_told_apart_from_what_trading_costs(tmp_path) -> None:
    config = experiment(env={"short": True, "hmax": 50.0, "borrow_rate": 0.4})
    agent = small_agent(tmp_path, config, frame=price_frame())
    deployed = load_agent(agent.folder)
    deployed._account.model = SellsShort()
    market = agent.market.rows(0, TRAINED_ROWS + 5)
    for owed in ({"AAA": -30.0, "BBB": 20.0}, {"AAA": -400.0}):
        signal = deployed.act(market, Holdings(cash=100_000.0, shares=owed))
        assert (signal.orders < 0.0).any()
        owes = -np.minimum(signal.holdings_after, 0.0) @ signal.reference_price
        assert signal.borrow_fee == pytest.approx(0.4 / 365.0 * owes)
        paid = 0.001 * np.abs(signal.orders) @ signal.reference_price
        assert signal.cost - signal.borrow_fee == pytest.approx(paid)
        orders = orders_of(signal, 0.001, 0.001)
        for order in orders:
            assert order.cost == pytest.approx(0.001 * order.amount)


def test_indicators_of_new_bars_are_those_of_all_bars(tmp_path) -> None:
    frame = price_frame(400, seed=8, halts=0.02).drop(columns=["trend", "swing"])
    data = {"features": ("finrl", "volume"), "turbulence": True, "market_columns": ()}
    env = {"risk_indicator_col": "turbulence", "turbulence_threshold": 20.0}
    config = experiment(env=env, data=data)
    agent = small_agent(tmp_path, config, frame=frame, trained_rows=340)
    deployed, dates = load_agent(agent.folder), frame["date"].unique()
    (history,) = evaluate_account(agent.model(), agent.env())
    for day in (0, 1, 30, 58):
        known = frame[(frame["date"] <= dates[340 - 1 + day]) & (frame["date"] > dates[300])]
        signal = deployed.act(known)
        assert_equal_bits(signal.orders, history.trades[day] + 0.0)


def test_a_folder_needs_no_ray_and_loads_under_its_public_name(deployed) -> None:
    assert finrl_ray.load_agent is load_agent
    code = (
        "import sys, finrl_ray.deployment.agent; "
        "print([m for m in ('ray', 'optuna', 'finrl_ray.search') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_model_that_was_put_into_the_folder_is_refused(deployed, tmp_path) -> None:
    folder = shutil.copytree(deployed.folder, tmp_path / "agent")
    (folder / "model.zip").write_bytes(deployed.model_file.read_bytes() + b"\0")
    with pytest.raises(SearchError, match=r"not what was deployed: model.zip has"):
        load_agent(folder)


def test_what_the_agent_says_of_itself(deployed) -> None:
    agent = load_agent(deployed.folder)
    assert isinstance(agent, DeployedAgent)
    assert agent.tickers == ("AAA", "BBB", "CCC")
    assert agent.trained_until == "2020-03-25"
    assert agent.deployed_on == "2020-03-24"
    assert agent.verdict == {"sentences": ["No evidence."]}
    assert agent.config == deployed.config
    assert agent.bars["date"].max() == pd.Timestamp("2020-03-24")


def test_new_bars_follow_the_known_ones_bit_for_bit(deployed) -> None:
    agent = load_agent(deployed.folder)
    new = deployed.frame[deployed.frame["date"] > "2020-03-20"]
    assert agent.market_of(new).content_hash == deployed.market.content_hash
    assert agent.market_of().n_periods == TRAINED_ROWS
    stranger = new.assign(tic=new["tic"].replace({"AAA": "ZZZ"}))
    both = pd.concat([new, stranger[stranger["tic"] == "ZZZ"]])
    assert agent.market_of(both).content_hash == deployed.market.content_hash
    split = new.assign(close=new["close"] / 2)
    with pytest.raises(DataError, match=r"close of AAA on 2020-03-23 was .* by a split or a divid"):
        agent.market_of(split)


def test_a_market_that_does_not_fit_is_refused(deployed) -> None:
    agent, market = load_agent(deployed.folder), deployed.market
    renamed = dataclasses.replace(market, tickers=("AAA", "BBB", "NEW"))
    with pytest.raises(DataError, match=r"must have the agent's tickers .*, got .*'NEW'"):
        agent.act(renamed)
    with pytest.raises(DataError, match="begins on 2020-03-24, and the last bar is of 2020-03-23"):
        agent.act(market.rows(0, TRAINED_ROWS - 1))
    with pytest.raises(DataError, match="start must be a date such as 2020-01-31, got 'soon'"):
        agent.act(market, start="soon")
    with pytest.raises(DataError, match="features must be named once each, of those of the market"):
        agent.act(market.with_features(["trend"]))
