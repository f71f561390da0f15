"""Numbers as brokers write them."""

import pytest

from finrl_ray.deployment.broker_files.numbers import decimal_of, read_number
from finrl_ray.errors import DataError


@pytest.mark.parametrize(
    ("text", "decimal", "value"),
    [
        ("100", ".", 100.0),
        (" 1,234 ", ".", 1234.0),
        ("1,234,567.89", ".", 1234567.89),
        ("$1,234.50", ".", 1234.5),
        ("-$1,234.50", ".", -1234.5),
        ("$-5", ".", -5.0),
        ("($1,234.50)", ".", -1234.5),
        ("$(12)", ".", -12.0),
        ("12-", ".", -12.0),
        ("\u221212", ".", -12.0),
        ("+7", ".", 7.0),
        (".5", ".", 0.5),
        ("5.", ".", 5.0),
        ("0.123", ".", 0.123),
        ("1.234,5", ",", 1234.5),
        ("1.234.567", ",", 1234567.0),
        ("0,125", ",", 0.125),
        ("12,5", ",", 12.5),
        ("EUR 54,47", ",", 54.47),
        ("54,47 €", ",", 54.47),
        ("US$3", ".", 3.0),
        ("1'234.5", ".", 1234.5),
        ("1\u202f234,5", ",", 1234.5),
        ("1 234,5", ",", 1234.5),
        ("1,234", ",", 1.234),
        ("1.234", ".", 1.234),
    ],
)
def test_numbers(text: str, decimal: str, value: float) -> None:
    assert read_number(text, decimal, "here") == value  # type: ignore[arg-type]  # one of two


@pytest.mark.parametrize("text", ["", " ", "--", "n/a", "NaN", "-"])
def test_cells_without_a_value(text: str) -> None:
    assert read_number(text, ".", "here") is None


@pytest.mark.parametrize(
    "text", ["ten", "1.2.3", "12,34,5", "1,23", "1 AAPL", "5%", "(", "1,2.5,6"]
)
def test_what_is_no_number_is_an_error(text: str) -> None:
    with pytest.raises(DataError, match=r"^Qty in line 3 must be a number.* got "):
        read_number(text, ".", "Qty in line 3")


def test_a_number_that_may_be_two_is_an_error() -> None:
    with pytest.raises(DataError, match=r"'1,234' may mean two, .* --decimal"):
        read_number("1,234", None, "Qty in line 3")
    assert read_number("1234", None, "here") == 1234.0


@pytest.mark.parametrize(
    ("cells", "delimiter", "decimal"),
    [
        (["1,234", "5"], ",", "."),
        (["1,234", "5"], "\t", None),
        (["1,234", "5"], "|", None),
        (["1,234", "5"], ";", None),
        (["1,234", "5,25"], ";", ","),
        (["1.234", "0,125"], ";", ","),
        (["1.234", "0.125"], ";", "."),
        (["1.234.567"], ";", ","),
        (["1,234.5"], ",", "."),
        (["31.12.2024", "AAPL", "1.234"], ";", None),
    ],
)
def test_the_sign_before_decimals_is_seen_in_the_other_numbers(
    cells: list[str], delimiter: str, decimal: str | None
) -> None:
    assert decimal_of(cells, delimiter) == decimal


def test_numbers_of_two_countries_are_an_error() -> None:
    with pytest.raises(DataError, match=r"there are '1\.5' and '1,5'"):
        decimal_of(["1.5", "1,5"], ",")
