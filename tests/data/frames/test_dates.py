"""A row is one instant: zones are converted to one clock, days keep their local date."""

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from finrl_ray.config.data import DataConfig
from finrl_ray.data.frames.dates import read_dates, written_dates
from finrl_ray.data.load import load_market_data
from finrl_ray.data.market_data import MarketData, market_data_from_long
from finrl_ray.errors import ConfigError, DataError

LONDON, NEW_YORK = "Europe/London", "America/New_York"
# three bars of New York and two of London that are written in different local hours
INSTANTS = ["2023-01-11 14:00", "2023-01-11 15:00", "2023-01-11 16:00"]


def two_exchanges() -> pd.DataFrame:
    """Both jump at 15:00 UTC, which is 15:00 in London and 10:00 in New York."""
    rows = [
        (pd.Timestamp(instant, tz="UTC").tz_convert(zone), tic, close)
        for tic, zone in (("LON", LONDON), ("NYC", NEW_YORK))
        for instant, close in zip(INSTANTS, (100.0, 110.0, 110.0), strict=True)
    ]
    return pd.DataFrame(rows, columns=["date", "tic", "close"])


def as_objects(dates: "pd.Series[pd.Timestamp]", write: object) -> "pd.Series[object]":
    return pd.Series([write(date) for date in dates], dtype=object)  # type: ignore[operator]


WRITERS = {
    "iso text": lambda date: date.isoformat(),
    "text with a blank": str,
    "offset without colon": lambda date: date.strftime("%Y-%m-%d %H:%M%z"),
    "Z in one zone": lambda date: (
        date.tz_convert("UTC").strftime("%Y-%m-%dT%H:%MZ") if date.hour > 12 else date.isoformat()
    ),
    "UTC in one zone": lambda date: (
        date.tz_convert("UTC").strftime("%Y-%m-%d %H:%M UTC") if date.hour > 12 else str(date)
    ),
    "timestamps": lambda date: date,
    "datetimes": lambda date: date.to_pydatetime(),
    "zoneinfo": lambda date: datetime(*date.timetuple()[:5], tzinfo=ZoneInfo(str(date.tz))),
    "fixed offsets": lambda date: date.to_pydatetime().astimezone(timezone(date.utcoffset())),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_one_instant_is_one_row_in_any_order_of_rows(write, seed):
    frame = two_exchanges()
    frame["date"] = as_objects(frame["date"], write)
    if seed is not None:
        frame = frame.sample(frac=1.0, random_state=seed)
    market, report = market_data_from_long(frame)
    assert [str(date)[:16] for date in market.dates] == [
        text.replace(" ", "T") for text in INSTANTS
    ]
    assert market.tradable.all()
    np.testing.assert_array_equal(market.close, [[100, 100], [110, 110], [110, 110]])
    assert "converted to UTC" in report.notes[0]


def test_one_zone_as_a_typed_column_is_converted_too(tmp_path):
    frame = two_exchanges()
    frame["date"] = pd.to_datetime(frame["date"], utc=True).dt.tz_convert(NEW_YORK)
    assert str(MarketData.from_finrl(frame).dates[0])[:16] == "2023-01-11T14:00"
    frame.to_parquet(tmp_path / "prices.parquet")
    config = DataConfig(source="prices.parquet", features=())
    market, _ = load_market_data(config, tmp_path)
    assert str(market.dates[0])[:16] == "2023-01-11T14:00"


def test_the_config_names_another_zone(tmp_path):
    frame = two_exchanges()
    frame["date"] = [date.isoformat() for date in frame["date"]]
    frame.to_csv(tmp_path / "prices.csv", index=False)
    config = DataConfig(source="prices.csv", features=(), timezone="Asia/Tokyo")
    market, report = load_market_data(config, tmp_path)
    # Tokyo is nine hours ahead of UTC
    assert [str(date)[:16] for date in market.dates] == [
        "2023-01-11T23:00", "2023-01-12T00:00", "2023-01-12T01:00",
    ]  # fmt: skip
    assert "converted to Asia/Tokyo" in report.notes[0]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Europe/london", "Did you mean 'Europe/London'"),
        ("New York", "Did you mean 'America/New_York'"),
        ("Mars/Olympus", "must be the name of a time zone"),
        ("../etc/passwd", "must be the name of a time zone"),
        ("", "must be the name of a time zone"),
    ],
)
def test_a_zone_that_does_not_exist_is_refused(name, hint, tiny):
    with pytest.raises(ConfigError, match=hint):
        DataConfig(timezone=name)
    with pytest.raises(ConfigError, match=hint):
        market_data_from_long(tiny(), timezone=name)


def test_hours_of_the_days_on_which_clocks_change():
    hours = pd.date_range("2023-03-25", "2023-03-27", freq="h", tz="UTC").append(
        pd.date_range("2023-10-28", "2023-10-30", freq="h", tz="UTC")
    )
    local = hours.tz_convert(LONDON)
    frame = pd.DataFrame({"date": [stamp.isoformat() for stamp in local], "tic": "A", "close": 1.0})
    assert frame["date"].str[:16].duplicated().any()  # 01:00 of 29 October, twice
    market, _ = market_data_from_long(frame)
    np.testing.assert_array_equal(market.dates, hours.tz_localize(None).to_numpy())
    twice = "Europe/London shows 2023-10-29 01:00:00 twice.*29 00:00:00 and 2023-10-29 01:00:00 UTC"
    with pytest.raises(DataError, match=twice):
        market_data_from_long(frame, timezone=LONDON)
    # a zone without summer time shows each hour once
    tokyo, _ = market_data_from_long(frame, timezone="Asia/Tokyo")
    assert tokyo.dates[0] - market.dates[0] == np.timedelta64(9, "h")


