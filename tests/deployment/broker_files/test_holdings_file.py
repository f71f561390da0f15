"""Holdings from files as brokers write them."""

import unicodedata
from pathlib import Path

import pytest

from finrl_ray.deployment.broker_files.holdings_file import HeldPositions, read_holdings
from finrl_ray.errors import DataError

TICKERS = ("AAPL", "BRK.B", "GOOG", "MSFT")

PLAIN = "ticker,shares\nAAPL,10\nMSFT,2.5\nCASH,1000\n"
FIDELITY = """\ufeffAccount Number,Account Name,Symbol,Description,Quantity,Last Price,\
Current Value,Today's Gain/Loss Dollar,Cost Basis Total,Average Cost Basis,Type
Z12345678,INDIVIDUAL,SPAXX**,HELD IN MONEY MARKET,,,$12345.67,,,,Cash,
Z12345678,INDIVIDUAL,AAPL,APPLE INC,1200,$190.50,$228600.00,+$1440.00,$120000.00,$100.00,Cash,
Z12345678,INDIVIDUAL,BRKB,BERKSHIRE HATHAWAY,12,$400.00,$4800.00,-$12.00,$3000.00,$250.00,Margin,
Z12345678,INDIVIDUAL,VTI,VANGUARD TOTAL STOCK,7,$240.00,$1680.00,$0.70,--,--,Cash,
Z12345678,INDIVIDUAL,MFST,NOT SPELT RIGHT,3,$24.00,$72.00,$0.70,--,--,Cash,
Z12345678,INDIVIDUAL,Pending Activity,,,,-$500.00,,,,,

"The data and information in this spreadsheet is provided to you solely for your use, and more."

"Date downloaded Jan-02-2024 9:30 p.m ET"
"""
SCHWAB = """"Positions for account Individual ...123 as of 04:30 PM ET, 2024/01/02"

"Symbol","Description","Qty (Quantity)","Price","Mkt Val (Market Value)","Cost/Share","Asset Type",
"AAPL","APPLE INC","1,200","$190.50","$228,600.00","$100.25","Equity",
"BRK/B","BERKSHIRE HATHAWAY CLASS B","10","$400.00","$4,000.00","--","Equity",
"VTI","VANGUARD TOTAL STOCK MARKET ETF","7","$240.00","$1,680.00","$200.00","ETFs",
"Cash & Cash Investments","--","--","--","$1,234.56","--","Cash and Money Market",
"Account Total","--","--","--","$235,514.56","--","--",
"""
SCHWAB_OF_OLD = SCHWAB.replace("Qty (Quantity)", "Quantity").replace(
    "Mkt Val (Market Value)", "Market Value"
)
IBKR = """Statement,Header,Field Name,Field Value
Statement,Data,Title,Activity Statement
Cash Report,Header,Currency Summary,Currency,Total,Securities,Futures,
Cash Report,Data,Starting Cash,Base Currency Summary,9000,9000,0,
Cash Report,Data,Ending Cash,Base Currency Summary,"1,500.25","1,500.25",0,
Cash Report,Data,Ending Cash,EUR,500,500,0,
Cash Report,Data,Ending Cash,USD,950.25,950.25,0,
Open Positions,Header,DataDiscriminator,Asset Category,Currency,Symbol,Quantity,M,Cost Price,Value
Open Positions,Data,Summary,Stocks,USD,AAPL,"1,200",1,100.5,228600
Open Positions,Data,Lot,Stocks,USD,AAPL,700,1,100.5,133350
Open Positions,Data,Lot,Stocks,USD,AAPL,500,1,100.5,95250
Open Positions,Data,Summary,Stocks,USD,BRK B,-10,1,300,-4000
Open Positions,Total,,Stocks,USD,,,,,224600
"""
TRADING_212 = """Slice,Instrument,Owned quantity,Invested value,Value,Result
Apple,AAPL_US_EQ,1.5000000,150.00,285.75,135.75
Microsoft,MSFT,0.2500000,50.00,100.00,50.00
"""
DEGIRO = """Product,Symbol/ISIN,Amount,Closing,Local value,,Value in EUR
CASH & CASH FUND & FTX CASH (EUR),,,,EUR,"54,47","54,47"
APPLE INC,AAPL,12,"190,50",USD,"2286,00","2080,26"
MICROSOFT CORP,MSFT,"1.250,5","400,00",USD,"500.200,00","455.182,00"
"""
GERMAN = """Depotauszug;;;
Symbol;Name;Quantity;Value
AAPL;Apple;1.234;200,5
GOOG;Alphabet;0,5;70
Cash;;;1.000,00
Total;;;1.270,50
"""
TABS = """Instrument\tSide\tPosition\tAvg Price
AAPL\tLong\t5\t100
MSFT\tShort\t3\t300
USD\t\t12.5\t
"""


