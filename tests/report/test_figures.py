"""Every figure of a search: what it shows, that it can be drawn both ways, and when it is empty."""

import math
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_search import EVALUATIONS, STEPS, made_search
from PIL import Image

from finrl_ray.report import figures
from finrl_ray.report.charts.figure import Figure
from finrl_ray.report.charts.model import Bars, Line, Parallel, Points, Rule
from finrl_ray.report.figures.accounts import drawdown, monthly_table
from finrl_ray.report.figures.hyperparameters import Axis, compared
from finrl_ray.report.figures.positions import exposures, held_marks, held_weights
from finrl_ray.report.read_search import SearchReport, read_search


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> SearchReport:
    return read_search(made_search(tmp_path_factory.mktemp("made"), failed=[4]).path)


@pytest.fixture(scope="module")
def drawn(search: SearchReport) -> dict[str, Figure]:
    return {figure.name: figure for figure in (make(search) for make in figures.ALL)}


def test_which_are_there(drawn: dict[str, Figure]) -> None:
    empty = {name for name, figure in drawn.items() if figure.empty}
    # nobody has opened the test window, saved a model or trained with several seeds
    assert empty == {
        "test_account_curves",
        "positions",
        "turnover_and_costs",
        "seeds_and_windows",
    }
    assert all(figure.caption for figure in drawn.values() if not figure.empty)
    assert all(len(figure.table) for figure in drawn.values() if not figure.empty)


@pytest.mark.parametrize(
    "name",
    ["best_so_far", "learning_curves", "trial_sharpes", "account_curves", "monthly_returns",
     "parallel_coordinates", "importance", "throughput"],
)  # fmt: skip
def test_each_is_drawn_by_plotly_and_as_files(drawn, tmp_path: Path, name: str) -> None:
    figure = drawn[name]
    plotly = figure.plotly()
    assert len(plotly.data) >= 1
    assert not any(trace.type == "parcoords" or trace.type.endswith("gl") for trace in plotly.data)
    figure.save(tmp_path / "a.png")
    figure.save(tmp_path / "a.svg")
    with Image.open(tmp_path / "a.png") as image:
        grey = np.asarray(image.convert("L"))
    assert (grey < 200).sum() > 500  # not a blank page
    assert ET.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
    bundle = figure._repr_mimebundle_()
    assert {"image/png", "application/vnd.plotly.v1+json"} <= set(bundle)


def test_an_empty_figure_says_why_and_draws_nothing(drawn, tmp_path: Path) -> None:
    figure = drawn["test_account_curves"]
    assert "sealed" in figure.empty
    with pytest.raises(ValueError, match="sealed"):
        figure.plotly()
    with pytest.raises(ValueError, match="sealed"):
        figure.save(tmp_path / "a.png")
    assert "sealed" in figure._repr_mimebundle_()["text/plain"]


def test_best_so_far_ends_at_the_winner(search: SearchReport, drawn) -> None:
    table = drawn["best_so_far"].table
    assert table["best_trial"].iloc[-1] == search.winner
    row = search.table[search.table["rank"] == 1].iloc[0]
    assert table["best_score"].iloc[-1] == row["score"]
    assert table["total_timesteps"].iloc[-1] == search.total_timesteps
    assert table["elapsed_s"].is_monotonic_increasing


