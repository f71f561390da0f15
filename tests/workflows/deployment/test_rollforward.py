"""A chain of agents through history: each of its past, one account, judged beside buy & hold."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_search import made_search, prices

from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.config.load import parse_config
from finrl_ray.errors import ConfigError, DataError, SearchError
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.folder.names import OPENINGS_FILE
from finrl_ray.search.folder.test_openings import count_openings
from finrl_ray.workflows.deployment.rollforward import Rollforward, rollforward

SECTIONS: dict[str, Any] = {
    "env": {"observation_scaling": "train", "random_start": True},
    "agent": {"total_timesteps": 1024, "n_envs": 2, "normalize": True},
}
EVERY = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> SearchFolder:
    return made_search(tmp_path_factory.mktemp("made"), n_trials=3, failed=[1], **SECTIONS)


@pytest.fixture(scope="module")
def found(folder) -> Rollforward:
    return rollforward(folder.path, every=EVERY, on_ray=False)


def test_the_chain_covers_the_validation_window(folder, found) -> None:
    window = folder.split.validation
    dates = folder.market_data.dates[window.first_row : folder.split.test.first_row]
    assert found.chain["date"].to_numpy().tolist() == dates.tolist()
    rows = folder.market_data.rows(window.first_row, folder.split.test.first_row)
    held = buy_and_hold(rows, folder.config.env)
    np.testing.assert_array_equal(found.chain["buy_and_hold"], held)
    assert list(found.steps["step"]) == [1, 2, 3]
    assert list(found.steps["trained_until"]) == list(found.steps["first"])
    assert set(found.steps["trained_from"]) == {"2020-01-01"}
    # each hands the account over where the next one begins
    assert list(found.steps["last"][:-1]) == list(found.steps["first"][1:])
    grown = (1.0 + found.steps["agent_return"]).prod()
    values = found.chain["agent"].to_numpy()
    assert grown == pytest.approx(values[-1] / values[0], rel=1e-9)
    assert values[0] == folder.config.env.initial_amount
    assert count_openings(folder.path) == 0


def test_it_is_written_and_judged(found, folder) -> None:
    read = pd.read_csv(found.path / "chain.csv")
    np.testing.assert_allclose(read["agent"], found.chain["agent"], rtol=1e-15)
    content = json.loads((found.path / "rollforward.json").read_text())
    assert content["verdict"] == found.verdict.kind
    assert content["sentences"] == found.sentences()
    assert found.verdict.n_trials == 3  # failed ones count too
    assert found.verdict.n_periods == len(found.chain) - 1
    said = "\n".join(found.sentences())
    assert "3 agents, a new one every 60 rows (growing window)" in said
    assert "repeats the luck of that choice" in said


def test_the_future_of_an_agent_does_not_matter(found, tmp_path) -> None:
    rows = prices(("AAA", "BBB", "CCC"))
    turn = found.steps["first"].iloc[-1]
    rows.loc[rows["date"] > turn, "close"] *= 1.7
    other = made_search(tmp_path, n_trials=3, failed=[1], rows=rows, **SECTIONS)
    changed = rollforward(other.path, every=EVERY, on_ray=False)
    before = found.chain["date"] <= pd.Timestamp(turn)
    assert before.sum() > 100
    np.testing.assert_array_equal(found.chain["agent"][before], changed.chain["agent"][before])
    assert not np.array_equal(found.chain["agent"], changed.chain["agent"])


@pytest.mark.parametrize(
    "env",
    [
        {"fill": "next_open", "action": "target_weights", "fractional_shares": True},
        {"type": "portfolio"},
    ],
)
def test_positions_are_kept_from_agent_to_agent(tmp_path, env) -> None:
    rows = prices(("AAA", "BBB", "CCC"))
    rows["open"] = rows["close"] * 1.001
    settled = env if env.get("type") else {**env, "observation_scaling": "train"}
    agent = {"total_timesteps": 256, "n_envs": 2}
    folder = made_search(tmp_path, n_trials=1, rows=rows, env=settled, agent=agent)
    found = rollforward(folder.path, every=70, window="rolling", on_ray=False)
    values = found.chain["agent"].to_numpy()
    assert np.isfinite(values).all()
    assert len(found.steps) == 3
    assert len(set(found.steps["rows"])) == 1
    returns = np.abs(np.diff(values) / values[:-1])
    assert returns.max() < 0.1  # no jump where the account changes hands


def test_a_sealed_test_window_is_not_traded(folder, tmp_path) -> None:
    with pytest.raises(SearchError, match=r"would trade the test window, .* 2021-02-01"):
        rollforward(folder.path, until="2021-03-01", on_ray=False)
    other = made_search(tmp_path, n_trials=1, agent={"total_timesteps": 256, "n_envs": 2})
    (other.path / OPENINGS_FILE).write_text("{}\n")
    model = other.path / "final_model" / "model.zip"
    model.parent.mkdir()
    model.write_bytes(b"")
    found = rollforward(other.path, start="2021-02-01", every=200, on_ray=False)
    assert count_openings(other.path) == 2
    assert found.notes == ("each agent was trained on rows before its first trade alone",)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"every": -1}, ConfigError, "every must be >= 1, got -1"),
        ({"every": 0}, ConfigError, "every must be >= 1, got 0"),
        ({"window": "expanding"}, ConfigError, "window must be one of"),
        ({"start": "2031-01-01"}, DataError, "start must be within 2020-01-01 to 2021-07-13"),
        ({"start": "now"}, DataError, "start must be a date written YYYY-MM-DD"),
        ({"start": "2021-02-01"}, ConfigError, "a chain needs at least 2 rows"),
        ({"trial": 1}, SearchError, "trial 1 cannot be deployed"),
    ],
)
def test_what_cannot_be_done_is_refused(folder, options, error, message) -> None:
    with pytest.raises(error, match=message):
        rollforward(folder.path, on_ray=False, **options)


def test_the_config_says_when(tmp_path) -> None:
    config = parse_config({"deploy": {"retrain": {"every": 21, "window": "rolling"}}})
    assert (config.deploy.retrain.every, config.deploy.retrain.window) == (21, "rolling")
    with pytest.raises(ConfigError, match="every must be >= 1"):
        parse_config({"deploy": {"retrain": {"every": 0}}})
    with pytest.raises(ConfigError, match="growing"):
        parse_config({"deploy": {"retrain": {"window": "expanding"}}})


@pytest.mark.slow
def test_on_ray_it_is_the_same(folder, found, ray_session: None) -> None:
    again = rollforward(folder.path, every=EVERY)
    pd.testing.assert_frame_equal(found.chain, again.chain, check_exact=True)
    pd.testing.assert_frame_equal(found.steps, again.steps, check_exact=True)
    assert Path(again.path) == found.path