def read(content: str | bytes, tmp_path: Path, **options: object) -> HeldPositions:
    path = tmp_path / "holdings.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return read_holdings(path, TICKERS, **options)  # type: ignore[arg-type]  # by name


def test_the_simplest_file(tmp_path: Path) -> None:
    held = read(PLAIN, tmp_path)
    assert held == HeldPositions(cash=1000.0, shares={"AAPL": 10.0, "MSFT": 2.5})


def test_fidelity(tmp_path: Path) -> None:
    held = read(FIDELITY, tmp_path)
    assert held.cash == 12345.67
    assert dict(held.shares) == {"AAPL": 1200.0, "BRK.B": 12.0}
    assert dict(held.bought_at) == {"AAPL": 100.0, "BRK.B": 250.0}
    assert held.left_out == (("VTI", 7.0), ("MFST", 3.0))
    said = " ".join(held.notes)
    assert "BRKB is taken for BRK.B." in said
    assert "Line 7 is of pending activity: it is not counted as cash." in said
    assert "MFST (3) is not traded by the agent" in said
    assert "Did you mean 'MSFT'?" in said


@pytest.mark.parametrize("content", [SCHWAB_OF_OLD, SCHWAB])
def test_schwab(content: str, tmp_path: Path) -> None:
    held = read(content, tmp_path)
    assert held.cash == 1234.56
    assert dict(held.shares) == {"AAPL": 1200.0, "BRK.B": 10.0}
    assert dict(held.bought_at) == {"AAPL": 100.25}
    assert held.left_out == (("VTI", 7.0),)


def test_interactive_brokers_statement(tmp_path: Path) -> None:
    held = read(IBKR, tmp_path)
    assert held.cash == 1500.25
    assert dict(held.shares) == {"AAPL": 1200.0, "BRK.B": -10.0}
    assert dict(held.bought_at) == {"AAPL": 100.5, "BRK.B": 300.0}
    assert held.left_out == ()
    one = IBKR.replace("Cash Report,Data,Ending Cash,Base", "Cash Report,Data,Other,Base")
    with pytest.raises(DataError, match="cash must be of one currency, but there is 500 EUR, 950"):
        read(one, tmp_path)


def test_trading_212_names_no_cash(tmp_path: Path) -> None:
    held = read(TRADING_212, tmp_path, cash=20.0)
    assert dict(held.shares) == {"AAPL": 1.5, "MSFT": 0.25}
    assert held.cash == 20.0
    with pytest.raises(DataError, match=r"cash of the account must be known.*'Slice'.*--cash"):
        read(TRADING_212, tmp_path)


def test_degiro(tmp_path: Path) -> None:
    held = read(DEGIRO, tmp_path)
    assert held.cash == 54.47
    assert dict(held.shares) == {"AAPL": 12.0, "MSFT": 1250.5}
    with pytest.raises(DataError, match=r"'Symbol/ISIN' must hold tickers.*ISINs such as US03"):
        read(DEGIRO.replace("AAPL", "US0378331005").replace("MSFT", "US5949181045"), tmp_path)