def test_the_second_of_two_equal_hours_is_another_instant():
    zone = ZoneInfo(LONDON)
    both = [datetime(2023, 10, 29, 1, tzinfo=zone, fold=fold) for fold in (0, 1)]
    assert both[0] == both[1]  # so Python thinks
    frame = pd.DataFrame({"date": pd.Series(both, dtype=object), "tic": "A", "close": [1.0, 2.0]})
    market, _ = market_data_from_long(frame)
    assert [str(date)[11:16] for date in market.dates] == ["00:00", "01:00"]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_days_keep_their_local_date_even_where_they_are_one_instant(order):
    # midnight of the 10th on Kiritimati is midnight of the 9th in Honolulu
    east, west = "Pacific/Kiritimati", "Pacific/Honolulu"
    dates = [pd.Timestamp(f"2023-01-{day}", tz=zone) for zone in (east, west) for day in (10, 11)]
    assert dates[0] == pd.Timestamp("2023-01-09", tz=west)
    frame = pd.DataFrame(
        {"date": pd.Series(dates, dtype=object), "tic": list("EEWW"), "close": [1.0, 2.0, 3.0, 4.0]}
    )
    for timezone_name in (None, "Asia/Tokyo"):
        market, report = market_data_from_long(frame.iloc[order], timezone=timezone_name)
        assert [str(date)[:10] for date in market.dates] == ["2023-01-10", "2023-01-11"]
        np.testing.assert_array_equal(market.close, [[1, 3], [2, 4]])
        assert "local dates were kept" in report.notes[0]


@pytest.mark.parametrize("offset", ["-05:00", "Z", "+0530", " -05", " UTC"])
def test_offsets_of_days_in_text(tiny, offset):
    df = tiny()
    df["date"] = df["date"] + " 00:00" + offset
    data, _ = market_data_from_long(df, timezone=NEW_YORK)
    assert str(data.dates[0]) == "2020-01-01T00:00:00.000000000"


@pytest.mark.parametrize(
    ("offset", "first"),
    [("-05:00", "2020-01-01T14:30"), ("Z", "2020-01-01T09:30"), ("+0530", "2020-01-01T04:00"),
     (" -05", "2020-01-01T14:30"), ("-03:30", "2020-01-01T13:00")],
)  # fmt: skip
def test_offsets_of_times_in_text(tiny, offset, first):
    df = tiny()
    df["date"] = df["date"] + " 09:30" + offset
    assert str(market_data_from_long(df)[0].dates[0])[:16] == first


def test_a_day_that_begins_at_one_o_clock_is_a_day():
    # clocks of São Paulo went from 00:00 to 01:00 on 2018-11-04
    dates = pd.date_range("2018-11-02", periods=4, freq="D")
    days = dates.tz_localize("America/Sao_Paulo", nonexistent="shift_forward")
    assert days[2].hour == 1
    typed = pd.DataFrame({"date": days, "tic": "A", "close": 1.0})
    text = typed.assign(date=[day.isoformat() for day in days])
    for frame, zone in ((typed, None), (typed.astype({"date": object}), None),
                        (text, "America/Sao_Paulo")):  # fmt: skip
        market, _ = market_data_from_long(frame, timezone=zone)
        np.testing.assert_array_equal(market.dates, dates.to_numpy())


def test_naive_times_are_left_alone(tiny):
    df = tiny()
    df["date"] = df["date"] + " 09:30"
    data, report = market_data_from_long(df, timezone="Asia/Tokyo")
    assert str(data.dates[0])[:16] == "2020-01-01T09:30"
    assert report.notes == ()


def test_bounds_with_a_zone_are_instants(tiny):
    frame = two_exchanges()
    for start in (
        pd.Timestamp("2023-01-11 15:00", tz="UTC"),
        pd.Timestamp("2023-01-11 10:00", tz=NEW_YORK),
        "2023-01-11T10:00-05:00",
        "2023-01-11 15:00",
    ):
        assert market_data_from_long(frame, start=start)[0].n_periods == 2
    day = pd.Timestamp("2020-01-03", tz="Asia/Tokyo")
    assert market_data_from_long(tiny(), start=day)[0].n_periods == 2


def test_the_label_of_an_instant_does_not_depend_on_the_order_of_rows():
    frame = two_exchanges()
    frame["date"] = as_objects(frame["date"], lambda date: date.isoformat())
    labels = set()
    for seed in range(4):
        mixed = frame.sample(frac=1.0, random_state=seed)
        rows = read_dates(mixed["date"], mixed["tic"].to_numpy(dtype=object))
        labels.add(written_dates(rows, mixed["date"], np.unique(rows.dates)))
    assert len(labels) == 1


def test_equal_dates_of_any_kind_are_read_alike():
    # offsets of a quarter of an hour, and days before the epoch
    stamps = pd.to_datetime(["1969-12-31 23:45", "1970-01-01 00:30"])
    offset = timezone(timedelta(hours=5, minutes=45))
    dates = [stamp.to_pydatetime().replace(tzinfo=offset) for stamp in stamps]
    rows = read_dates(pd.Series(dates, dtype=object), np.array(["A", "A"], dtype=object))
    assert [str(date)[:16] for date in rows.dates] == ["1969-12-31T18:00", "1969-12-31T18:45"]
