"""What an account holds, from a CSV of any broker's columns.

Nothing is guessed that would move money: a file that can be read in two ways is an error that says
how to choose, positions that the agent does not trade are left out and told, and cash has to be
found or given.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from finrl_ray.deployment.bar_checks.tickers import plain_ticker
from finrl_ray.deployment.broker_files.numbers import (
    Decimal,
    decimal_of,
    is_empty,
    read_number,
    written_number,
)
from finrl_ray.deployment.broker_files.table import (
    BrokerTable,
    Line,
    plain_name,
    read_broker_table,
)
from finrl_ray.deployment.broker_files.words import (
    ACCOUNTS,
    CASH,
    CASH_COLUMNS,
    COSTS,
    CURRENCIES,
    CURRENCY_COLUMNS,
    DERIVATIVES,
    KINDS,
    LONG,
    PENDING,
    SHORT,
    SIDES,
    SWEEP_FUNDS,
    TEXTS,
    TOTALS,
    VALUES,
)
from finrl_ray.errors import DataError
from finrl_ray.support.text import closest, counted, did_you_mean, listed

_EXCHANGES = re.compile(
    r"(?i)^(?:NASDAQ|NYSE|ARCA|AMEX|BATS|NYSEARCA):|(?:_US_EQ|:US| US| US EQUITY|\.US)$"
)
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}\d")
_BASE = "base currency summary"
_GIVE_CASH = "; give the cash (--cash AMOUNT)"


@dataclass(frozen=True, kw_only=True)
class HeldPositions:
    """Cash and positions of an account.

    Parameters
    ----------
    cash : currency
    shares : by ticker of the agent's; below 0 are shares owed
    bought_at : average price paid by ticker, where the file says it
    left_out : positions that the agent does not trade, with their shares, None where unknown
    notes : sentences for the user
    """

    cash: float
    shares: Mapping[str, float]
    bought_at: Mapping[str, float] = field(default_factory=dict)
    left_out: tuple[tuple[str, float | None], ...] = ()
    notes: tuple[str, ...] = ()


def read_holdings(
    path: str | Path,
    tickers: Sequence[str],
    *,
    cash: float | None = None,
    ticker_column: str | None = None,
    shares_column: str | None = None,
    decimal: Decimal | None = None,
    sum_rows: bool = False,
) -> HeldPositions:
    """Return what a broker's file says of an account.

    Parameters
    ----------
    path : a CSV with any sign between columns, lines before and after the table, totals, cash rows
    tickers : that the agent trades; BRK.B, BRK-B and BRK/B are one
    cash : currency; None: from rows or a column of cash in the file
    ticker_column, shares_column : names of the columns, where they are not the usual ones
    decimal : sign before decimals; None: as the numbers of the file show it
    sum_rows : rows of one ticker (lots, accounts) are added up; else they are an error

    Raises
    ------
    DataError
        If the file cannot be read, or can be read in several ways; with the columns that were
        found, the line, and what to say.
    """
    table = read_broker_table(Path(path).expanduser(), ticker_column, shares_column)
    try:
        reading = _Reading.of(table, tickers, decimal)
        return reading.result(cash, sum_rows=sum_rows)
    except DataError as error:
        raise DataError(f"{table.place}: {error}") from error


@dataclass(kw_only=True)
class _Reading:
    """A file while it is read: what its rows have said so far."""

    table: BrokerTable
    names: Mapping[str, str]
    decimal: Decimal | None
    held: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    paid: dict[str, float] = field(default_factory=dict)
    cash: list[tuple[int, str, float]] = field(default_factory=list)
    accounts: set[str] = field(default_factory=set)
    others: list[tuple[str, float | None]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, table: BrokerTable, tickers: Sequence[str], decimal: Decimal | None) -> "_Reading":
        dated = {
            at for at, name in enumerate(table.heading) if re.search("date|time", name.lower())
        }
        cells = [
            cell for line in table.lines for at, cell in enumerate(line.cells) if at not in dated
        ]
        known: dict[str, str] = {}
        for ticker in tickers:
            plain = plain_ticker(ticker)
            # two of the agent's that differ in this alone are only taken as they are written
            known[plain] = "" if plain in known else ticker
        names = {plain: ticker for plain, ticker in known.items() if ticker}
        reading = cls(
            table=table,
            names=names | {ticker: ticker for ticker in tickers},
            decimal=decimal or decimal_of(cells, table.delimiter),
        )
        for line in table.lines:
            reading.read(line)
        return reading

    def read(self, line: Line) -> None:
        """Take in one row."""
        name = line.cells[self.table.ticker].strip()
        ticker = self._ticker(name)
        if ticker is not None:
            if self._is_derivative(line):
                self._other(line, f"{name} ({', '.join(self._kinds(line))})")
            else:
                self._position(line, name, ticker)
            return
        words = [plain_name(cell) for cell in (name, *self._texts(line))]
        first = next((word for word in map(plain_name, line.cells) if word), "")
        if any(_is_total(word) for word in (*words[:1], first)):
            return
        if any(word in PENDING for word in (*words[:1], first)):
            self.notes.append(
                f"Line {line.number} is of pending activity: it is not counted as cash."
            )
        elif self._is_cash(name, line):
            self._cash(line, name)
        elif sum(bool(cell.strip()) for cell in line.cells) > 1:
            self._other(line, name)

    def _ticker(self, name: str) -> str | None:
        if not name:
            return None
        if name in self.names:
            return self.names[name]
        for spelt in (name, _EXCHANGES.sub("", name)):
            found = self.names.get(plain_ticker(spelt))
            if found:
                return found
        # some write BRK.B as BRKB
        joined = {plain.replace("-", ""): found for plain, found in self.names.items()}
        found = joined.get(name.upper())
        return found if found and plain_ticker(found) != name.upper() else None

    def _texts(self, line: Line) -> list[str]:
        found = []
        for at, heading in enumerate(self.table.heading):
            if plain_name(heading) in TEXTS:
                found.append(line.cells[at].strip())
        return found

    def _number(self, line: Line, column: int) -> float | None:
        where = f"{self.table.heading[column]} in line {line.number}"
        return read_number(line.cells[column], self.decimal, where)

    def _position(self, line: Line, name: str, ticker: str) -> None:
        shares = self._number(line, self.table.shares)
        if shares is None:
            raise DataError(
                f"{self.table.heading[self.table.shares]} of {name} in line {line.number} must be "
                "a number, got an empty cell; write 0, or leave the row out"
            )
        if self._is_short(line) and shares > 0:
            shares = -shares
        if name != ticker:
            self.notes.append(f"{name} is taken for {ticker}.")
        self.accounts |= {self._account(line)} - {""}
        self.held.setdefault(ticker, []).append((line.number, shares))
        cost = self.table.column(COSTS)
        number = None if cost is None else written_number(line.cells[cost])
        value = None if number is None else number.value(self.decimal or ".")
        if value is not None and value > 0 and shares != 0:
            self.paid[ticker] = value

    def _is_short(self, line: Line) -> bool:
        """Return whether a column that has Long and Short for every position says Short."""
        positions = [one for one in self.table.lines if self._ticker(one.cells[self.table.ticker])]
        for at, heading in enumerate(self.table.heading):
            if at == self.table.shares or plain_name(heading) not in SIDES:
                continue
            cells = [one.cells[at].strip().lower() for one in positions]
            said = {cell for cell in cells if not is_empty(cell)}
            if said and said <= SHORT | LONG:
                return line.cells[at].strip().lower() in SHORT
            if said & SHORT:
                raise DataError(
                    f"the column {heading!r} must say Long or Short of every position, got "
                    f"{listed(sorted(said))}; write shares that are owed with a minus, and take "
                    "the column out"
                )
        return False

    def _kinds(self, line: Line) -> list[str]:
        """Return what the columns of kinds say of a row."""
        cells = zip(self.table.heading, line.cells, strict=True)
        return [cell.strip() for name, cell in cells if plain_name(name) in KINDS and cell.strip()]

    def _is_derivative(self, line: Line) -> bool:
        return any(DERIVATIVES & {*plain_name(kind).split()} for kind in self._kinds(line))

    def _account(self, line: Line) -> str:
        cells = zip(self.table.heading, line.cells, strict=True)
        return " ".join(cell.strip() for name, cell in cells if plain_name(name) in ACCOUNTS)

    def _is_cash(self, name: str, line: Line) -> bool:
        plain = plain_name(name)
        if plain in CASH or name.upper() in CURRENCIES or _is_currency_cash(plain):
            return True
        fund = name.upper().rstrip("*").strip()
        if name.endswith("*") and fund in SWEEP_FUNDS:
            return True
        texts = [plain_name(text) for text in self._texts(line)]
        if not name and any(text in CASH or text.startswith("cash ") for text in texts):
            return True
        if any(plain_name(kind) in CASH for kind in self._kinds(line)):
            return True
        return fund in SWEEP_FUNDS and any(text in CASH or "money market" in text for text in texts)

    def _cash(self, line: Line, name: str) -> None:
        amount, currency = None, ""
        for heading in self._value_columns():
            column = self.table.column((heading,))
            if column is not None and column != self.table.shares:
                amount = self._number(line, column)
            if amount is not None:
                currency = heading[-3:].upper() if heading.startswith("value in ") else ""
                break
        if amount is None:
            amount = self._number(line, self.table.shares)
        if amount is None:
            raise DataError(
                f"the row of cash in line {line.number} must have an amount, but there is none "
                f"under {listed(self.table.heading)}; correct it, or give the cash (--cash AMOUNT)"
            )
        self.accounts |= {self._account(line)} - {""}
        self.cash.append((line.number, currency or self._currency(line, name), amount))

    def _value_columns(self) -> list[str]:
        """Return how columns of values are called, such as Value in GBP too."""
        plain = [plain_name(heading) for heading in self.table.heading]
        return [name for name in plain if re.fullmatch("value in [a-z]{3}", name)] + [*VALUES]

    def _currency(self, line: Line, name: str) -> str:
        """Return the currency of a row of cash, from its column or its words."""
        column = self.table.column(CURRENCY_COLUMNS)
        said = line.cells[column].strip().upper() if column is not None else ""
        words = re.findall("[A-Z]+", " ".join([name, *self._texts(line)]).upper())
        return said or next((word for word in words if word in CURRENCIES), "")

    def _other(self, line: Line, name: str) -> None:
        number = written_number(line.cells[self.table.shares])
        shares = None if number is None else number.value(self.decimal or ".")
        called = name or next((text for text in self._texts(line) if text), "")
        if called:
            self.others.append((called, shares))

    def result(self, cash: float | None, *, sum_rows: bool) -> HeldPositions:
        """Return the whole, once every row was taken in."""
        if len(self.accounts) > 1 and not sum_rows:
            raise DataError(
                f"the file must be of one account, but it has {listed(sorted(self.accounts))}; "
                "keep the rows of one, or add all up (--sum-rows)"
            )
        shares = {}
        for ticker, rows in self.held.items():
            if len(rows) > 1 and not sum_rows:
                said = ", ".join(f"line {number}: {held:g}" for number, held in rows)
                raise DataError(
                    f"{ticker} must be in one row, but it is in {len(rows)} ({said}); if these are "
                    "lots or accounts that belong together, add them up (--sum-rows), else leave "
                    "some out"
                )
            shares[ticker] = sum(held for _, held in rows)
            if len(rows) > 1:
                self.paid.pop(ticker, None)
        self._check_names(shares)
        amount = self._all_cash() if cash is None else cash
        if cash is not None and (self.cash or self.table.ending_cash):
            self.notes.append(f"The cash of the file is not counted: {cash:g} was given.")
        return HeldPositions(
            cash=amount,
            shares=shares,
            bought_at=self.paid,
            left_out=tuple(self.others),
            notes=(*self.notes, *self._told()),
        )

    def _check_names(self, shares: Mapping[str, float]) -> None:
        names = [name for name, _ in self.others]
        if not shares and names and all(_ISIN.fullmatch(name) for name in names):
            heading = self.table.heading[self.table.ticker]
            raise DataError(
                f"the column {heading!r} must hold tickers, such as {self._example()}, but it "
                f"holds ISINs such as {names[0]}; add a column of tickers and name it "
                f"(--ticker-column NAME); the columns are {listed(self.table.heading)}"
            )

    def _example(self) -> str:
        return next(iter(self.names.values()), "AAPL")

    def _told(self) -> list[str]:
        told = []
        known = sorted(set(self.names.values()))
        for name, shares in self.others:
            held = "" if shares is None else f" ({shares:g})"
            hint = did_you_mean(name, known) if closest(name, known, 0.75) else ""
            told.append(
                f"{name}{held} is not traded by the agent: it is left out, and its value with it."
                f"{hint}"
            )
        if not self.held:
            told.append(f"None of the agent's {counted(len(known), 'ticker')} is held.")
        return told

    def _all_cash(self) -> float:
        rows = self.cash or self._statement()
        column = self.table.column(CASH_COLUMNS)
        in_column = {} if column is None else self._column_cash(column)
        if rows and in_column:
            raise DataError(
                "cash must stand in rows or in a column, but there are both "
                f"(line {rows[0][0]} and the column {self._heading(column)!r}){_GIVE_CASH}"
            )
        if rows:
            currencies = {currency for _, currency, amount in rows if amount != 0}
            if len(currencies) > 1:
                said = ", ".join(f"{amount:g} {currency or '?'}" for _, currency, amount in rows)
                raise DataError(f"cash must be of one currency, but there is {said}{_GIVE_CASH}")
            return sum(amount for _, _, amount in rows)
        many = next((said for said in in_column.values() if len(said) > 1), None)
        if many:
            raise DataError(
                f"the column {self._heading(column)!r} must hold one amount of cash, got "
                f"{sorted(many)[:5]}{_GIVE_CASH}"
            )
        if in_column:
            return sum(amount for said in in_column.values() for amount in said)
        raise DataError(
            "the cash of the account must be known, but there is no row such as Cash and no "
            f"column of that name; the columns are {listed(self.table.heading)}{_GIVE_CASH}, 0 if "
            "there is none"
        )

    def _heading(self, column: int | None) -> str:
        return "" if column is None else self.table.heading[column]

    def _column_cash(self, column: int) -> dict[str, set[float]]:
        """Return the amounts in a column of cash by account, but for those of rows of cash."""
        counted_already = {number for number, _, _ in self.cash}
        found: dict[str, set[float]] = {}
        for line in self.table.lines:
            number = None if line.number in counted_already else self._number(line, column)
            if number is not None:
                found.setdefault(self._account(line), set()).add(number)
        return found

    def _statement(self) -> list[tuple[int, str, float]]:
        """Return the ending cash of a statement, all of it in the account's currency if it says."""
        rows = self.table.ending_cash
        whole = [(name, text) for name, text in rows if name.lower() == _BASE] or rows
        read = [
            (0, name, read_number(text, self.decimal, "the ending cash")) for name, text in whole
        ]
        return [(line, name, amount) for line, name, amount in read if amount is not None]


def _is_total(word: str) -> bool:
    return word in TOTALS or word.startswith("total ") or word.endswith(" total")


def _is_currency_cash(plain: str) -> bool:
    """Return whether a name is such as `cash usd`, `usd cash` or `cash (eur)`."""
    words = plain.split()
    return len(words) == 2 and "cash" in words and bool({*map(str.upper, words)} & CURRENCIES)