def test_learning_curves_say_where_each_trial_was_stopped_and_why(search, drawn) -> None:
    (panel,) = drawn["learning_curves"].panels
    ends = {mark.name: mark for mark in panel.marks if isinstance(mark, Points)}
    stopped = [r for r in search.trials if r.state == "stopped" and r.index != search.winner]
    assert ends["stopped early"].x.tolist() == [EVALUATIONS // 2 * STEPS] * len(stopped)
    assert all("stopped after 2 evaluations" in text for text in ends["stopped early"].text)
    assert ["ValueError: <b>no</b>" in text for text in ends["failed"].text] == [True]
    best = next(m for m in panel.marks if isinstance(m, Line) and m.role == "winner")
    assert len(best.x) == len(search.trials[search.winner].results)
    # all others are one line per state, with a gap after each trial
    quiet = [mark for mark in panel.marks if isinstance(mark, Line) and mark.quiet]
    gaps = sum(int(np.isnan(mark.x).sum()) for mark in quiet)
    assert gaps == len(search.trials) - 1


def test_luck_is_drawn_as_the_verdict_counts_it(search: SearchReport, drawn) -> None:
    (panel,) = drawn["trial_sharpes"].panels
    verdict = search.verdict.verdict
    rules = {mark.label: mark.at for mark in panel.marks if isinstance(mark, Rule)}
    assert rules == {
        "expected of luck": verdict.luck_annual,
        "winner": verdict.sharpe_annual,
    }
    bars = next(mark for mark in panel.marks if isinstance(mark, Bars))
    assert bars.y.sum() == len(search.trials) - 1  # the failed one left no returns
    one, best = (mark for mark in panel.marks if isinstance(mark, Line))
    width = np.diff(one.x)[0]
    # both are densities, made as high as the bars
    for line in (one, best):
        assert line.y.sum() * width == pytest.approx(bars.y.sum() * bars.widths[0], rel=0.02)
    mean = float((best.x * best.y).sum() / best.y.sum())
    assert mean == pytest.approx(verdict.luck_annual, rel=0.05)
    row = drawn["trial_sharpes"].table.set_index("trial").loc[str(search.winner)]
    assert row["judged_ratio"] == pytest.approx(verdict.sharpe_annual)


def test_account_curves_are_the_winners_and_the_baselines(search: SearchReport, drawn) -> None:
    table = drawn["account_curves"].table
    assert {"agent", "buy_and_hold", "cash"} <= set(table.columns)
    kept = pd.read_parquet(search.path / "account_curves.parquet")
    own = kept[kept["trial"] == search.winner]["account_value"].to_numpy()
    np.testing.assert_array_equal(table["agent"], own)
    value, under = drawn["account_curves"].panels
    np.testing.assert_allclose(under.marks[0].y, drawdown(own))
    assert len(value.marks) == len(table.columns) - 1


def test_drawdown_by_hand() -> None:
    np.testing.assert_allclose(drawdown(np.array([1.0, 2.0, 1.0, 3.0, 1.5])), [0, 0, -0.5, 0, -0.5])


def test_monthly_returns_by_hand() -> None:
    dates = pd.Series(pd.to_datetime(["2020-11-30", "2020-12-01", "2020-12-31", "2021-02-01"]))
    table = monthly_table(dates, np.array([100.0, 110.0, 120.0, 60.0]))
    assert table.index.tolist() == [2020, 2021]
    assert table.loc[2020, "Nov"] == 0.0
    assert table.loc[2020, "Dec"] == pytest.approx(0.2)
    assert table.loc[2021, "Feb"] == pytest.approx(-0.5)
    assert math.isnan(table.loc[2021, "Jan"])
    assert table.loc[2020, "whole year"] == pytest.approx(0.2)
    assert table.loc[2021, "whole year"] == pytest.approx(-0.5)


def test_parallel_coordinates_put_the_best_last(search: SearchReport, drawn) -> None:
    (panel,) = drawn["parallel_coordinates"].panels
    (mark,) = panel.marks
    assert isinstance(mark, Parallel)
    trials, objectives, axes = compared(search)
    assert 4 not in trials  # it has failed
    assert list(mark.axes) == [*(axis.name for axis in axes), "score"]
    assert {"learning_rate", "n_steps", "net_arch", "gamma"} <= set(mark.axes)
    assert mark.places.min() >= 0.0
    assert mark.places.max() <= 1.0
    assert np.argmax(mark.worth) == np.argmax(objectives)
    *_, (number, rows, x, _) = mark.bands(7)
    assert number == 6
    assert np.argmax(objectives) in rows
    assert np.isnan(x).sum() == len(rows)


def test_importance_finds_what_matters() -> None:
    rng = np.random.default_rng(0)
    n = 60
    matters, idle = rng.uniform(0, 1, n), rng.uniform(0, 1, n)
    from finrl_ray.report.figures.hyperparameters import _ped_anova

    axes = [
        Axis(name="matters", values=matters.tolist()),
        Axis(name="idle", values=idle.tolist()),
        Axis(name="option", values=["a", "b"] * (n // 2), options=["a", "b"]),
    ]
    found = _ped_anova(-((matters - 0.3) ** 2), axes)
    assert sum(found.values()) == pytest.approx(1.0)
    assert found["matters"] > 0.6


@pytest.mark.parametrize(
    ("values", "options", "log"),
    [
        ([1e-5, 1e-3, 1e-4], [], True),
        ([0.1, 0.2, 0.1, 0.1, 0.2, 0.2], [0.1, 0.2], False),
        (["tanh", "relu", "tanh"], ["relu", "tanh"], False),
        ([1, None, 2], [1, 2, None], False),
        ([True, False, True], [False, True], False),
        ([[64, 64], [32], [32]], [[32], [64, 64]], False),
    ],
)
def test_axes_of_every_kind_of_value(values, options, log) -> None:
    from finrl_ray.report.figures.hyperparameters import _axis

    axis = _axis("x", values)
    assert axis is not None
    assert list(axis.options) == options
    assert axis.log is log
    places = axis.places()
    assert places.min() == 0.0
    assert places.max() == 1.0
    assert axis.distribution() is not None
    for position in range(len(values)):
        assert axis.distribution()._contains(
            axis.distribution().to_internal_repr(axis.optuna_value(position))
        )


def test_a_value_that_all_share_has_no_axis() -> None:
    from finrl_ray.report.figures.hyperparameters import _axis

    assert _axis("x", [3, 3, 3]) is None


def test_weights_add_up_to_one_and_many_tickers_are_put_together() -> None:
    dates = np.repeat(pd.bdate_range("2020-01-01", periods=2).to_numpy(), 13)
    names = [f"T{i}" for i in range(11)] + ["cash", "other tickers"]
    shares = np.concatenate([np.zeros(13), np.arange(13.0)])
    frame = pd.DataFrame(
        {"date": dates, "tic": names * 2, "close": 2.0, "shares": shares, "account_value": 1000.0}
    )
    weights = held_weights(frame)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert weights["cash"].tolist() == [1.0, 1.0 - 2.0 * shares.sum() / 1000.0]
    # a ticker of that name is another column than the cash
    assert weights["cash "].iloc[1] == pytest.approx(2.0 * 11 / 1000)
    assert weights["other tickers"].iloc[1] == pytest.approx(2.0 * (0 + 1 + 2) / 1000)


def test_of_shares_owed_the_exposures_are_shown() -> None:
    dates = np.repeat(pd.bdate_range("2020-01-01", periods=3).to_numpy(), 2)
    frame = pd.DataFrame(
        {
            "date": dates,
            "tic": ["A", "B"] * 3,
            "close": [10.0, 20.0] * 3,
            "shares": [0.0, 0.0, 30.0, -25.0, 1e-12, 0.0],
            # all is lost on the last day, and what rounding leaves is no position
            "account_value": np.repeat([1000.0, 1000.0, 1e-9], 2),
        }
    )
    found = exposures(frame)
    assert found["long"].tolist() == [0.0, 0.3, 0.0]
    assert found["short"].tolist() == [0.0, -0.5, 0.0]
    assert found["net"].tolist() == pytest.approx([0.0, -0.2, 0.0])
    assert found["gross"].tolist() == pytest.approx([0.0, 0.8, 0.0])
    assert [mark.name for mark in held_marks(frame)] == ["long", "short", "net", "gross"]
    (areas,) = held_marks(frame.assign(shares=frame["shares"].abs()))
    assert list(areas.layers) == ["B", "A", "cash"]
