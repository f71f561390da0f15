"""A real search's report: what the winner held is what its account was made of."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import ray

sys.path.append(str(Path(__file__).parents[1] / "search"))
from small_search import small_config

from finrl_ray.report import backtest, figures
from finrl_ray.report.search_report import SearchReport, read_search
from finrl_ray.report.winner_account import ACCOUNT_FILE, test_account, validation_account
from finrl_ray.report.write import write_report
from finrl_ray.search.runner import run_search

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ray_session() -> Iterator[None]:
    """One Ray for the searches of this file: starting it costs more than any of them."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(scope="module", params=["close", "next_open"])
def search(request, ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> SearchReport:
    place = tmp_path_factory.mktemp("account")
    config = small_config(
        place, env={"fill": request.param, "hmax": 500}, search={"num_samples": 2}
    )
    result = run_search(config)
    backtest.backtest(result.path)
    return read_search(result.path)


def test_cash_and_positions_are_the_account(search: SearchReport) -> None:
    frame = validation_account(search)
    assert frame is not None
    value = (frame["shares"] * frame["close"]).groupby(frame["date"]).sum()
    daily = frame.groupby("date").first()
    np.testing.assert_allclose(value + daily["cash"], daily["account_value"], rtol=1e-9)
    # it is the very evaluation by which the trial was judged
    np.testing.assert_allclose(
        daily["account_value"].to_numpy(), search.account_curve["account_value"], rtol=1e-6
    )
    assert daily["cost"].iloc[0] == 0.0
    assert (daily["cost"] >= 0).all()


def test_the_test_window_likewise(search: SearchReport) -> None:
    frame = test_account(search)
    assert frame is not None
    value = (frame["shares"] * frame["close"]).groupby(frame["date"]).sum()
    account = frame.groupby("date")["account_value"].first()
    assert (value <= account * (1 + 1e-9)).all()
    assert account.to_numpy() == pytest.approx(search.backtest_curves["agent"].to_numpy())


def test_the_model_is_asked_once(search: SearchReport, monkeypatch) -> None:
    first = validation_account(search)
    kept = search.path / ACCOUNT_FILE
    before = kept.stat().st_mtime_ns
    monkeypatch.setattr("finrl_ray.report.winner_account.load_winner", None)
    pd.testing.assert_frame_equal(validation_account(search), first)
    assert kept.stat().st_mtime_ns == before


def test_every_figure_but_the_confirmed_is_there(search: SearchReport) -> None:
    empty = [make.__name__ for make in figures.ALL if make(search).empty]
    # two trials are too few for an importance
    assert empty == ["seeds_and_windows", "importance"]
    write_report(search.path)
    assert (search.path / "report" / "test_account_curves.svg").is_file()
    positions = figures.positions(search)
    (areas,) = positions.panels[0].marks
    total = np.sum(list(areas.layers.values()), axis=0)
    np.testing.assert_allclose(total, 1.0)
