"""One configuration over several folds: what is trained on what, reported when, resumed how."""

import dataclasses
import math
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bit_equality import assert_equal_bits

from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.data import SplitConfig
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import parse_config
from finrl_ray.config.search import SearchConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.data.windows.folds import ValidationPlan, plan_validation
from finrl_ray.data.windows.split import make_split
from finrl_ray.files.manifest import find_damage
from finrl_ray.metrics.beside_benchmark import appraisal_ratio
from finrl_ray.metrics.performance import max_drawdown, sharpe_ratio
from finrl_ray.metrics.returns import simple_returns
from finrl_ray.search.results.ranking import result_score
from finrl_ray.training.agent import StartPoint
from finrl_ray.training.fold_results import FoldResult, read_folds, write_folds
from finrl_ray.training.folds import fold_metrics, fold_seed, train_folds

SAMPLE = {"n_steps": 64, "batch_size": 64, "n_epochs": 1, "net_arch": "tiny"}


def config(search: dict[str, Any] | None = None, **validation: Any) -> ExperimentConfig:
    return ExperimentConfig(
        seed=4,
        split=SplitConfig(
            train=(None, date(2005, 6, 1)),
            validation=(date(2005, 6, 1), date(2005, 12, 1)),
            test=(date(2005, 12, 1), None),
        ),
        env=EnvConfig(random_start=True, observation_scaling="train"),
        agent=AgentConfig(total_timesteps=256, n_envs=2, normalize="rewards"),
        validation=parse_config({"validation": validation}).validation,
        search=SearchConfig(**(search or {})),
    )


@pytest.fixture(scope="module")
def market_data() -> MarketData:
    return MarketData.from_finrl(read_bundled(), features=["volume"]).rows(0, 400)


def planned(market_data: MarketData, config: ExperimentConfig) -> tuple[MarketData, ValidationPlan]:
    plan = plan_validation(market_data, make_split(market_data, config.split), config)
    return plan.development(market_data), plan


class Reports:
    """Keeps the metrics of each report, and its checkpoint where a folder is given."""

    def __init__(self, folder: Path | None = None, stop_after: int = 99) -> None:
        self.folder, self.stop_after = folder, stop_after
        self.metrics: list[dict[str, Any]] = []

    def __call__(self, metrics: dict[str, Any], save: Any) -> None:
        self.metrics.append(metrics)
        if self.folder is not None:
            place = self.folder / f"checkpoint_{len(self.metrics)}"
            place.mkdir()
            save(place)
        if len(self.metrics) == self.stop_after:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_trial_goes_on_from_its_folds_as_if_never_stopped(market_data, tmp_path) -> None:
    settings = config(scheme="cpcv", n_groups=4, embargo=5, seeds=1)
    rows, plan = planned(market_data, settings)
    whole = Reports()
    expected = train_folds(SAMPLE, settings, rows, plan, whole)
    assert [m["folds"] for m in whole.metrics] == [1, 2, 3, 4, 5, 6]
    assert [m["paths"] for m in whole.metrics] == [0, 1, 1, 2, 2, 3]
    assert [m["timesteps"] for m in whole.metrics] == [256 * k for k in range(1, 7)]
    stopped = Reports(tmp_path, stop_after=3)
    with pytest.raises(KeyboardInterrupt):
        train_folds(SAMPLE, settings, rows, plan, stopped)
    place = tmp_path / "checkpoint_3"
    assert find_damage(place) == ""
    rest = Reports()
    done = train_folds(SAMPLE, settings, rows, plan, rest, StartPoint(checkpoint=place))
    assert stopped.metrics + rest.metrics == whole.metrics
    again = Reports()
    unreported = StartPoint(checkpoint=place, must_report=True)
    train_folds(SAMPLE, settings, rows, plan, again, unreported)
    assert again.metrics == whole.metrics[2:]
    told = Reports()
    train_folds(
        SAMPLE, settings, rows, plan, told, StartPoint(checkpoint=place, notes="one was damaged")
    )
    assert [m.get("notes") for m in told.metrics] == ["one was damaged", None, None]
    for one, other in zip(expected, done, strict=True):
        assert_equal_bits(one.returns, other.returns)
        assert_equal_bits(one.active, other.active)
        assert_equal_bits(one.dates, other.dates)
    # each training has a seed of its own, and each path covers the same days
    seeds = [result.seed for result in done]
    assert seeds == [fold_seed(settings, SAMPLE, k) for k in range(6)]
    days = [np.sort(np.concatenate([r.dates for r in done[k : k + 2]])) for k in (0, 2, 4)]
    assert_equal_bits(days[0], days[1])
    assert_equal_bits(days[0], days[2])


