"""Features of own code: worked by hand, per ticker and for the market, and each way to be wrong."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from own_code_files import active_code_of

from finrl_ray.config.data import DataConfig
from finrl_ray.data.load import market_data_of
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.own_features.variants import EachOf
from finrl_ray.errors import ConfigError
from finrl_ray.own_code.failures import OwnCodeError

HEAD = "import numpy as np\nimport pandas as pd\n\n"
DAYS = 40
NAME = "my_features:compute"


def rows() -> pd.DataFrame:
    """Return A at 1, 2, ..., 40 and B at 40, 39, ..., 1, and a market column m of 0, 2, 4, ..."""
    dates = pd.date_range("2020-01-01", periods=DAYS).strftime("%Y-%m-%d")
    up = np.arange(1.0, DAYS + 1)
    return pd.DataFrame(
        {
            "date": np.repeat(dates, 2),
            "tic": ["A", "B"] * DAYS,
            "close": np.stack([up, up[::-1]], axis=1).reshape(-1),
            "volume": 7.0,
            "m": np.repeat(2 * up - 2, 2),
        }
    )


Load = Callable[..., MarketData]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Write a function `compute` into my_features.py and load the rows with it."""
    opened = []

    def loaded(
        text: str,
        feature_kwargs: Mapping[str, Any] | None = None,
        features: tuple[str, ...] = (NAME,),
        df: pd.DataFrame | None = None,
        **options: Any,
    ) -> MarketData:
        manager = active_code_of(tmp_path, {"data.features": NAME}, my_features=HEAD + text)
        manager.__enter__()
        opened.append(manager)
        config = DataConfig(features=features, feature_kwargs=dict(feature_kwargs or {}), **options)
        return market_data_of(rows() if df is None else df, config)[0]

    yield loaded
    for manager in opened:
        manager.__exit__(None, None, None)


RATIO = "def compute(prices, window=2):\n    return prices['close'] / prices['close'].shift(window)"


def test_a_series_by_hand(load: Load) -> None:
    data = load(RATIO)
    assert data.feature_names == (NAME,)
    assert data.warmup == 2
    ratios = data.features[2:, :, 0]
    np.testing.assert_array_equal(ratios[:3, 0], [3 / 1, 4 / 2, 5 / 3])
    np.testing.assert_array_equal(ratios[:3, 1], [38 / 40, 37 / 39, 36 / 38])


def test_columns_and_keywords_are_in_the_names(load: Load) -> None:
    text = """
def compute(prices, *, window):
    close = prices["close"]
    return pd.DataFrame({"low": close.rolling(window).min(), "up": close.diff() > 0})
"""
    data = load(text, {"window": 3})
    assert data.feature_names == (f"{NAME}/low[window=3]", f"{NAME}/up[window=3]")
    assert data.warmup == 2
    assert data.features[2:4].tolist() == [[[1.0, 1.0], [38.0, 0.0]], [[2.0, 1.0], [37.0, 0.0]]]


def test_what_it_is_given(load: Load) -> None:
    text = """
def compute(prices):
    assert list(prices.columns) == ["open", "high", "low", "close", "volume", "m"]
    assert prices.index.name == "date" and prices.index[0] == pd.Timestamp("2020-01-01")
    assert prices["open"].isna().all() and (prices["volume"] == 7).all()
    assert prices.attrs["tic"] in ("A", "B")
    prices["close"] = 0.0
    return prices["m"] / 2
"""
    data = load(text, market_columns=("m",))
    np.testing.assert_array_equal(data.features[:, 1, 0], np.arange(DAYS))
    assert data.close[0].tolist() == [1.0, 40.0]  # what it does to its prices does not stay


def test_order_beside_indicators_and_columns(load: Load) -> None:
    data = load(RATIO, features=("m", NAME, "close_5_sma"))
    assert data.feature_names == ("m", NAME, "close_5_sma")
    assert data.warmup == 5
    assert data.features[5, 0].tolist() == [10.0, 6 / 4, 4.0]


def test_a_ticker_without_a_quote_keeps_its_last_value(load: Load) -> None:
    df = rows()
    df.loc[(df["tic"] == "A") & (df["date"] == "2020-01-10"), "close"] = np.nan
    data = load(RATIO, df=df)
    # on its own rows A costs 8, 9, 11, 12: the row without a quote is not among them
    assert data.features[7:12, 0, 0].tolist() == [8 / 6, 9 / 7, 9 / 7, 11 / 8, 12 / 9]