def test_a_file_with_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    held = read(GERMAN.encode("latin-1"), tmp_path)
    assert held.cash == 1000.0
    assert dict(held.shares) == {"AAPL": 1234.0, "GOOG": 0.5}
    unclear = "Symbol;Quantity\nAAPL;1.234\nCash;100\n"
    with pytest.raises(DataError, match=r"Quantity in line 2 must be one number, but '1\.234' may"):
        read(unclear, tmp_path)
    assert read(unclear, tmp_path, decimal=",").shares == {"AAPL": 1234.0}
    assert read(unclear, tmp_path, decimal=".").shares == {"AAPL": 1.234}


@pytest.mark.parametrize("shares", ["Anzahl", "Stück", "Stueck", "Stückzahl", "Menge", "Bestand"])
@pytest.mark.parametrize("ticker", ["Symbol", "Kürzel", "Wertpapier", "Börsenkürzel"])
def test_columns_with_german_names(ticker: str, shares: str, tmp_path: Path) -> None:
    content = (
        f"{ticker};Bezeichnung;{shares};Einstandskurs;Kurswert;Währung\n"
        "AAPL;Apple Inc.;1.234;100,50;200.000,00;USD\n"
        "MSFT;Microsoft Corp.;2,5;300,00;1.000,00;USD\n"
        "Guthaben;;;;1.500,25;USD\n"
        "Summe;;;;202.500,25;USD\n"
    )
    apart = unicodedata.normalize("NFD", content)
    for given in (content, content.encode("latin-1"), apart):
        held = read(given, tmp_path)
        assert held.cash == 1500.25
        assert dict(held.shares) == {"AAPL": 1234.0, "MSFT": 2.5}
        assert dict(held.bought_at) == {"AAPL": 100.5, "MSFT": 300.0}


def test_a_german_list_of_orders_holds_no_positions(tmp_path: Path) -> None:
    content = "Handelstag;Wertpapier;Kauf/Verkauf;Stück\n01.02.2024;AAPL;Kauf;10\n"
    with pytest.raises(DataError, match=r"must hold positions, but line 1 has \['Handelstag'"):
        read(content, tmp_path, cash=1.0)


def test_tabs_utf_16_and_a_column_of_sides(tmp_path: Path) -> None:
    held = read(TABS.encode("utf-16"), tmp_path)
    assert dict(held.shares) == {"AAPL": 5.0, "MSFT": -3.0}
    assert held.cash == 12.5
    assert dict(held.bought_at) == {"AAPL": 100.0, "MSFT": 300.0}


@pytest.mark.parametrize(
    ("name", "description", "is_cash"),
    [
        ("SPAXX**", "", True),
        ("SPAXX", "HELD IN MONEY MARKET", True),
        ("SPAXX", "FIDELITY GOVERNMENT MONEY MARKET", True),
        ("SPAXX", "", False),
        ("SPAXX", "SOMETHING ELSE", False),
        ("AMZN**", "", False),
        ("AMZN", "MONEY MARKET", False),
        ("Cash", "", True),
        ("USD", "", True),
        ("Cash (USD)", "", True),
        ("CASH BALANCE", "", True),
    ],
)
def test_which_rows_are_cash(name: str, description: str, is_cash: bool, tmp_path: Path) -> None:
    content = f"Symbol,Description,Quantity,Value\nAAPL,,1,100\n{name},{description},50,50\n"
    if is_cash:
        assert read(content, tmp_path).cash == 50.0
        return
    with pytest.raises(DataError, match="cash of the account must be known"):
        read(content, tmp_path)
    assert read(content, tmp_path, cash=3).left_out == ((name, 50.0),)


def test_a_column_of_cash(tmp_path: Path) -> None:
    content = "tic,shares,cash\nAAPL,1,500\nMSFT,2,{}\n"
    assert read(content.format("500.00"), tmp_path).cash == 500.0
    assert read(content.format(""), tmp_path).cash == 500.0
    with pytest.raises(DataError, match=r"'cash' must hold one amount of cash, got \[500.0, 600.0"):
        read(content.format("600"), tmp_path)
    both = content.format("") + "CASH,,700\n"
    with pytest.raises(DataError, match=r"there are both \(line 4 and the column 'cash'\)"):
        read(both, tmp_path)
    assert read(both, tmp_path, cash=0.0).cash == 0.0


