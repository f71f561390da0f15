"""New bars that go on from the known ones are taken; whatever is doubtful is refused, and why."""

import sys
from dataclasses import dataclass
from datetime import datetime, time, timezone
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from finrl_ray.config.data import DataConfig
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.deployment.bar_checks.calendar import Closing
from finrl_ray.deployment.new_bars import BarRules, NewBars, read_new_bars
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.own_code.finder import active_code

TICKERS = ("AAPL", "BRK.B", "MSFT")
PRICES = ("open", "high", "low", "close")


def market(dates: pd.DatetimeIndex, seed: int = 0) -> pd.DataFrame:
    """A table in FinRL's long format; every digit of a float is used."""
    random = np.random.default_rng(seed)
    parts = []
    for number, ticker in enumerate(TICKERS):
        close = 50.0 * (number + 1) * np.exp(np.cumsum(random.normal(0, 0.01, len(dates))))
        part = {"date": dates, "tic": ticker, "open": close * 1.001, "high": close * 1.01}
        part |= {"low": close * 0.99, "close": close}
        parts.append(pd.DataFrame(part | {"volume": random.integers(1e6, 2e6, len(dates)) * 1.0}))
    return pd.concat(parts, ignore_index=True).sort_values(["date", "tic"], ignore_index=True)


DAYS = pd.bdate_range("2019-01-01", periods=330, unit="ns")
ALL = market(DAYS)
KNOWN = ALL[ALL["date"] < DAYS[320]].reset_index(drop=True)
NEXT = DAYS[320]
EVENING = datetime(2020, 3, 24, 22, tzinfo=timezone.utc)  # of NEXT, a Tuesday


def fed(up_to: int = 320, first: int = 310) -> pd.DataFrame:
    """Rows of the market that a user may have on the evening of a day."""
    return ALL[ALL["date"].between(DAYS[first], DAYS[up_to])].reset_index(drop=True)


def read(
    source: str | Path | pd.DataFrame,
    known: pd.DataFrame = KNOWN,
    config: DataConfig | None = None,
    tickers: tuple[str, ...] = TICKERS,
    volume_matters: bool = True,
    **rules: object,
) -> NewBars:
    given = {"now": EVENING} | rules
    return read_new_bars(
        source,
        known,
        config or DataConfig(features=()),
        tickers,
        BarRules(**given),  # type: ignore[arg-type]  # by name
        volume_matters=volume_matters,
    )


def tenth() -> pd.DataFrame:
    """BRK.B trades at a tenth of its price on the last day."""
    frame = fed()
    row = (frame["date"] == NEXT) & (frame["tic"] == "BRK.B")
    for name in PRICES:
        frame.loc[row, name] /= 10.0
    return frame


def changed(at: object, ticker: str, **values: float) -> pd.DataFrame:
    frame = fed()
    row = (frame["date"] == at) & (frame["tic"] == ticker)
    for name, value in values.items():
        frame.loc[row, name] = value
    return frame


@dataclass(frozen=True)
class Form:
    """One way of writing a table to a file."""

    name: str
    suffix: str

    def write(self, frame: pd.DataFrame, folder: Path) -> Path:
        path = folder / f"prices{self.suffix}"
        wide = frame.pivot(index="date", columns="tic", values=[*PRICES, "volume"])
        wide.columns = wide.columns.set_names(["Price", "Ticker"])
        wide.index.name = "Date"
        wide = wide.rename(columns=str.capitalize, level=0)
        by_ticker = wide.swaplevel(axis=1).sort_index(axis=1)
        long = frame.rename(columns={"date": "Date", "tic": "Ticker", "close": "Close"})
        table = {
            "long": frame,
            "long, other names": long,
            "wide": wide,
            "wide by ticker": by_ticker,
        }[self.name]
        if self.suffix == ".parquet":
            table.to_parquet(path)
        else:
            table.to_csv(path, index=table is wide or table is by_ticker)
        return path