def test_the_whole_market_at_once(load: Load) -> None:
    text = """
def compute(prices):
    close = prices["close"]
    assert list(close.columns) == ["A", "B"]
    return {"share": close.div(close.sum(axis=1), axis=0), "rank": close.rank(axis=1)}

compute.market_wide = True
"""
    data = load(text)
    assert data.feature_names == (f"{NAME}/share", f"{NAME}/rank")
    # A and B cost 41 together
    np.testing.assert_allclose(data.features[:3, 0, 0], [1 / 41, 2 / 41, 3 / 41], rtol=1e-15)
    assert data.features[0, :, 1].tolist() == [1.0, 2.0]
    assert data.features[-1, :, 1].tolist() == [2.0, 1.0]


def test_a_table_of_the_whole_market(load: Load) -> None:
    data = load("def compute(prices): return prices['close'].diff()\ncompute.market_wide = True")
    assert data.feature_names == (NAME,)
    assert data.warmup == 1
    assert data.features[1:, :, 0].tolist() == [[1.0, -1.0]] * (DAYS - 1)


def test_every_choice_of_a_search(load: Load) -> None:
    data = load(RATIO, {"window": EachOf((2, 5))})
    assert data.feature_names == (f"{NAME}[window=2]", f"{NAME}[window=5]")
    assert data.warmup == 5
    assert data.features[5, 0].tolist() == [6 / 4, 6 / 1]


def test_the_hash_does_not_change(load: Load) -> None:
    one = load(RATIO, {"window": 3})
    assert one.content_hash == load(RATIO, {"window": 3}).content_hash
    assert one.content_hash != load(RATIO, {"window": 4}).content_hash


