"""Every name that FinRL's tutorial imports, and that importing them is cheap."""

import importlib
import subprocess
import sys

import pytest

import finrl_ray.compat as compat
from finrl_ray.compat import config_tickers, names


@pytest.mark.parametrize("name", compat.__all__)
def test_every_name_is_there(name: str) -> None:
    try:
        assert getattr(compat, name) is not None
    finally:
        assert name in dir(compat)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'FeatureEnginer'"):
        _ = compat.FeatureEnginer


def test_preparing_data_loads_neither_torch_nor_ray() -> None:
    code = (
        "import sys; from finrl_ray.compat import FeatureEngineer, data_split, INDICATORS, "
        "YahooDownloader, DOW_30_TICKER, backtest_stats, check_and_make_directories; "
        "print([m for m in ('torch', 'ray', 'matplotlib') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_parameters_are_those_that_agents_are_built_with() -> None:
    from finrl_ray.agents.algorithm_registry import ALGORITHMS

    parameters = importlib.import_module("finrl_ray.compat.model_parameters")
    for name, algorithm in ALGORITHMS.items():
        assert getattr(parameters, f"{name.upper()}_PARAMS") == dict(algorithm.defaults)


def test_ticker_lists() -> None:
    assert len(config_tickers.DOW_30_TICKER) == 30
    assert config_tickers.DOW_30_TICKER[:3] == ["AXP", "AMGN", "AAPL"]
    assert len(config_tickers.NAS_100_TICKER) > 95
    assert len(config_tickers.SP_500_TICKER) > 495


def test_folders_are_made_once_and_again(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        names.check_and_make_directories([names.TRAINED_MODEL_DIR, "a/b"])
    assert (tmp_path / "trained_models").is_dir()
    assert (tmp_path / "a" / "b").is_dir()