def test_an_account_of_cash_alone_holds_nothing_and_that_is_said(tmp_path: Path) -> None:
    held = read('Symbol,Quantity\nCash,"1,000"\n', tmp_path)
    assert held.cash == 1000.0
    assert held.shares == {}
    assert held.notes == ("None of the agent's 4 tickers is held.",)


def test_several_rows_of_a_ticker_are_added_up_only_when_asked(tmp_path: Path) -> None:
    content = "Lot,Symbol,Quantity,Avg Cost\nA,AAPL,10,5\nB,AAPL,5,6\nA,Cash,1,\n"
    with pytest.raises(
        DataError, match=r"AAPL must be in one row.*\(line 2: 10, line 3: 5\).*--sum"
    ):
        read(content, tmp_path)
    held = read(content, tmp_path, sum_rows=True)
    assert held.shares == {"AAPL": 15.0}
    assert held.bought_at == {}


def test_accounts_are_added_up_only_when_asked(tmp_path: Path) -> None:
    content = "Account Number,Symbol,Quantity\n1,Cash,50000\n2,AAPL,10\n2,Cash,1000\n,Total,9\n"
    with pytest.raises(DataError, match=r"of one account, but it has \['1', '2'\].*--sum-rows"):
        read(content, tmp_path)
    with pytest.raises(DataError, match="of one account"):
        read(content, tmp_path, cash=5.0)
    assert read(content, tmp_path, sum_rows=True).cash == 51000.0
    column = "Account,Symbol,Quantity,Cash Balance\nA,AAPL,10,1000\nA,GOOG,1,1000\nB,MSFT,5,1000\n"
    assert read(column, tmp_path, sum_rows=True).cash == 2000.0
    with pytest.raises(DataError, match="must hold one amount of cash"):
        read(column.replace("1,1000", "1,900"), tmp_path, sum_rows=True)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("Symbol,Side,Quantity\nAAPL,Long,5\nMSFT,Short,3\nCash,-,100\n", -3.0),
        ("Symbol,Side,Quantity\nAAPL,Long,5\nMSFT,Short,3\nCash,Cash,100\n", -3.0),
        ("Symbol,Direction,Quantity\nAAPL,BUY,5\nMSFT,SELL,3\nCash,,100\n", -3.0),
        ("Symbol,Type,Quantity\nAAPL,Margin,5\nMSFT,Cash,3\nCash,,100\n", 3.0),
    ],
)
def test_sides_are_those_of_positions(content: str, said: float, tmp_path: Path) -> None:
    assert read(content, tmp_path).shares == {"AAPL": 5.0, "MSFT": said}


def test_options_are_no_shares(tmp_path: Path) -> None:
    content = "Symbol,Asset Class,Quantity\nAAPL,Option,2\nMSFT,Equity,3\nCash,Cash,100\n"
    held = read(content, tmp_path)
    assert held.shares == {"MSFT": 3.0}
    assert held.left_out == (("AAPL (Option)", 2.0),)
    content = IBKR.replace("Summary,Stocks,USD,AAPL", "Summary,CFDs,USD,AAPL")
    assert read(content, tmp_path).shares == {"BRK.B": -10.0}


def test_cash_in_the_currency_of_its_column(tmp_path: Path) -> None:
    rows = "Cash (EUR),,EUR,100\nCash (USD),,USD,200\n"
    content = f"Symbol,Quantity,Local value,Value in GBP\nAAPL,1,,150\n{rows}"
    assert read(content, tmp_path).cash == 300.0