BROKEN = {
    "raises": (
        "def compute(prices):\n    return prices['closing']",
        r"failed on 40 rows of A: KeyError: 'closing' \(my_features.py, line 5: return prices",
    ),
    "raises on few rows": (
        "def compute(prices):\n    assert len(prices) > 30\n    return prices['close']",
        r"failed on 20 rows of A: AssertionError \(my_features.py, line 5",
    ),
    "nothing": (
        "def compute(prices): prices['close']",
        r"\(my_features.py, line 4\) returned nothing \(is a return missing\?\) for A; return a",
    ),
    "an array": (
        "def compute(prices): return prices['close'].to_numpy()",
        r"returned a ndarray of shape \(40,\) for A; return a pandas Series, or a DataFrame",
    ),
    "fewer rows": (
        "def compute(prices): return prices['close'].rolling(3).mean().dropna()",
        r"returned 38 rows for the 40 of A; return one row per row of the prices",
    ),
    "another index": (
        "def compute(prices): return prices['close'].reset_index(drop=True)",
        "returned rows for A whose index is not that of the prices; keep the index",
    ),
    "another order": (
        "def compute(prices): return prices['close'].sort_index(ascending=False)",
        "returned rows for A whose index is not that of the prices",
    ),
    "text": (
        "def compute(prices): return prices['close'].astype(str)",
        "returned (str|object) for A; return numbers",
    ),
    "complex numbers": (
        "def compute(prices): return prices['close'] * 1j",
        "returned complex128 for A; return numbers",
    ),
    "NaN later": (
        "def compute(prices): return prices['close'].where(prices['close'] != 7)",
        r"returned NaN for A on 2020-01-07, after numbers \(1 such cells\); NaN may stand at the",
    ),
    "nothing but NaN": (
        "def compute(prices): return prices['close'].rolling(90).mean().to_frame('mean')",
        "returned no number in 'mean' for A in 40 rows; use a shorter window",
    ),
    "infinite": (
        "def compute(prices): return 1 / (prices['close'] - 3)",
        "returned an infinite value for A on 2020-01-03; do not divide by what may be zero",
    ),
    "other columns for another ticker": (
        "def compute(prices): return prices[['close']].rename(\n"
        "    columns={'close': 'up' if prices['close'].iloc[-1] > 9 else 'down'})",
        r"returned the columns \['down'\] for B, and \['up'\] before; return the same columns",
    ),
    "a name twice": (
        "def compute(prices): return prices[['close', 'close']]",
        r"returned columns named \['close', 'close'\]; give each column a name of its own",
    ),
    "no columns": ("def compute(prices): return prices[[]]", "returned a table without columns"),
    "random": (
        "def compute(prices): return prices['close'] * np.random.random()",
        r"for A on 2020-01-01, and .* when it was called again with the same prices; let the same",
    ),
    "a memory": (
        "seen = []\ndef compute(prices):\n    seen.append(1)\n"
        "    return prices['close'] + len(seen)",
        r"returned 2.0 for A on 2020-01-01, and 3.0 when it was called",
    ),
    "tomorrow, and none on the last day": (
        "def compute(prices): return prices['close'].shift(-1)",
        r"looks ahead: its value for A on 2020-01-20 is 21, but nan without the rows after "
        "2020-01-20; compute each row from rows up to its own",
    ),
    "tomorrow": (
        "def compute(prices): return prices['close'].shift(-1).ffill()",
        r"looks ahead: its value for A on 2020-01-20 is 21, but 20 without the rows after "
        "2020-01-20; compute each row from rows up to its own",
    ),
    "a mean over all rows": (
        "def compute(prices): return (prices['close'] - prices['close'].mean()).to_frame('z')",
        r"looks ahead: 'z' of A on 2020-01-01 is -19.5, but -9.5 without the rows after "
        "2020-01-20",
    ),
    "bfill": (
        "def compute(prices): return prices['close'].rolling(3).mean().shift(-30).bfill().ffill()",
        "looks ahead: its value for A on",
    ),
    "market: other tickers": (
        "def compute(prices): return prices['close'][['B', 'A']]\ncompute.market_wide = True",
        r"returned a table with the columns \['B', 'A'\]; return one column per ticker",
    ),
    "market: a series": (
        "def compute(prices): return prices['close']['A']\ncompute.market_wide = True",
        r"returned a Series of shape \(40,\) for the market; return a pandas DataFrame",
    ),
    "market: ahead": (
        "def compute(prices): return prices['close'] / prices['close'].iloc[-1]\n"
        "compute.market_wide = True",
        "looks ahead: its value for A on 2020-01-01 is 0.025, but 0.05 without the rows after",
    ),
    "no argument": (
        "def compute(): return 1",
        "takes no argument; let its first one be the prices",
    ),
    "a keyword that nothing gives": (
        "def compute(prices, window): return prices['close']",
        r"asks for 'window', which is neither known nor in data.feature_kwargs. Known are prices",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_one_is_named_with_line_and_remedy(load: Load, case: str) -> None:
    text, message = BROKEN[case]
    with pytest.raises(
        OwnCodeError, match=r"^data\.features my_features:compute .*" + message
    ) as caught:
        load(text)
    assert "my_features.py, line " in str(caught.value)


def test_keywords_are_said_where_there_are_several(load: Load) -> None:
    text = "def compute(prices, lag): return prices['close'].shift(lag)"
    with pytest.raises(
        OwnCodeError, match=r"with lag=-1 looks ahead: its value for A on 2020-01-20"
    ):
        load(text, {"lag": EachOf((1, -1))})


def test_keywords_are_said_where_a_call_fails(load: Load) -> None:
    with pytest.raises(OwnCodeError, match=r"failed with window='x' on 40 rows of A: .*line 5"):
        load(RATIO, {"window": "x"})


def test_a_keyword_that_no_function_takes(load: Load) -> None:
    with pytest.raises(
        ConfigError, match=r"data.feature_kwargs has 'windows', which none of .*\['window'\].*mean"
    ):
        load(RATIO, {"windows": 3})
    with pytest.raises(ConfigError, match=r"but data.features names no function of your own"):
        load(RATIO, {"window": 3}, features=("m",))


def test_too_many_choices(load: Load) -> None:
    choices = {name: EachOf(tuple(range(1, 16))) for name in ("a", "b")}
    with pytest.raises(ConfigError, match=r"make 225 combinations for my_features:compute"):
        load("def compute(prices, a, b): return prices['close']", choices)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("my_features:comput", "my_features.py has no 'comput'.*Did you mean 'compute'"),
        ("my_other:compute", "there is no module 'my_other'"),
        ("my_features:HALF", "must be a function of one ticker's prices, got 0.5"),
    ],
)
def test_what_is_not_there(load: Load, reference: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"data\.features {reference}.*{message}"):
        load(RATIO + "\nHALF = 0.5", features=(reference,))


def test_a_function_that_python_cannot_read(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"my_features.py is not valid Python .*line 4"):
        load("def compute(prices) return 1")


def own_feature(prices: pd.DataFrame) -> "pd.Series[Any]":
    """Return a feature, as a function of a file that a Python program could import."""
    return prices["close"] * 2


def test_a_function_in_the_place_of_its_import_path() -> None:
    config = DataConfig(features=(own_feature,))  # type: ignore[arg-type]
    assert config.features == (f"{__name__}:own_feature",)
    assert market_data_of(rows(), config)[0].features[0, :, 0].tolist() == [2.0, 80.0]
