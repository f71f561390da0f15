"""Prices from a function of the user's: what it is given, and each way in which it can be wrong."""

import re
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from own_code_files import active_code_of

from finrl_ray.config.data import DataConfig
from finrl_ray.data.load import load_market_data
from finrl_ray.data.sources.registry import is_own_source, read_source
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.own_code.failures import OwnCodeError

HEAD = """
import numpy as np
import pandas as pd

def rows(days=6):
    dates = pd.date_range("2020-01-01", periods=days).strftime("%Y-%m-%d")
    return pd.DataFrame({"date": list(dates) * 2, "tic": ["A"] * days + ["B"] * days,
        "close": np.arange(1.0, 2 * days + 1)})

"""
Read = Callable[..., Any]


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Callable[..., DataConfig]]:
    """Write a function `read` into my_source.py; return a config that names it."""
    opened = []

    def make(text: str, **options: Any) -> DataConfig:
        manager = active_code_of(tmp_path, {"data.source": "my_source:read"}, my_source=HEAD + text)
        manager.__enter__()
        opened.append(manager)
        return DataConfig(source="my_source:read", features=(), **options)

    yield make
    for manager in opened:
        manager.__exit__(None, None, None)


def test_its_rows_become_market_data(source: Read) -> None:
    data, report = load_market_data(source("def read(): return rows()"))
    assert data.tickers == ("A", "B")
    assert data.close.tolist() == [[i + 1.0, i + 7.0] for i in range(6)]
    assert report.source == "Own source my_source:read"


def test_it_gets_the_keywords_that_it_takes(source: Read) -> None:
    text = """
def read(*, tickers, start, scale=1.0):
    assert tickers == ["A"], tickers
    assert start.isoformat() == "2020-01-02", start
    df = rows()
    df["close"] *= scale
    return df
"""
    config = source(text, tickers=("A",), start=date(2020, 1, 2), source_kwargs={"scale": 10.0})
    data, _ = load_market_data(config)
    assert data.close.tolist() == [[20.0], [30.0], [40.0], [50.0], [60.0]]


def test_it_may_take_any_keyword(source: Read) -> None:
    text = """
def read(**options):
    assert options == {"tickers": None, "start": None, "end": None, "market": "spot"}, options
    return rows()
"""
    load_market_data(source(text, source_kwargs={"market": "spot"}))


def test_what_it_does_to_its_arguments_does_not_stay(source: Read) -> None:
    text = """
def read(columns):
    columns.append("open")
    return rows() if len(columns) == 1 else None
"""
    config = source(text, source_kwargs={"columns": []})
    load_market_data(config)
    assert config.source_kwargs == {"columns": []}


def test_it_is_called_twice_unless_it_says_that_this_costs_too_much(
    source: Read, tmp_path: Path
) -> None:
    text = f"""
def read():
    with open({str(tmp_path / "calls")!r}, "a") as file:
        file.write("x")
    return rows()
"""
    read_source(source(text), tmp_path)
    assert (tmp_path / "calls").read_text() == "xx"
    read_source(source(text + "read.read_once = True\n"), tmp_path)
    assert (tmp_path / "calls").read_text() == "xxx"