@pytest.mark.slow
def test_returns_are_those_of_the_judged_segments_and_begin_anew_in_each(market_data) -> None:
    settings = config(scheme="cpcv", n_groups=4, embargo=5)
    rows, plan = planned(market_data, settings)
    done = train_folds(SAMPLE, settings, rows, plan, Reports())
    for fold, result in zip(plan.folds, done, strict=True):
        segments = [rows.rows(a, b) for a, b in fold.judged]
        assert_equal_bits(result.dates, np.concatenate([segment.dates[1:] for segment in segments]))
        held = [simple_returns(buy_and_hold(segment, settings.env)) for segment in segments]
        np.testing.assert_allclose(result.returns - result.active, np.concatenate(held), atol=1e-15)


@pytest.mark.slow
def test_rows_that_are_judged_do_not_change_what_is_trained(market_data) -> None:
    """A fold's training, its scaling included, reads nothing of its judged rows but features."""
    settings = config(scheme="walk_forward", n_windows=2)
    rows, plan = planned(market_data, settings)
    first = train_folds(SAMPLE, settings, rows, plan, Reports())
    ((begin, stop),) = plan.folds[1].judged
    close = rows.close.copy()
    close[begin:stop] *= np.linspace(1.0, 3.0, stop - begin)[:, None]

    altered = dataclasses.replace(rows, close=close)
    second = train_folds(SAMPLE, settings, altered, plan, Reports())
    assert_equal_bits(first[0].returns, second[0].returns)
    assert not np.array_equal(first[1].returns, second[1].returns)


@pytest.mark.slow
def test_a_drawdown_beyond_the_limit_ends_the_trial_at_that_fold(market_data) -> None:
    settings = config(scheme="cpcv", n_groups=4, embargo=5)
    rows, plan = planned(market_data, settings)
    depths = [
        max_drawdown(result.returns)
        for result in train_folds(SAMPLE, settings, rows, plan, Reports())
    ]
    first = next(k for k, depth in enumerate(depths[:-1]) if depth < 0)
    limited = config(
        {"max_drawdown_limit": depths[first] / 2}, scheme="cpcv", n_groups=4, embargo=5
    )
    reports = Reports()
    done = train_folds(SAMPLE, limited, rows, plan, reports)
    assert len(done) == first + 1
    assert "is beyond the limit" in reports.metrics[-1]["stop_reason"]


def made_up(seed: int, n: int = 60) -> FoldResult:
    rng = np.random.default_rng(seed)
    returns, held = rng.normal(0.001, 0.01, n), rng.normal(0.0, 0.01, n)
    return FoldResult(
        fold=seed,
        seed=seed,
        timesteps=100,
        dates=np.datetime64("2020-01-01", "ns") + np.arange(n) * np.timedelta64(1, "D"),
        returns=returns,
        active=returns - held,
        turnover=2.0,
    )


def test_the_measure_of_the_ranking_has_its_standard_error() -> None:
    settings = config(scheme="cpcv", n_groups=4)
    done = [made_up(k) for k in range(4)]
    ratios = np.array([appraisal_ratio(one.returns, one.benchmark) for one in done])
    metrics = fold_metrics(done, settings, 252.0)
    assert metrics["eval/appraisal_ratio"] == pytest.approx(ratios.mean(), rel=1e-6)
    assert metrics["eval/appraisal_ratio_se"] == pytest.approx(ratios.std(ddof=1) / 2, rel=1e-6)
    assert result_score(metrics, settings) == pytest.approx(
        ratios.mean() - ratios.std(ddof=1) / 2, rel=1e-6
    )
    # one training has no spread; its error is that of its own ratio, and not 0
    alone = fold_metrics(done[:1], settings, 252.0)
    assert alone["eval/appraisal_ratio_se"] == pytest.approx((60 / 252) ** -0.5, rel=0.2)
    # of a measure that is no ratio of mean and deviation it is as large as the value
    search = dataclasses.replace(settings.search, rank_by="total_return")
    other = fold_metrics(done[:1], dataclasses.replace(settings, search=search), 252.0)
    assert other["eval/total_return_se"] == abs(other["eval/total_return"])


