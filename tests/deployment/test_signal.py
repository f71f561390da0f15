"""A signal as a table and as JSON, and how far a day's features lie outside those of training."""

import json

import numpy as np
import pytest
from deployed_agents import TRAINED_ROWS

from finrl_ray.data.load import market_data_of
from finrl_ray.deployment.agent import load_agent
from finrl_ray.deployment.feature_ranges import feature_ranges, in_words
from finrl_ray.deployment.holdings import Holdings
from finrl_ray.deployment.signal import REASONS
from finrl_ray.errors import DataError


def test_a_signal_is_a_table_and_json_that_keeps_every_bit(deployed) -> None:
    signal = load_agent(deployed.folder).act(deployed.market.rows(0, TRAINED_ROWS + 3))
    content = json.loads(json.dumps(signal.to_dict(), allow_nan=False))
    for name in ("orders", "planned", "weight_before", "reference_price", "holdings_after"):
        assert content[name] == getattr(signal, name).tolist()
    frame = signal.to_frame()
    assert frame["ticker"].tolist() == ["AAA", "BBB", "CCC"]
    sides = {1.0: "buy", -1.0: "sell", 0.0: ""}
    assert frame["side"].tolist() == [sides[sign] for sign in np.sign(signal.orders)]
    assert (frame["shares"] >= 0).all()
    assert {code for codes in signal.reasons for code in codes} <= set(REASONS)
    before = signal.weight_before.sum() + signal.cash_before / signal.account_value
    assert before == pytest.approx(1.0)
    worth = signal.cash_after + signal.holdings_after @ signal.reference_price
    assert signal.weight_after.sum() + signal.cash_after / worth == pytest.approx(1.0)


def test_features_beyond_those_of_training_are_named_the_farthest_first(deployed) -> None:
    trained = deployed.market.rows(0, TRAINED_ROWS)
    ranges = feature_ranges(trained, with_close=True)
    for row in range(TRAINED_ROWS):
        assert ranges.outside(trained, row) == ()
    assert in_words((), 3).startswith("All of today's features lie within")
    frame = deployed.frame.copy()
    last = frame["date"] == frame["date"].iloc[-1]
    mean, std = trained.features[:, :, 0].mean(axis=0), trained.features[:, :, 0].std(axis=0)
    frame.loc[last, "trend"] = mean + np.array([9.0, -20.0, 0.0]) * std
    frame.loc[last, "swing"] = 50.0
    signal = load_agent(deployed.folder).act(frame)
    first = signal.unfamiliar[0]
    assert (first.name, first.ticker) == ("trend", "BBB")
    assert first.share == pytest.approx(2 / 3)
    assert first.z_score == pytest.approx(-20.0)
    assert first.value < first.least < first.most
    assert "swing" not in {one.name for one in signal.unfamiliar}
    assert "the farthest is trend of BBB, 20.0 standard deviations" in signal.unfamiliar_in_words
    assert f"{len(signal.unfamiliar)} of today's 3 features lie" in signal.unfamiliar_in_words


def test_a_feature_that_never_changed_and_does_is_infinitely_far(deployed) -> None:
    frame = deployed.frame.assign(swing=50.0)
    market = market_data_of(frame, deployed.config.data)[0]
    ranges = feature_ranges(market.rows(0, TRAINED_ROWS), with_close=False)
    assert "swing" not in {one.name for one in ranges.outside(market, TRAINED_ROWS)}
    later = market_data_of(frame.assign(swing=51.0), deployed.config.data)[0]
    found = {one.name: one for one in ranges.outside(later, TRAINED_ROWS)}
    assert found["swing"].z_score == np.inf
    assert "where it never changed there" in in_words([found["swing"]], 2)


def test_holdings_are_numbers() -> None:
    for values, told in (
        ({"cash": float("nan"), "shares": {}}, "cash must be a finite number, got nan"),
        ({"cash": 1.0, "shares": {"AAA": "3"}}, "shares of AAA must be a finite number, got '3'"),
        (
            {"cash": 1.0, "shares": {}, "bought_at": {"AAA": 0.0}},
            "bought_at of AAA must be a price",
        ),
    ):
        with pytest.raises(DataError, match=told):
            Holdings(**values)
    shares = Holdings(cash=0.0, shares={"BBB": 2, "OTHER": 0.0}).shares_of(
        ("AAA", "BBB"), short=False
    )
    assert shares.tolist() == [0.0, 2.0]
