import numpy as np
import pandas as pd
import pytest

from finrl_ray.config.data import DataConfig
from finrl_ray.data.market_data import market_data_from_long
from finrl_ray.data.sources.registry import read_source
from finrl_ray.errors import DataError


def read(source, base_dir):
    return read_source(DataConfig(source=str(source)), base_dir)


class TestFiles:
    @pytest.mark.parametrize("name", ["p.csv", "p.csv.gz", "p.parquet", "P.CSV"])
    def test_round_trip(self, bundled_frame, tmp_path, name):
        if name.endswith("parquet"):
            bundled_frame.to_parquet(tmp_path / name)
        else:
            bundled_frame.to_csv(tmp_path / name, index=True)  # the unnamed index column too
        expected = market_data_from_long(bundled_frame)[0].content_hash
        assert market_data_from_long(read(name, tmp_path))[0].content_hash == expected

    def test_relative_and_absolute(self, tiny, tmp_path):
        (tmp_path / "a").mkdir()
        tiny().to_csv(tmp_path / "a" / "p.csv", index=False)
        assert len(read("a/p.csv", tmp_path)) == 8
        assert len(read("../a/p.csv", tmp_path / "a")) == 8
        assert len(read(tmp_path / "a" / "p.csv", tmp_path / "elsewhere")) == 8

    def test_tickers_that_look_like_something_else(self, tiny, tmp_path):
        tickers = ("000001", "NA", "TRUE", "1e5")
        tiny(tickers=tickers).to_csv(tmp_path / "p.csv", index=False)
        data, _ = market_data_from_long(read("p.csv", tmp_path))
        assert data.tickers == tuple(sorted(tickers))

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("bundeld", "Did you mean 'bundled'"),
            ("SP500", "Did you mean 'sp500'"),
            (
                "nothing-like-it",
                r"must be one of \['bundled', 'sp500', .*'planted'\] or",
            ),
            ("price.csv", r"there is no file .*price.csv.* Did you mean 'prices.csv'"),
            ("no/such/p.csv", "there is no file"),
            ("folder", "must be a file, but .* is a folder"),
            ("", "is a folder"),
            ("folder.csv", "is a folder"),
            ("prices.xlsx", "or end in .csv or .csv.gz or .parquet"),
            ("~nobody-here/p.csv", "cannot be read|there is no file"),
            ("empty.csv", "cannot be read as csv: No columns"),
            ("broken.csv.gz", "cannot be read as csv.gz"),
            ("cut.csv.gz", "cannot be read as csv.gz"),
            ("broken.parquet", "cannot be read as parquet"),
            ("cut.parquet", "cannot be read as parquet"),
            ("latin.csv", "cannot be read as csv: it is not in UTF-8"),
            ("twice.csv", r"each column name must occur once; more than once: \['close'\]"),
            ("ragged.csv", "cannot be read as csv: Error tokenizing"),
            ("a\0b.csv", "no file|cannot be read|null byte"),
        ],
    )
    def test_wrong(self, tiny, tmp_path, source, message):
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder.csv").mkdir()
        tiny().to_csv(tmp_path / "prices.csv", index=False)
        tiny().to_csv(tmp_path / "whole.csv.gz", index=False)
        tiny().to_parquet(tmp_path / "whole.parquet")
        (tmp_path / "prices.xlsx").write_bytes(b"PK")
        (tmp_path / "empty.csv").write_bytes(b"")
        (tmp_path / "broken.csv.gz").write_bytes(b"date,tic,close\n")
        (tmp_path / "cut.csv.gz").write_bytes((tmp_path / "whole.csv.gz").read_bytes()[:60])
        (tmp_path / "broken.parquet").write_bytes(b"not parquet")
        (tmp_path / "cut.parquet").write_bytes((tmp_path / "whole.parquet").read_bytes()[:-20])
        (tmp_path / "latin.csv").write_bytes(b"date,tic,close\n2020-01-01,caf\xe9,1\n")
        (tmp_path / "twice.csv").write_bytes(b"date,tic,close,close\n2020-01-01,A,1,2\n")
        (tmp_path / "ragged.csv").write_bytes(b"date,tic,close\n1,2,3\n1,2,3,4,5,6\n")
        with pytest.raises(DataError, match=message):
            read(source, tmp_path)

    def test_numbers_survive_exactly(self, tmp_path):
        values = np.random.default_rng(0).lognormal(0, 3, 2000)
        rows = [f"2020-01-01,T{i},{v!r}" for i, v in enumerate(values.tolist())]
        (tmp_path / "p.csv").write_text("date,tic,close\n" + "\n".join(rows))
        np.testing.assert_array_equal(read("p.csv", tmp_path)["close"].to_numpy(), values)
        assert isinstance(read("p.csv", tmp_path), pd.DataFrame)


ROWS = "date,tic,close\n2020-01-01,A,1.5\n2020-01-02,A,2.5\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            ROWS.replace(",", ";").replace(".", ",").encode(),
            r"separated by semicolons, and must be by commas.*sep=';', decimal=','",
        ),
        (ROWS.replace(",", "\t").encode(), r"separated by tabs.*sep='\\t'\)"),
        (ROWS.replace(",", "|").encode(), "separated by vertical bars"),
        (ROWS.encode("utf-16"), "it is UTF-16, and must be UTF-8.*encoding='utf-16'"),
        (ROWS.replace("A", "Å").encode("latin-1"), "not in UTF-8.*encoding='latin-1'"),
    ],
)
def test_a_file_of_another_dialect_is_refused_with_how_to_read_it(
    tmp_path, content: bytes, words: str
) -> None:
    (tmp_path / "prices.csv").write_bytes(content)
    with pytest.raises(DataError, match=words):
        read("prices.csv", tmp_path)


def test_the_reading_that_the_message_names_gives_the_rows(tmp_path) -> None:
    (tmp_path / "prices.csv").write_text(ROWS.replace(",", ";").replace(".", ","))
    frame = pd.read_csv(tmp_path / "prices.csv", sep=";", decimal=",")
    frame.to_csv(tmp_path / "again.csv", index=False)
    assert read("again.csv", tmp_path)["close"].tolist() == [1.5, 2.5]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path) -> None:
    (tmp_path / "prices.csv").write_text(ROWS, encoding="utf-8-sig")
    assert list(read("prices.csv", tmp_path)) == ["date", "tic", "close"]


def test_a_missing_file_is_named_without_detours_and_its_neighbours_are_prices(tmp_path) -> None:
    (tmp_path / "pricey.yaml").write_text("name: x")
    (tmp_path / "sub").mkdir()
    with pytest.raises(DataError) as caught:
        read("../prices.csv", tmp_path / "sub")
    assert str(caught.value) == (
        f"there is no file {tmp_path}/prices.csv. A relative path is looked up from the folder of "
        "the config file"
    )
    with pytest.raises(DataError, match=f"no file {tmp_path}/no/p.csv. There is no folder .*/no"):
        read("no/p.csv", tmp_path)
