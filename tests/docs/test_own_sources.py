"""The sources of docs/bring/source.md, given what the services have recorded answers for."""

import json
import re
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from own_code_files import active_code_of
from repository import REPOSITORY, TESTS

from finrl_ray.config.data import DataConfig
from finrl_ray.data.load import load_market_data
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.report import DataReport

PAGE = (REPOSITORY / "docs" / "bring" / "source.md").read_text(encoding="utf-8")
RECORDED = TESTS / "fixtures" / "sources"
Loaded = Callable[..., tuple[MarketData, DataReport]]


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loaded:
    """Load prices with a source of the page, beside stand-ins of the modules that it imports."""

    def load(
        module: str, stand_ins: dict[str, dict[str, Any]], **options: Any
    ) -> tuple[MarketData, DataReport]:
        match = re.search(rf"New file `{module}\.py`:\n\n```python\n(.*?)```", PAGE, re.DOTALL)
        assert match is not None
        assert match[1].count("\n") < 60
        for name, contents in stand_ins.items():
            stand_in = ModuleType(name)
            vars(stand_in).update(contents)
            monkeypatch.setitem(sys.modules, name, stand_in)
        reference = f"{module}:read"
        with active_code_of(tmp_path, {"data.source": reference}, **{module: match[1]}):
            return load_market_data(DataConfig(source=reference, features=(), **options))

    return load


def test_ccxt(loaded: Loaded) -> None:
    recorded = json.loads((RECORDED / "ccxt_ohlcv.json").read_text(encoding="utf-8"))
    asked = []

    class Exchange:
        def __init__(self, options: dict[str, Any]) -> None:
            assert options == {"enableRateLimit": True}

        def fetch_ohlcv(self, symbol: str, timeframe: str, since: int, limit: int) -> list[Any]:
            asked.append((symbol, timeframe, since))
            assert limit == 500
            # an exchange gives fewer at a time than it is asked for
            return [row for row in recorded[symbol] if row[0] >= since][:2]

    market, report = loaded(
        "ccxt_source",
        {"ccxt": {"kraken": Exchange}},
        tickers=("BTC/USDT", "ETH/USDT"),
        start=date(2024, 1, 1),
        end=date(2024, 1, 5),
        source_kwargs={"exchange": "kraken"},
    )
    assert market.dates.astype("datetime64[D]").astype(str).tolist() == [
        *("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"),
    ]
    assert market.close[:, 0].tolist() == [44179.55, 44946.91, 42845.23, 44151.1]
    # a candle without trades: the last price is kept, and nothing can be traded
    assert market.close[:, 1].tolist() == [2352.04, 2355.34, 2355.34, 2267.11]
    assert market.tradable[:, 1].tolist() == [True, True, False, True]
    assert market.volume[0].tolist() == [27174.29903, 174186.9]
    assert asked[:3] == [
        ("BTC/USDT", "1d", 1704067200000),
        ("BTC/USDT", "1d", 1704153600001),
        ("BTC/USDT", "1d", 1704326400001),
    ]
    assert len(asked) == 6  # once for each page and ticker, not twice
    assert report.source == "Own source ccxt_source:read"


def test_alpaca(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    bars = pd.read_csv(RECORDED / "alpaca_bars.csv", parse_dates=["timestamp"])
    bars = bars.set_index(["symbol", "timestamp"])
    requests = []

    class Client:
        def __init__(self, key: str, secret: str) -> None:
            assert (key, secret) == ("key", "secret")

        def get_stock_bars(self, request: Any) -> Any:
            requests.append(request)
            return SimpleNamespace(df=bars)

    monkeypatch.setenv("APCA_API_KEY_ID", "key")
    monkeypatch.setenv("APCA_API_SECRET_KEY", "secret")
    market, _ = loaded(
        "alpaca_source",
        {
            "alpaca": {},
            "alpaca.data": {},
            "alpaca.data.enums": {"Adjustment": SimpleNamespace(ALL="all")},
            "alpaca.data.historical": {"StockHistoricalDataClient": Client},
            "alpaca.data.requests": {"StockBarsRequest": SimpleNamespace},
            "alpaca.data.timeframe": {"TimeFrame": SimpleNamespace(Day="1Day")},
        },
        tickers=("AAPL", "MSFT"),
        start=date(2023, 3, 9),
        end=date(2023, 3, 14),
    )
    # days, on both sides of the change to summer time
    assert market.dates.astype(str).tolist() == [
        f"2023-03-{day}T00:00:00.000000000" for day in ("09", "10", "13")
    ]
    assert market.close.tolist() == [[148.76, 250.62], [146.68, 246.9], [148.64, 252.16]]
    assert market.open[2].tolist() == [145.99, 245.81]
    (request,) = requests
    assert request.symbol_or_symbols == ["AAPL", "MSFT"]
    assert (request.timeframe, request.adjustment) == ("1Day", "all")


def test_wrds(loaded: Loaded) -> None:
    class Connection:
        def __enter__(self) -> "Connection":
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def raw_sql(self, query: str, params: dict[str, Any]) -> pd.DataFrame:
            assert "from crsp.dsf" in query
            assert params["permnos"] == (14593, 99999)
            return pd.read_csv(RECORDED / "crsp_dsf.csv")

    market, _ = loaded(
        "wrds_source",
        {"wrds": {"Connection": Connection}},
        tickers=("14593", "99999"),
        start=date(2020, 8, 28),
        end=date(2020, 9, 2),
    )
    # four for one on 2020-08-31
    assert market.close[:, 0].tolist() == [499.23 / 4, 129.04, 134.18]
    assert market.open[0, 0] == 504.05 / 4
    assert market.volume[0, 0] == 4 * 46907479.0
    # a mean of bid and ask values the position; on the last day there is none at all
    assert market.close[:, 1].tolist() == [8.1, 8.0, 8.0]
    assert market.tradable[:, 1].tolist() == [True, False, False]
    assert np.isnan(market.open[1, 1])
