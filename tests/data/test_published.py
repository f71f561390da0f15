"""Sources and features that installed packages publish as entry points."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from finrl_ray.config.data import DataConfig
from finrl_ray.data.load import load_market_data
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.own_code.reference import published

CODE = """
import pandas as pd

def read(scale=1.0):
    dates = ["2020-01-01", "2020-01-02", "2020-01-03"]
    return pd.DataFrame({"date": dates, "tic": "A", "close": [scale, 2 * scale, 4 * scale]})

def growth(prices):
    return prices["close"].pct_change()
"""


@pytest.fixture
def _acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    info = tmp_path / "acme_prices-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-prices\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[finrl_ray.sources]\nacme = acme_prices:read\nbundled = acme_prices:read\n\n"
        "[finrl_ray.features]\ngrowth = acme_prices:growth\nmacd = acme_prices:growth\n"
    )
    (tmp_path / "acme_prices.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    published.cache_clear()
    yield
    published.cache_clear()


@pytest.mark.usefixtures("_acme")
def test_they_are_known_by_their_names() -> None:
    config = DataConfig(source="acme", source_kwargs={"scale": 3.0}, features=("growth",))
    data, report = load_market_data(config)
    assert data.close.tolist() == [[3.0], [6.0], [12.0]]
    assert data.feature_names == ("growth",)
    assert data.features[1:, 0, 0].tolist() == [1.0, 1.0]
    assert report.source == "Own source acme"


@pytest.mark.usefixtures("_acme")
def test_they_do_not_take_the_place_of_known_names() -> None:
    assert load_market_data(DataConfig(source="bundled", features=()))[0].n_assets == 4
    with pytest.raises(DataError, match="'macd' needs 35 rows"):  # FinRL's, on three rows
        load_market_data(DataConfig(source="acme", features=("macd",)))
    with pytest.raises(ConfigError, match=r"data\.source acme .*takes no 'days'"):
        load_market_data(DataConfig(source="acme", source_kwargs={"days": 3}, features=()))


def test_a_name_that_nobody_publishes() -> None:
    with pytest.raises(DataError, match=r"data\.source must be one of"):
        load_market_data(DataConfig(source="acme"))
