"""The test window is sealed: deleted, altered or full of nonsense, a search comes to the same."""

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_search import small_config

from finrl_ray.cli.main import main
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.data.windows.split import make_split
from finrl_ray.errors import SearchError
from finrl_ray.search.folder.folder import open_folder
from finrl_ray.search.folder.test_openings import count_openings
from finrl_ray.search.run.prepare import prepare_search
from finrl_ray.search.run.runner import SearchResult, run_search
from finrl_ray.workflows.backtest import backtest
from finrl_ray.workflows.pipeline.from_config import train_from_config

TEST_START = "2008-07-01"
TABLES = ("trials.csv", "learning_curves.csv", "baselines.csv", "baseline_curves.csv")
PATHS = {"validation": {"scheme": "walk_forward", "n_windows": 2, "seeds": 2}}


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    df = read_bundled()
    return df[df["date"] < "2009-01-01"].reset_index(drop=True)


def deleted(df: pd.DataFrame) -> pd.DataFrame:
    return df[df["date"] < TEST_START]


def tripled(df: pd.DataFrame) -> pd.DataFrame:
    other = df.copy()
    later = other["date"] >= TEST_START
    for name in ("open", "high", "low", "close", "volume"):
        other.loc[later, name] = other[name] * np.linspace(0.3, 3.0, len(other))
    return other


def holed(df: pd.DataFrame) -> pd.DataFrame:
    """One ticker without a quote, the others with gaps, days missing, no volume."""
    other = df.copy()
    later = (other["date"] >= TEST_START).to_numpy()
    rng = np.random.default_rng(0)
    other.loc[later & (other["tic"] == "GOOG").to_numpy(), "close"] = np.nan
    other.loc[later & (rng.random(len(other)) < 0.4), "close"] = np.nan
    other.loc[later, "volume"] = np.nan
    return other[~(later & other["date"].str.endswith("5").to_numpy())]


def searched(df: pd.DataFrame, home: Path, **sections: dict[str, object]) -> SearchResult:
    home.mkdir(exist_ok=True)
    df.to_csv(home / "prices.csv", index=False)
    config = small_config(
        home / "runs",
        data={"source": "prices.csv"},
        agent={"total_timesteps": 512, "n_envs": 4},
        search={"num_samples": 2},
        **sections,
    )
    return run_search(config, base_dir=home)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "sections"),
    [
        (deleted, {}),
        pytest.param(tripled, {}, marks=pytest.mark.long),  # holed has other rows too
        (holed, {}),
        (deleted, PATHS),
    ],
)
def test_a_search_does_not_depend_on_rows_of_the_test_window(
    rows, change, sections, whole, without_test_rows, tmp_path
) -> None:
    before = whole["paths" if sections else "plain"]
    if change is deleted and not sections:
        after = without_test_rows
    else:
        after = searched(change(rows), tmp_path / "changed", **sections)
    for name in TABLES:
        one, other = (pd.read_csv(result.path / name) for result in (before, after))
        drop = [column for column in ("time_s",) if column in one]
        pd.testing.assert_frame_equal(one.drop(columns=drop), other.drop(columns=drop))
    curves = [pd.read_parquet(r.path / "account_curves.parquet") for r in (before, after)]
    pd.testing.assert_frame_equal(*curves)
    assert before.judged == after.judged


@pytest.fixture(scope="module")
def whole(
    rows, ray_session: None, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, SearchResult]:
    home = tmp_path_factory.mktemp("whole")
    return {
        "plain": searched(rows, home / "plain"),
        "paths": searched(rows, home / "paths", **PATHS),
    }


@pytest.fixture(scope="module")
def without_test_rows(
    rows, ray_session: None, tmp_path_factory: pytest.TempPathFactory
) -> SearchResult:
    return searched(deleted(rows), tmp_path_factory.mktemp("deleted"))


@pytest.mark.slow
def test_without_test_rows_there_is_nothing_to_open(without_test_rows, monkeypatch, capsys) -> None:
    result = without_test_rows
    with pytest.raises(SearchError, match=r"holds 0 rows of the data .* nothing to open"):
        backtest(result.path)
    assert count_openings(result.path) == 0
    monkeypatch.setattr("sys.argv", ["finrl-ray", "backtest", str(result.path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "nothing to open" in capsys.readouterr().err


def test_a_missing_test_window_is_noted(rows, tmp_path) -> None:
    deleted(rows).to_csv(tmp_path / "prices.csv", index=False)
    config = small_config(tmp_path, data={"source": "prices.csv"})
    text = prepare_search(config, base_dir=tmp_path).describe()
    assert "The test window holds 0 rows: there is nothing that a backtest could open." in text


def test_one_training_says_so_before_it_trains(rows, tmp_path) -> None:
    deleted(rows).to_csv(tmp_path / "prices.csv", index=False)
    config = small_config(tmp_path / "runs", data={"source": "prices.csv"})
    with pytest.raises(ValueError, match=r"split\.test must hold at least 2 rows .* --no-test"):
        train_from_config(config, base_dir=tmp_path)
    several = small_config(tmp_path / "runs", validation={"seeds": 2})
    with pytest.raises(ValueError, match="asks for several trainings"):
        train_from_config(several, open_test=False)
    assert not (tmp_path / "runs").exists()


def test_what_is_sent_to_a_worker_ends_before_the_test_window(tmp_path) -> None:
    """Also the memory behind the arrays: a pickled view brings its own rows alone."""
    prepared = prepare_search(small_config(tmp_path))
    whole, split = prepared.market_data, prepared.split
    marked = whole.close.copy()
    secret = 987654.321
    marked[split.test.first_row :] = secret
    data = dataclasses.replace(whole, close=marked)
    sent = pickle.dumps([split.train.cut(data), split.validation.cut(data)], protocol=5)
    assert np.float64(secret).tobytes() not in sent
    assert np.float64(secret).tobytes() in pickle.dumps(data, protocol=5)
    for part in pickle.loads(sent):
        assert part.dates[-1] < np.datetime64(TEST_START)
    # and what a trial of several trainings gets
    development = data.rows(split.train.first_row, split.validation.stop_row)
    assert np.float64(secret).tobytes() not in pickle.dumps(development, protocol=5)


@pytest.mark.slow
def test_only_a_backtest_opens_the_window(whole) -> None:
    path = whole["plain"].path
    folder = open_folder(path)
    assert count_openings(path) == 0
    first = backtest(path)
    assert first.openings == 1
    assert backtest(path).openings == 1
    assert backtest(path, again=True).openings == 2
    curves = pd.read_csv(path / "backtest" / "account_curves.csv", parse_dates=["date"])
    window = folder.split.test
    assert len(curves) == window.n_rows
    assert curves["date"].iloc[0] == pd.Timestamp(folder.market_data.dates[window.first_row])


def test_shares_of_rows_always_leave_test_rows() -> None:
    config = ExperimentConfig()
    data = prepare_search(config).market_data
    assert make_split(data, config.split).test.is_usable