def test_a_measure_that_a_fold_lacks_is_left_out_of_the_mean() -> None:
    settings = config(scheme="cpcv", n_groups=4)
    first, second = dataclasses.replace(made_up(0), exposure=0.25), made_up(1)
    for done in ([first, second], [second, first]):
        metrics = fold_metrics(done, settings, 252.0)
        assert "eval/exposure" not in metrics
        assert metrics["eval/turnover"] == 2.0
    second = dataclasses.replace(second, exposure=0.75)
    assert fold_metrics([first, second], settings, 252.0)["eval/exposure"] == 0.5


def test_folds_of_earlier_versions_have_no_exposure(tmp_path: Path) -> None:
    kept = dataclasses.replace(made_up(1), exposure=0.25)
    write_folds([kept], tmp_path)
    assert read_folds(tmp_path)[0].exposure == 0.25
    with np.load(tmp_path / "folds.npz") as file:
        arrays = {name: file[name] for name in file.files if name != "exposure"}
    np.savez(tmp_path / "folds.npz", **arrays)
    assert math.isnan(read_folds(tmp_path)[0].exposure)


def test_the_objective_is_the_mean_active_sharpe_less_its_standard_error() -> None:

    settings = config(scheme="cpcv", n_groups=4)
    done = [made_up(k) for k in range(4)]
    metrics = fold_metrics(done, settings, 252.0)
    sharpes = np.array([sharpe_ratio(result.active, periods_per_year=252.0) for result in done])
    error = sharpes.std(ddof=1) / 2.0
    assert metrics["eval/active_sharpe_ratio"] == pytest.approx(sharpes.mean(), rel=1e-12)
    assert metrics["eval/active_sharpe_se"] == pytest.approx(error, rel=1e-12)
    assert metrics["objective"] == pytest.approx(sharpes.mean() - error, rel=1e-12)
    worst = min(max_drawdown(result.returns) for result in done)
    assert metrics["eval/max_drawdown"] == pytest.approx(worst, rel=1e-9)
    assert (metrics["timesteps"], metrics["folds"], metrics["paths"]) == (400, 4, 2)
    # one training has no spread; its error is that of its own Sharpe ratio, and not 0
    alone = fold_metrics(done[:1], settings, 252.0)
    years = 60 / 252
    assert alone["eval/active_sharpe_se"] == pytest.approx(years**-0.5, rel=0.2)
    plain = dataclasses.replace(settings.validation, objective="metric")
    other = fold_metrics(done, dataclasses.replace(settings, validation=plain), 252.0)
    mean = np.mean([sharpe_ratio(result.returns, periods_per_year=252.0) for result in done])
    assert other["objective"] == pytest.approx(mean, rel=1e-9)


def test_folds_survive_a_checkpoint(tmp_path) -> None:
    done = [made_up(1), made_up(2, n=17)]
    write_folds(done, tmp_path)
    for one, other in zip(done, read_folds(tmp_path), strict=True):
        assert (one.seed, one.timesteps, one.turnover) == (other.seed, other.timesteps, 2.0)
        assert_equal_bits(one.returns, other.returns)
        assert_equal_bits(one.dates, other.dates)


@pytest.mark.slow
def test_a_trial_that_chooses_options_is_one_of_a_config_that_has_them(market_data) -> None:
    wide = MarketData.from_finrl(read_bundled(), features=["high", "volume"]).rows(0, 400)
    options = {"env.hmax": 30, "env.observation_scaling": "none", "agent.normalize": True}
    sample = {**SAMPLE, **options, "data.features": ["volume"]}
    experiment = config(scheme="walk_forward", n_windows=2)
    configured = dataclasses.replace(
        experiment,
        env=EnvConfig(random_start=True, hmax=30),
        agent=AgentConfig(total_timesteps=256, n_envs=2, normalize=True),
    )
    chosen, as_configured = Reports(), Reports()
    for reports, rows, one in (
        (chosen, wide, experiment),
        (as_configured, market_data, configured),
    ):
        development, plan = planned(rows, one)
        train_folds(sample, one, development, plan, reports)
    assert len(chosen.metrics) == 2
    assert chosen.metrics == as_configured.metrics