def test_columns_of_other_names(tmp_path: Path) -> None:
    content = "Titre,Nombre,Cours\nAAPL,3,190\nCash,100,1\n"
    with pytest.raises(
        DataError, match=r"line 1 has \['Titre', 'Nombre', 'Cours'\].*--ticker-column NAME"
    ):
        read(content, tmp_path)
    held = read(content, tmp_path, ticker_column="Titre", shares_column="Nombre")
    assert held.shares == {"AAPL": 3.0}
    with pytest.raises(DataError, match=r"shares \(Stück\)"):
        read(content, tmp_path, ticker_column="Titre", shares_column="Stück")


def test_two_columns_that_may_be_the_one(tmp_path: Path) -> None:
    content = "Symbol,Quantity,Shares\nAAPL,3,{}\nCash,100,100\n"
    assert read(content.format(3), tmp_path).shares == {"AAPL": 3.0}
    with pytest.raises(
        DataError,
        match=r"\['Quantity', 'Shares'\] may, and they differ.*--shares-column 'Q",
    ):
        read(content.format(4), tmp_path)
    assert read(content.format(4), tmp_path, shares_column="Shares").shares == {"AAPL": 4.0}
    units = "Symbol,No. of units,Amount\nAAPL,8,1500.00\nCash,,200\n"
    assert read(units, tmp_path).shares == {"AAPL": 8.0}
    assert read(units, tmp_path).cash == 200.0
    weak = "Symbol,Amount,Quantity\nAAPL,300,3\nCash,100,100\n"
    assert read(weak, tmp_path).shares == {"AAPL": 3.0}
    weak = "Security,Ticker,Net Qty\nApple Inc,AAPL,3\nCash,Cash,100\n"
    assert read(weak, tmp_path).shares == {"AAPL": 3.0}
    weak = "Security,Total Shares\nAAPL,3\nCash,100\n"
    assert read(weak, tmp_path).shares == {"AAPL": 3.0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("AAPL,10\n", "must have a row that names a column of tickers"),
        (b"PK\x03\x04rest", "is a spreadsheet; save it as CSV"),
        (b"\x00\x01\x02", "it is no text"),
        ("Symbol,Qty\nAAPL,\nCash,1\n", "Qty of AAPL in line 2 must be a number, got an empty"),
        ("Symbol,Qty\nAAPL,ten\nCash,1\n", "Qty in line 2 must be a number, got 'ten'"),
        ("Symbol,Qty\nAAPL,1,5\nCash,1\n", "line 2 has 3; numbers with decimal commas"),
        ("Symbol,Qty\nAAPL,1\nCash,--\n", "row of cash in line 3 must have an amount"),
        ("Symbol,Qty\nAAPL,1\nUSD,5\nEUR,6\n", "cash must be of one currency, but there is 5 USD"),
        ("Symbol,Qty\nAAPL,1\nCash (EUR),5\nCash (USD),6\n", "cash must be of one currency"),
        (
            "Date,Action,Symbol,Quantity,Price\n01/02/2024,Sell,AAPL,50,190\nCash,,,1,\n",
            r"must hold positions, but line 1 has \['Action'\], as orders and trades do",
        ),
        (
            "Side,Qty,Symbol\nBUY,50,AAPL\n\nSymbol,Description,Qty\nAAPL,Apple,7\nCash,,1\n",
            "must hold one table of positions, but line 4 begins another than line 1",
        ),
        ("Symbol,Lots,Amount\nAAPL,8,1500.00\nCash,,200\n", "one of shares"),
        ("Symbol,Side,Qty\nAAPL,Held,8\nMSFT,Short,8\nCash,,200\n", "must say Long or Short"),
        ("Symbol\tQty\nAAPL\t1.234\nCash\t5\n", "may mean two"),
    ],
)
def test_what_cannot_be_read_is_an_error(
    content: str | bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message) as found:
        read(content, tmp_path)
    assert str(found.value).startswith(str(tmp_path / "holdings.csv"))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "holdings.csv").touch()
    with pytest.raises(DataError, match=r"no file .*holding\.csv\. Did you mean 'holdings\.csv'\?"):
        read_holdings(tmp_path / "holding.csv", TICKERS)
    with pytest.raises(DataError, match="it must be a file, but it is a folder"):
        read_holdings(tmp_path, TICKERS)
