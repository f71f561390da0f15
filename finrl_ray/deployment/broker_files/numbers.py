"""Numbers as brokers write them: `$1,234.50`, `(12)`, `1.234,5`, `1'000`, `EUR 54.47`, `--`.

Whether `1,234` is a thousand or one and a bit cannot be seen in it. The other numbers of the file
tell, or the sign between its columns does; otherwise it is an error.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from finrl_ray.errors import DataError

Decimal = Literal[".", ","]

_EMPTY = frozenset({"", "-", "--", "---", "n/a", "na", "nan", "none", "null", "#n/a"})
_CURRENCY = re.compile(
    r"(?i)\b(?:USD|EUR|GBP|CHF|JPY|CAD|AUD|HKD|SEK|NOK|DKK|INR|CNY|PLN|NZD|SGD)\b|[$€£¥₹]|^[A-Z]{1,3}\$"
)
_SPACES = re.compile(r"[\s\u00a0\u202f\u2009']|\u2019")
_MINUS = str.maketrans({"\u2212": "-", "\u2013": "-"})
_DIGITS = re.compile(r"\d+(?:[.,]\d+)*[.,]?|[.,]\d+")


@dataclass(frozen=True, slots=True)
class WrittenNumber:
    """A number whose separators are not understood yet.

    Parameters
    ----------
    digits : digits, points and commas
    negative : whether a minus or brackets stand around it
    """

    digits: str
    negative: bool

    @property
    def decimal(self) -> Decimal | None:
        """The sign that separates its decimals, if that can be seen in it alone."""
        points, commas = self.digits.count("."), self.digits.count(",")
        if points and commas:
            return "." if self.digits.rfind(".") > self.digits.rfind(",") else ","
        if points + commas == 0:
            return None
        sign: Decimal = "." if points else ","
        if points + commas > 1:
            return "," if sign == "." else "."
        before, _, after = self.digits.partition(sign)
        grouped = len(after) == 3 and 1 <= len(before) <= 3 and not before.startswith("0")
        return None if grouped else sign

    @property
    def ambiguous(self) -> bool:
        """Whether it has one sign, which may separate thousands or decimals."""
        return self.decimal is None and ("." in self.digits or "," in self.digits)

    def value(self, decimal: Decimal) -> float | None:
        """Return the number; None if its groups of thousands are not such."""
        thousands = "," if decimal == "." else "."
        whole, _, part = self.digits.partition(decimal)
        groups = whole.split(thousands)
        if len(groups) > 1 and (
            not 1 <= len(groups[0]) <= 3 or {len(g) for g in groups[1:]} != {3}
        ):
            return None
        if thousands in part or decimal in part:
            return None
        number = float(f"{''.join(groups) or '0'}.{part or '0'}")
        return -number if self.negative else number


def written_number(text: str) -> WrittenNumber | None:
    """Return the number in a cell, if it is one beside signs of currencies and of debt."""
    plain = _SPACES.sub("", _CURRENCY.sub("", text.strip().translate(_MINUS)))
    negative = False
    if plain.startswith("(") and plain.endswith(")"):
        plain, negative = plain[1:-1], True
    if plain[:1] in ("-", "+"):
        plain, negative = plain[1:], plain[0] == "-"
    elif plain.endswith("-"):
        plain, negative = plain[:-1], True
    plain = _CURRENCY.sub("", plain)
    if _DIGITS.fullmatch(plain) is None:
        return None
    return WrittenNumber(plain, negative)


def is_empty(text: str) -> bool:
    """Return whether a cell says that there is no value."""
    return text.strip().lower() in _EMPTY


def decimal_of(cells: Iterable[str], delimiter: str) -> Decimal | None:
    """Return the sign before the decimals of a file; None if nothing in it tells.

    Parameters
    ----------
    cells : of the file
    delimiter : between its columns; commas there are those of countries with decimal points

    Raises
    ------
    DataError
        If some have a point and some a comma, with both.
    """
    seen: dict[Decimal, str] = {}
    for cell in cells:
        number = written_number(cell)
        if number is None or number.decimal is None:
            continue
        if number.value(number.decimal) is not None:  # else it is a date, or a version
            seen.setdefault(number.decimal, cell.strip())
    if len(seen) == 2:
        raise DataError(
            f"all numbers must have the same sign before their decimals, but there are "
            f"{seen['.']!r} and {seen[',']!r}; say which is meant (--decimal . or --decimal ,)"
        )
    if seen:
        return next(iter(seen))
    return "." if delimiter == "," else None


def read_number(text: str, decimal: Decimal | None, where: str) -> float | None:
    """Return the number in a cell; None where it is empty.

    Parameters
    ----------
    text : of the cell
    decimal : the sign before decimals, from `decimal_of`
    where : the cell, for messages

    Raises
    ------
    DataError
        If it is no number, or may be two numbers.
    """
    if is_empty(text):
        return None
    number = written_number(text)
    if number is None:
        raise DataError(f"{where} must be a number, got {text.strip()!r}; correct the cell")
    if decimal is None and number.ambiguous:
        raise DataError(
            f"{where} must be one number, but {text.strip()!r} may mean two, and no other number "
            "of the file tells; say what stands before decimals (--decimal . or --decimal ,)"
        )
    value = number.value(decimal or ".")
    if value is None:
        raise DataError(
            f"{where} must be a number whose thousands are groups of three digits and whose "
            f"decimals follow a {decimal or '.'!r}, got {text.strip()!r}; correct the cell, or say "
            "what stands before decimals (--decimal . or --decimal ,)"
        )
    return value
