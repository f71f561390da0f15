"""Every source is found by its name, and a name that is none is answered with all of them."""

import re
from datetime import date

import pandas as pd
import pytest
from repository import REPOSITORY

from finrl_ray.config.data import DataConfig
from finrl_ray.data.load import load_market_data
from finrl_ray.data.sources.registry import SOURCES, read_source
from finrl_ray.data.sources.source import Source
from finrl_ray.errors import DataError


def test_names_are_those_of_the_sources():
    assert list(SOURCES) == [
        *("bundled", "sp500", "sp500_index", "factors", "big_tech", "sp500_vix"),
        *("yahoo", "noise", "planted"),
    ]
    assert all(source.name == name for name, source in SOURCES.items())


def test_the_table_of_the_documentation_has_every_source():
    text = (REPOSITORY / "docs" / "data.md").read_text(encoding="utf-8")
    table = text.split("\n## Sources\n")[1].split("\n### ")[0]
    rows = re.findall(r"^\| `([^`]+)` \|", table, flags=re.MULTILINE)
    assert [name for name in rows if name in SOURCES] == list(SOURCES)


def test_a_source_more_is_read_described_and_suggested(monkeypatch, tiny, tmp_path):
    asked = []

    def read(config: DataConfig, progress: object) -> pd.DataFrame:
        asked.append(config.source)
        return tiny()

    own = Source(
        name="warehouse",
        description="Daily prices from the warehouse",
        read=read,
        notes=lambda config: [f"Read from {config.start} on."],
    )
    monkeypatch.setitem(SOURCES, own.name, own)
    config = DataConfig(source="warehouse", start=date(2020, 1, 1), features=())
    _, report = load_market_data(config, tmp_path)
    assert asked == ["warehouse"]
    assert report.source == "Daily prices from the warehouse"
    assert "Read from 2020-01-01 on." in report.notes
    with pytest.raises(DataError, match=r"'planted', 'warehouse'\] or .*Did you mean 'warehouse'"):
        read_source(DataConfig(source="warehuose"), tmp_path)


def test_a_file_is_described_by_its_path(tiny, tmp_path):
    tiny().to_csv(tmp_path / "p.csv", index=False)
    _, report = load_market_data(DataConfig(source="p.csv", features=()), tmp_path)
    assert report.source == "The file p.csv"
    assert report.notes == ()