FORMS = [
    Form(name, suffix)
    for name in ("long", "long, other names", "wide", "wide by ticker")
    for suffix in (".csv", ".csv.gz", ".parquet")
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.name}{form.suffix}")
def test_every_form_of_a_file_gives_the_same_rows_bit_for_bit(form: Form, tmp_path: Path) -> None:
    found = read(form.write(fed(), tmp_path))
    expected = ALL[ALL["date"] == NEXT].reset_index(drop=True)
    pd.testing.assert_frame_equal(found.rows, expected, check_exact=True)
    assert found.last == NEXT.to_datetime64()
    assert "10 bars of those that the agent knows are the same" in found.notes[0]
    assert "prices" in found.place


def test_new_bars_alone_are_taken_and_that_nothing_was_compared_is_said() -> None:
    found = read(fed(first=320))
    assert len(found.rows) == 3
    assert "a changed history cannot be seen" in found.notes[0]


def test_rows_after_the_bar_have_no_influence() -> None:
    later = fed(up_to=325)
    later.loc[later["date"] > NEXT, ["close", "open"]] = -7.0
    later.loc[later["date"] > NEXT, "tic"] = "OTHER"
    found = read(later, date="2020-03-24")
    pd.testing.assert_frame_equal(found.rows, read(fed()).rows)


def test_a_known_bar_can_be_named_again() -> None:
    found = read(fed(), date=str(DAYS[315].date()))
    assert found.rows.empty
    assert found.last == DAYS[315].to_datetime64()


def test_several_new_bars_come_in_order() -> None:
    known = ALL[ALL["date"] < DAYS[318]]
    found = read(fed(), known)
    assert found.rows["date"].unique().tolist() == list(DAYS[318:321])
    assert found.rows["tic"].tolist() == [*TICKERS] * 3


def test_the_last_known_bar_may_be_asked_for_until_it_was_answered() -> None:
    known = ALL[ALL["date"] <= NEXT]
    assert read(fed(), known).rows.empty
    with pytest.raises(DataError, match=r"stale prices: .* after 2020-03-24, for which the agent"):
        read(fed(), known, answered=NEXT.to_datetime64())


def test_a_float_written_and_read_by_another_program_is_the_same() -> None:
    frame = fed()
    frame.loc[frame["date"] < NEXT, "close"] *= 1 + 4e-10
    assert len(read(frame).rows) == 3


def late(**keywords: object) -> object:
    return datetime(2020, 3, 24, 22, tzinfo=timezone.utc).replace(**keywords)  # type: ignore[arg-type]