BROKEN = {
    "raises": (
        "def read():\n    return 1 / 0",
        r"failed when it was asked for prices: ZeroDivisionError: division by zero \(my_source.py, "
        r"line 10: return 1 / 0\); mend it there",
    ),
    "exits": ("def read():\n    raise SystemExit(3)", r"SystemExit: 3 \(my_source.py, line 10"),
    "a list": (
        "def read():\n    return [1, 2]",
        r"\(my_source.py, line 9\) returned a list, not a table; return a pandas DataFrame with",
    ),
    "nothing": ("def read():\n    rows()", r"returned nothing.*is a return missing\?"),
    "polars": (
        "class Frame:\n    def to_pandas(self): return rows()\ndef read(): return Frame()",
        r"returned a Frame, not a table; return its \.to_pandas\(\)",
    ),
    "no rows": ("def read(): return rows().iloc[:0]", "the frame has no rows"),
    "other names": (
        "def read(): return rows().rename(columns={'tic': 'symbol'})",
        r"\(my_source.py, line 9\) returned rows that cannot be used: .*'tic'.*symbol",
    ),
    "a NaN": (
        "def read():\n    df = rows()\n    df.loc[3, 'close'] = np.nan\n    return df",
        r"\(my_source.py, line 9\) returned 1 row without a close \(the first: row 3, A, "
        "2020-01-04\\); leave such rows out",
    ),
    "no date": (
        "def read():\n    df = rows()\n    df.loc[2, 'date'] = None\n    return df",
        r"returned 1 row without a date \(the first: row 2, A\)",
    ),
    "text": (
        "def read():\n    df = rows()\n    df['close'] = df['close'].astype(str)\n    return df",
        r"\(my_source.py, line 9\) returned rows that cannot be used: .*close",
    ),
    "negative": (
        "def read():\n    df = rows()\n    df['close'] -= 3\n    return df",
        "close of A on 2020-01-01 must not be negative, got -2.0",
    ),
    "dates as numbers": (
        "def read():\n    df = rows()\n    df['date'] = range(len(df))\n    return df",
        r"\(my_source.py, line 9\) returned rows that cannot be used: .*date",
    ),
    "a row twice": (
        "def read(): return pd.concat([rows(), rows().iloc[[4]]])",
        r"returned 1 row of a date and ticker that it has already \(the first: row 12, A, "
        "2020-01-05\\); keep one row for each",
    ),
    "two rows that differ": (
        "def read(): return pd.concat([rows(), rows().iloc[[4]].assign(close=9.0)])",
        "A on 2020-01-05 has two rows that contradict each other: close is 5.0 and 9.0",
    ),
    "random": (
        "def read():\n    df = rows()\n    df['close'] += np.random.random()\n    return df",
        r"\(my_source.py, line 9\) returned other rows when it was called a second time: close of "
        r"row 0, A, 2020-01-01 was \d.* and then \d.*; let the same arguments give the same rows",
    ),
    "more rows each time": (
        "days = [6]\ndef read():\n    days[0] += 1\n    return rows(days[0])",
        r"called a second time: 14 rows of \['date', 'tic', 'close'\] and then 16",
    ),
    "a keyword that nothing gives": (
        "def read(exchange): return rows()",
        r"\(my_source.py, line 9\) asks for 'exchange', which is neither known nor in "
        r"data.source_kwargs. Known are tickers, start, end; give",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_one_is_named_with_line_and_remedy(source: Read, case: str) -> None:
    text, message = BROKEN[case]
    with pytest.raises(OwnCodeError, match=r"^data\.source my_source:read .*" + message):
        load_market_data(source(text))


def test_an_unknown_keyword(source: Read) -> None:
    config = source("def read(exchange='x'): return rows()", source_kwargs={"exchanges": "y"})
    with pytest.raises(
        OwnCodeError,
        match=r"my_source:read \(my_source.py, line 9\) takes no 'exchanges', which "
        r"data.source_kwargs holds; its arguments are exchange.*Did you mean 'exchange'",
    ):
        load_market_data(config)


def test_what_is_not_there(source: Read) -> None:
    source("def read(): return rows()")
    for reference, message in (
        ("my_source:reed", r"my_source.py has no 'reed'.*Did you mean 'read'"),
        ("my_sauce:read", "there is no module 'my_sauce'"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_market_data(DataConfig(source=reference))


def test_a_column_that_the_rows_do_not_have_names_the_function(source: Read) -> None:
    config = source("def read(): return rows()")
    with pytest.raises(DataError, match=r"data.source my_source:read \(my_source.py, line 9\): "):
        load_market_data(DataConfig(source=config.source, features=(), market_columns=("vix",)))


def test_keywords_of_a_source_that_is_no_function(tmp_path: Path) -> None:
    config = DataConfig(source="bundled", source_kwargs={"scale": 2})
    with pytest.raises(ConfigError, match=r"data.source_kwargs .* got data.source 'bundled'"):
        read_source(config, tmp_path)


def test_files_stay_files(tmp_path: Path) -> None:
    assert not is_own_source(DataConfig(source="bundled"))
    assert not is_own_source(DataConfig(source="my_source:read.csv"))
    assert not is_own_source(DataConfig(source="prices.parquet"))
    assert is_own_source(DataConfig(source="my_source:read"))
    with pytest.raises(DataError, match="there is no file"):
        read_source(DataConfig(source="gone.csv"), tmp_path)


def own_rows() -> pd.DataFrame:
    """Return rows, as a function of a test file that a Python program could import."""
    return pd.DataFrame({"date": ["2020-01-01", "2020-01-02"], "tic": "A", "close": [1.0, 2.0]})


def test_a_function_in_the_place_of_its_import_path(tmp_path: Path) -> None:
    config = DataConfig(source=own_rows, features=())  # type: ignore[arg-type]
    assert config.source == f"{__name__}:own_rows"
    assert read_source(config, tmp_path)["close"].tolist() == [1.0, 2.0]
    with pytest.raises(ConfigError, match=re.escape("is defined inside a function")):
        DataConfig(source=lambda: None)  # type: ignore[arg-type]
