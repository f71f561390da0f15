"""The winner beside buy & hold: which days, which numbers, and how sure the ratio is."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_backtest import opened_with
from made_search import made_search

from finrl_ray.report.beside_market import Z_95, beside_market, ratio_interval
from finrl_ray.report.read_search import read_search
from finrl_ray.search.folder.names import FOLD_RETURNS_FILE


def account(seed: int, days: int = 80, *, drift: float = 0.0005) -> np.ndarray:
    returns = np.random.default_rng(seed).normal(drift, 0.01, days)
    return 1e6 * np.cumprod(np.concatenate([[1.0], 1.0 + returns]))


def test_before_the_test_window_is_opened_it_is_the_window_of_the_choice(tmp_path: Path) -> None:
    search = read_search(made_search(tmp_path, n_trials=3).path)
    found = beside_market(search)
    assert found is not None
    assert found.days == "validation"
    assert found.span == ("2020-07-01", "2021-01-29")
    assert found.value("total_return") == search.winner_row["total_return"] == 0.05
    held = search.baselines.set_index("strategy").loc["buy_and_hold"]
    assert found.held_value("sharpe_ratio") == held["sharpe_ratio"]
    assert math.isnan(found.held_value("exposure"))
    # the verdict is about the same returns
    verdict = search.verdict.verdict
    error = Z_95 * verdict.standard_error_annual
    assert found.ratio_interval == pytest.approx(
        (verdict.sharpe_annual - error, verdict.sharpe_annual + error)
    )


def test_afterwards_it_is_the_test_window(tmp_path: Path) -> None:
    own, held = account(1), account(2)
    folder = opened_with(made_search(tmp_path, n_trials=3), own, held)
    found = beside_market(read_search(folder.path))
    assert found is not None
    assert (found.days, found.span[0]) == ("test", "2021-02-01")
    assert found.value("total_return") == pytest.approx(own[-1] / own[0] - 1)
    assert found.held_value("total_return") == pytest.approx(held[-1] / held[0] - 1)
    low, high = found.ratio_interval
    assert low < found.value("appraisal_ratio") < high
    # 80 days are a third of a year: the ratio is known to about sqrt(252 / 80)
    assert (high - low) / (2 * Z_95) == pytest.approx(math.sqrt(252 / 80), rel=0.5)


def test_the_interval_holds_the_true_ratio_nineteen_times_in_twenty() -> None:
    held = account(0, days=500)
    market = held[1:] / held[:-1] - 1
    rng, true, within = np.random.default_rng(5), 1.0, 0
    for _ in range(400):
        beside = rng.normal(true / math.sqrt(252) * 0.01, 0.01, 500)
        own = np.cumprod(np.concatenate([[1.0], 1.0 + 0.5 * market + beside]))
        low, high = ratio_interval(pd.DataFrame({"agent": own, "buy_and_hold": held}), 252.0)
        within += low < true < high
    assert 0.92 < within / 400 < 0.98


@pytest.mark.parametrize(
    "own",
    [
        np.full(30, 1e6),  # cash
        np.concatenate([account(1, 28), [0.0]])[:29],  # everything lost
        np.concatenate([account(1, 10), np.zeros(19)]),
        account(1, 1),
    ],
)
def test_without_an_answer_the_interval_is_unknown(own: np.ndarray) -> None:
    frame = pd.DataFrame({"agent": own, "buy_and_hold": account(2, len(own) - 1)})
    found = ratio_interval(frame, 252.0)
    assert all(map(math.isnan, found)) or found[0] < found[1]
    assert all(map(math.isnan, ratio_interval(None, 252.0)))
    assert all(map(math.isnan, ratio_interval(frame[["agent"]], 252.0)))


def test_a_running_search_has_numbers_before_it_has_curves(tmp_path: Path) -> None:
    folder = made_search(tmp_path, n_trials=3, planned=9)
    (folder.path / "account_curves.parquet").unlink()
    found = beside_market(read_search(folder.path))
    assert found is not None
    assert found.span == ()
    assert found.value("total_return") == 0.05
    assert math.isnan(found.ratio_interval[0])


def test_without_a_winner_there_is_nothing_beside_the_market(tmp_path: Path) -> None:
    assert beside_market(read_search(made_search(tmp_path, n_trials=2, failed=[0, 1]).path)) is None


def test_of_folds_it_is_the_first_path(tmp_path: Path) -> None:
    folder = made_search(
        tmp_path, n_trials=3, validation={"scheme": "walk_forward", "n_windows": 2}
    )
    search = read_search(folder.path)
    rng, days = np.random.default_rng(3), pd.bdate_range("2020-07-01", periods=60)
    own, held = rng.normal(0.001, 0.01, 60), rng.normal(0.0, 0.01, 60)
    frame = pd.DataFrame(
        {
            "trial": search.winner,
            # a fold of another path, which is left out, comes after those of the first
            "fold": np.repeat([0, 1, 2], 20),
            "date": days,
            "return": own,
            "active_return": own - held,
        }
    )
    frame.to_parquet(folder.path / FOLD_RETURNS_FILE)
    found = beside_market(read_search(folder.path))
    assert found is not None
    assert found.days == "judged"
    assert found.span == ("2020-07-01", str(days[39])[:10])
    assert found.value("total_return") == pytest.approx(np.prod(1 + own[:40]) - 1)
    assert found.held_value("total_return") == pytest.approx(np.prod(1 + held[:40]) - 1)
    assert found.value("exposure") == 0.4
    low, high = found.ratio_interval
    assert low < found.value("appraisal_ratio") < high