REFUSED = {
    "no newer bar": (
        lambda: fed(up_to=317),
        {},
        "stale prices: there must be a bar after 2020-03-23",
    ),
    "old bars": (fed, {"now": late(day=31)}, r"stale prices: .* of 2020-03-24, and 5 bars are due"),
    "named bar": (fed, {"date": "2020-03-25"}, r"a bar of --date 2020-03-25, .* 2020-03-24, 1 due"),
    "weekend": (fed, {"date": "2020-03-22"}, r"--date 2020-03-22, .* before it is of 2020-03-20"),
    "no date": (fed, {"date": "last"}, "--date must be a date such as 2020-01-31, got 'last'"),
    "session goes on": (
        fed,
        {"now": late(hour=19)},
        r"incomplete prices: the last bar must be completed, but that of 2020-03-24 may change "
        r"until 2020-03-24 20:00 UTC, .*Asia/Tokyo",
    ),
    "ticker lacks the bar": (
        lambda: fed().drop(index=fed().index[-2]),
        {},
        r"incomplete prices: .* none of BRK.B on 2020-03-24; .*--not-traded BRK.B",
    ),
    "empty close": (
        lambda: changed(NEXT, "MSFT", close=np.nan),
        {},
        "close of MSFT on 2020-03-24 must be a price above 0, got nothing",
    ),
    "close of 0": (
        lambda: changed(NEXT, "MSFT", close=0.0),
        {},
        "close of MSFT on 2020-03-24 must be a price above 0, got 0.0",
    ),
    "negative": (lambda: changed(NEXT, "MSFT", low=-3.0), {}, r"low of MSFT .* not be negative"),
    "infinite": (lambda: changed(NEXT, "MSFT", high=np.inf), {}, "high of MSFT .* be finite"),
    "empty open": (
        lambda: changed(NEXT, "AAPL", open=np.nan),
        {},
        "open of AAPL on 2020-03-24 must be a price above 0, got nothing",
    ),
    "empty volume": (
        lambda: changed(NEXT, "AAPL", volume=np.nan),
        {},
        "volume of AAPL on 2020-03-24 must be a number, got nothing",
    ),
    "no volumes": (
        lambda: fed().drop(columns="volume"),
        {},
        r"there must be the columns .* but \['volume'\] is missing",
    ),
    "hole before": (
        lambda: ALL[ALL["date"] == DAYS[329]],
        {"now": late(month=4, day=6)},
        "incomplete prices: .* none of the 9 bars due between 2020-03-23 and 2020-04-06",
    ),
    "renamed": (
        lambda: fed().replace("BRK.B", "BRK-B"),
        {},
        r"other tickers: .* none of \['BRK.B'\], and some of \['BRK-B'\].*BRK-B has the known "
        r"prices of BRK.B on 10 bars: .* name BRK.B",
    ),
    "renamed, without history": (
        lambda: fed(first=320).replace("MSFT", "MICR"),
        {},
        r"none of \['MSFT'\].*MICR begins at .* and MSFT ended at .* the name MSFT",
    ),
    "missing ticker": (
        lambda: fed().query("tic != 'MSFT'"),
        {},
        r"other tickers: .* none of \['MSFT'\]\. Give its rows, or.*--not-traded MSFT",
    ),
    "additional ticker": (
        lambda: pd.concat([fed(), fed().query("tic == 'MSFT'").replace("MSFT", "MSTF")]),
        {},
        r"alone, but there are some of \['MSTF'\]\. Did you mean 'MSFT'\?.*--ignore-others",
    ),
    "duplicate": (
        lambda: pd.concat([fed(), fed().tail(1)]),
        {},
        "duplicate dates: .* MSFT on 2020-03-24 is in rows 32 and 33",
    ),
    "unsorted": (
        lambda: fed().iloc[::-1],
        {},
        r"unsorted dates: those of MSFT must increase, but row 3 \(2020-03-23\) comes after row 0",
    ),
    "split since": (
        lambda: fed().assign(**{n: fed()[n] / 4 for n in PRICES}, volume=fed()["volume"] * 4),
        {},
        r"adjusted history: the prices of AAPL .* 10 bars in common they are 0.25 times .*"
        r"adjusted for a 4:1 split since\. Divide",
    ),
    "dividend since": (
        lambda: fed().assign(**{n: (fed()[n] * 0.9931).round(4) for n in PRICES}),
        {},
        "adjusted history: .* they are 0.9931 times .* for dividends",
    ),
    "unadjusted split": (
        tenth,
        {},
        r"split-jumped prices: those of BRK.B .* on 2020-03-24, which looks like a 10:1 split .*"
        "multiply the prices .* by 10",
    ),
    "one price changed": (
        lambda: changed(DAYS[312], "AAPL", close=51.0),
        {},
        "changed history: close of AAPL on 2020-03-12 must be .* got 51.0; 1 of 150 values",
    ),
    "a volume changed": (
        lambda: changed(DAYS[312], "AAPL", volume=51.0),
        {},
        "changed history: volume of AAPL on 2020-03-12",
    ),
    "rounded": (
        lambda: fed().round(dict.fromkeys(PRICES, 3)),
        {},
        r"changed history: close of AAPL on 2020-03-10 must be .* \(rounded\?\)",
    ),
    "a day not known": (
        lambda: pd.concat([fed(first=300, up_to=311), fed(first=313)]),
        {},
        "changed history: .* lacks a bar that it knows, on 2020-03-12",
    ),
    "other dates": (
        lambda: fed().assign(date=fed()["date"] - pd.Timedelta(days=1)),
        {"date": "2020-03-23"},
        "another time zone: .* of 2020-03-10 is dated 2020-03-09",
    ),
    "a Saturday": (
        lambda: fed(first=320).assign(date=pd.Timestamp("2020-03-28")),
        {"now": late(day=28)},
        "another calendar or time zone: .* 2020-03-28 is a Saturday",
    ),
    "times": (
        lambda: fed().assign(date=fed()["date"] + pd.Timedelta(hours=5)),
        {},
        "another frequency or time zone: dates must be days .* 2020-03-10 05:00:00 came",
    ),
    "weeks": (
        lambda: fed(first=300).loc[lambda f: f["date"].dt.strftime("%a") == "Tue"],
        {},
        "another frequency: bars must be about 1 day apart, .* are 7 days apart",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_doubtful_is_refused_with_the_reason(case: str, tmp_path: Path) -> None:
    make, rules, message = REFUSED[case]
    with pytest.raises(DataError, match=message) as of_frame:
        read(make(), **rules)
    assert str(of_frame.value).startswith("the table of prices: ")
    path = tmp_path / "bars.parquet"
    make().to_parquet(path, index=False)
    with pytest.raises(DataError, match=message) as of_file:
        read(path, **rules)
    assert str(of_file.value).startswith(str(path))


def test_what_a_user_knows_better_is_believed() -> None:
    found = read(tenth(), really_moved=("BRK.B",))
    assert any("BRK.B moved by -" in note for note in found.notes)
    halted = fed().query("tic != 'MSFT' or date < @NEXT")
    found = read(halted, not_traded=("MSFT",))
    assert found.rows["tic"].tolist() == ["AAPL", "BRK.B"]
    assert any("MSFT on 2020-03-24 has no bar" in note for note in found.notes)
    assert len(read(fed().query("tic != 'MSFT'"), not_traded=("MSFT",)).rows) == 2
    flagged = fed().assign(tradable=True)
    flagged.loc[flagged.index[-1], ["tradable", "open", "volume"]] = [False, np.nan, np.nan]
    assert read(flagged).rows["tradable"].tolist() == [True, True, False]
    more = pd.concat([fed(), fed().query("tic == 'MSFT'").replace("MSFT", "SPY")])
    assert read(more, ignore_others=True).rows["tic"].tolist() == list(TICKERS)
    hole = ALL[ALL["date"] == DAYS[329]]
    found = read(hole, now=late(month=4, day=6), max_missing=9)
    assert any("9 bars due between" in note for note in found.notes)
    tokyo = Closing(at=time(15), zone="Asia/Tokyo")
    assert len(read(fed(), now=late(hour=6, minute=30), closing=tokyo).rows) == 3


def test_prices_adjusted_for_dividends_are_brought_back_when_asked() -> None:
    adjusted = fed()
    for name in PRICES:
        adjusted.loc[adjusted["tic"] == "AAPL", name] *= 0.9931
    with pytest.raises(DataError, match=r"adjusted history: .*\(--rebase\)"):
        read(adjusted)
    found = read(adjusted, rebase=True)
    expected = ALL.loc[ALL["date"] == NEXT, "close"].to_numpy()
    np.testing.assert_allclose(found.rows["close"], expected, rtol=1e-14)
    assert found.rows["close"].tolist()[1:] == expected.tolist()[1:]
    assert any("AAPL were divided by 0.9931" in note for note in found.notes)
    read(adjusted.assign(close=adjusted["close"] * (1 + 1e-7)), rebase=True)
    for wrong in (REFUSED["split since"][0](), REFUSED["one price changed"][0]()):
        with pytest.raises(DataError, match=r"adjusted history|changed history"):
            read(wrong, rebase=True)


def test_yahoo_is_asked_for_the_last_known_bars_and_newer_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = {}

    def download(tickers: list[str], **keywords: object) -> pd.DataFrame:
        asked.update(keywords)
        days = fed(first=290)
        days = days[(days["date"] >= keywords["start"]) & (days["date"] < keywords["end"])]
        wide = days.pivot(index="date", columns="tic", values=[*PRICES, "volume"])
        return wide[[c for c in wide.columns if c[1] in tickers]].rename(
            columns=str.capitalize, level=0
        )

    module = ModuleType("yfinance")
    module.download = download  # type: ignore[attr-defined]  # as yfinance has it
    errors = ModuleType("yfinance.exceptions")
    errors.YFException = RuntimeError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "yfinance", module)
    monkeypatch.setitem(sys.modules, "yfinance.exceptions", errors)
    config = DataConfig(features=(), cache_dir=str(tmp_path))
    found = read("yahoo", config=config)
    assert asked["start"] == str(DAYS[300].date())
    assert asked["end"] == "2020-03-25"
    assert found.rows["close"].tolist() == ALL.loc[ALL["date"] == NEXT, "close"].tolist()
    assert found.place == "yahoo"


def test_a_function_of_the_users_is_read_and_leaves_the_agents_code_active(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fed().to_parquet(tmp_path / "kept.parquet")
    code = "import pandas as pd\n\ndef read():\n    return pd.read_parquet('kept.parquet')\n"
    (tmp_path / "prices_of_mine.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    before = active_code()
    found = read("prices_of_mine:read")
    assert found.rows["close"].tolist() == ALL.loc[ALL["date"] == NEXT, "close"].tolist()
    assert active_code() is before
    with pytest.raises(ConfigError, match="prices_of_his"):
        read("prices_of_his:read")


@pytest.mark.parametrize("ratio", [1.5, 2.0, 3.0, 4.0, 10.0, 0.5, 0.1])
@pytest.mark.parametrize("trading", [-0.03, 0.0, 0.03])
def test_splits_on_the_last_bar_are_seen_whatever_the_day_did(ratio: float, trading: float) -> None:
    frame = fed()
    row = (frame["date"] == NEXT) & (frame["tic"] == "MSFT")
    for name in PRICES:
        frame.loc[row, name] *= np.exp(trading) / ratio
    with pytest.raises(DataError, match="split-jumped prices: those of MSFT"):
        read(frame)


@pytest.mark.parametrize("move", [-0.23, 0.25])
def test_large_moves_of_a_day_are_no_splits_and_are_told(move: float) -> None:
    frame = fed()
    row = (frame["date"] == NEXT) & (frame["tic"] == "MSFT")
    for name in PRICES:
        frame.loc[row, name] *= 1.0 + move
    assert any("MSFT moved by" in note for note in read(frame).notes)


def test_one_missing_day_is_a_holiday_or_not_and_is_said() -> None:
    known = ALL[ALL["date"] < DAYS[319]]
    found = read(fed(first=320), known)
    assert any("1 bar due between 2020-03-20 and 2020-03-24" in note for note in found.notes)
    holey = fed(first=300)
    holey = holey[~holey["date"].isin([DAYS[row] for row in (303, 306, 309, 312)])]
    found = read(holey, ALL[ALL["date"] < DAYS[302]])
    assert sum("1 bar due between" in note for note in found.notes) == 2
    assert any("2 holes before the last 2 look the same" in note for note in found.notes)
    found = read(fed(), now=late(day=25))
    assert any("1 bar is due after the last one, of 2020-03-24" in note for note in found.notes)


def test_bars_within_the_day_are_complete_when_their_time_has_passed() -> None:
    days = pd.bdate_range("2020-01-01", periods=40)
    hours = pd.DatetimeIndex([day + pd.Timedelta(hours=h) for day in days for h in range(14, 21)])
    bars = market(hours.tz_localize("UTC"))
    known = bars[bars["date"] < hours[200].tz_localize("UTC")]
    new = bars[bars["date"].between(hours[195].tz_localize("UTC"), hours[200].tz_localize("UTC"))]
    begins = hours[200].tz_localize("UTC").to_pydatetime()
    found = read(new, known, now=begins + pd.Timedelta(hours=1))
    assert found.last == hours[200].to_datetime64()
    with pytest.raises(DataError, match="incomplete prices: the last bar must be completed"):
        read(new, known, now=begins + pd.Timedelta(minutes=59))
    local = new.assign(date=new["date"].dt.tz_localize(None))
    naive = known.assign(date=known["date"].dt.tz_localize(None))
    with pytest.raises(DataError, match="its time has no time zone; say by whose clock"):
        read(local, naive, now=begins + pd.Timedelta(hours=1))
    finer = new.assign(date=new["date"] + pd.Timedelta(minutes=20))
    with pytest.raises(DataError, match=r"another frequency: .* about 60 minutes apart"):
        read(pd.concat([new, finer.tail(3)]), known, date=finer["date"].iloc[-1])


def test_a_named_source_is_read_and_compared() -> None:
    bars = read_bundled()
    known = bars[bars["date"] < "2013-02-20"]
    tickers = ("AAPL", "IBM")
    found = read("bundled", known, tickers=tickers, date="2013-02-20")
    assert found.rows["tic"].tolist() == ["AAPL", "IBM"]
    expected = bars[(bars["date"] == "2013-02-20") & bars["tic"].isin(tickers)]
    assert found.rows["close"].tolist() == expected["close"].tolist()


def test_columns_that_features_are_made_of_must_be_there() -> None:
    known = KNOWN.assign(vix=20.0, mood=KNOWN["close"] * 2, remark=1.0)
    config = DataConfig(features=("mood",), market_columns=("vix",))
    with pytest.raises(DataError, match=r"but \['mood', 'vix'\] are missing"):
        read(fed(), known, config)
    new = fed().assign(vix=20.0, mood=fed()["close"] * 2)
    found = read(new, known, config)
    assert list(found.rows.columns) == list(known.columns)
    assert found.rows["remark"].isna().all()
    new.loc[new.index[-1], "mood"] = np.nan
    with pytest.raises(DataError, match="mood of MSFT on 2020-03-24 must be a number"):
        read(new, known, config)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("prices.txt", "date,tic,close\n", "must end in .csv"),
        ("prices.csv", "", "is empty"),
        ("prices.csv", "date;tic;close\n2020-03-24;MSFT;1\n", "separated by semicolons"),
        ("prices.csv", "date,tic,price\n2020-03-24,MSFT,1\n", "must have a column 'close'"),
        ("prices.csv", "day,AAPL\n2020-03-24,1\n", "must have a column 'date'"),
        ("prices.csv", "date,tic,close\n", "there must be rows"),
        ("prices.csv", "date,tic,close\n24.3.2020,MSFT,1\n", "cannot be read as a date"),
        ("prices.csv.gz", "date,tic,close\n", "cannot be read as csv"),
        ("prices.parquet", "date,tic,close\n", "cannot be read as parquet"),
        ("prices.csv", "date,open,close\n2020-03-24,1,1\n", "must be a column tic"),
    ],
)
def test_files_that_are_no_tables_of_prices(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").touch()
    with pytest.raises(DataError, match=r"no file .*price\.csv\. Did you mean 'prices.csv'\?"):
        read(tmp_path / "price.csv")
    with pytest.raises(
        DataError, match=r"prices must come from .*got 'yaho'\. Did you mean 'yahoo'"
    ):
        read("yaho")


@pytest.mark.parametrize("date", ["foo", "9999-01-01"])
def test_what_is_no_date_is_refused_before_a_download(date: str) -> None:
    with pytest.raises(DataError, match=f"--date must be a date such as 2020-01-31, got '{date}'"):
        read("yahoo", date=date)
