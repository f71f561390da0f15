"""A search whose prices and features come from functions of the user's."""

import inspect
from pathlib import Path

import numpy as np
import pytest
from small_search import write_small_config

from finrl_ray.config.load import load_config
from finrl_ray.diagnostics.doctor.doctor import diagnose_config
from finrl_ray.diagnostics.leaks.audit import audit_config
from finrl_ray.errors import ConfigError
from finrl_ray.own_code.code_files import CodeFiles
from finrl_ray.own_code.failures import OwnCodeError
from finrl_ray.own_code.finder import activate
from finrl_ray.search.folder.folder import open_folder
from finrl_ray.search.reproduce.reproduce import reproduce
from finrl_ray.search.results.winner import load_winner
from finrl_ray.search.run.prepare import prepare_search
from finrl_ray.search.run.runner import resume_search, run_search
from finrl_ray.workflows.backtest import backtest

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_session_of_two")]

CODE = '''
"""Prices and features of a test; each call leaves a line."""

import numpy as np
import pandas as pd

CALLS = {calls!r}


def read(*, tickers, seed):
    with open(CALLS, "a") as file:
        file.write("read\\n")
    rng = np.random.default_rng(seed)
    dates = pd.bdate_range("2020-01-01", periods=400)
    frames = []
    for tic in tickers:
        close = 50.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, 400)))
        frames.append(pd.DataFrame({{"date": dates, "tic": tic, "close": close}}))
    return pd.concat(frames)


def trend(prices, window):
    mean = prices["close"].rolling(window).mean()
    return pd.DataFrame({{"trend": prices["close"] / mean - 1.0, "mean": mean}})


def last(prices):
    return prices["close"].pct_change()
'''
TREND, LAST = "my_data:trend", "my_data:last"


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    folder = tmp_path / "experiment"
    folder.mkdir()
    text = inspect.cleandoc(CODE.format(calls=str(tmp_path / "calls")))
    (folder / "my_data.py").write_text(text + "\n")
    return write_small_config(
        folder / "config.yaml",
        tmp_path / "runs",
        data={
            "source": "my_data:read",
            "source_kwargs": {"seed": 5},
            "tickers": ["A", "B"],
            "features": [TREND, LAST],
        },
        split={"train": None, "validation": None, "test": None},
        agent={"total_timesteps": 512},
        search={
            "max_concurrent_trials": 1,
            "searcher": "grid",
            "num_samples": 1,
            "space": {
                "data.feature_kwargs.window": {"choice": [5, 20]},
                "net_arch": "tiny",
                "n_steps": 64,
                "batch_size": 64,
            },
            "default_space": False,
        },
    )


def test_a_search_reads_once_and_each_trial_sees_its_own_columns(
    config_file: Path, tmp_path: Path
) -> None:
    config = load_config(config_file)
    result = run_search(config, base_dir=config_file.parent)
    calls = (tmp_path / "calls").read_text()
    assert calls == "read\n" * 2  # the second time to see that it gives the same
    folder = open_folder(result.path)
    names = folder.train_data.feature_names
    assert names == (
        *(f"{TREND}/trend[window=5]", f"{TREND}/mean[window=5]"),
        *(f"{TREND}/trend[window=20]", f"{TREND}/mean[window=20]"),
        LAST,
    )
    close = folder.train_data.close
    row = folder.train_data.n_periods - 1
    np.testing.assert_allclose(
        folder.train_data.features[row, :, 3], close[row - 19 : row + 1].mean(axis=0), rtol=1e-12
    )
    assert sorted(result.table["data.feature_kwargs.window"]) == [5, 20]
    (config_file.parent / "my_data.py").unlink()
    activate(CodeFiles())
    assert resume_search(result.path, add_trials=2).table.shape[0] == 4
    # cash, prices, shares, and of the five features the three of the trial's own window
    _, model, _ = load_winner(open_folder(result.path))
    assert model.observation_space.shape == (1 + 2 * (2 + 3),)
    backtest(result.path)
    assert reproduce(result.path).differences == ()
    assert (tmp_path / "calls").read_text() == calls


def test_doctor_and_audit_find_the_code(config_file: Path) -> None:
    assert diagnose_config(config_file, measure=False, n_test_steps=64).errors == ()
    assert audit_config(config_file).errors == ()


def test_a_search_is_refused_before_it_starts(config_file: Path, tmp_path: Path) -> None:
    code = config_file.parent / "my_data.py"
    text = code.read_text()
    code.write_text(text.replace(".pct_change()", ".pct_change().shift(-1)"))
    with pytest.raises(OwnCodeError, match=r"my_data:last \(my_data.py, line 26\) looks ahead"):
        run_search(load_config(config_file), base_dir=config_file.parent)
    assert not (tmp_path / "runs").exists()
    code.unlink()
    with pytest.raises(ConfigError, match="there is no module 'my_data'"):
        prepare_search(load_config(config_file), base_dir=config_file.parent)
