"""The words by which brokers call the columns and rows of their exports, in English and German.

They are written as `plain_name` gives them: umlauts are two letters.
"""

TOTALS = (
    "total",
    "subtotal",
    "grand total",
    "account total",
    "sum",
    "totals",
    "net total",
    "summe",
    "gesamt",
    "gesamtsumme",
    "gesamtwert",
    "zwischensumme",
)
PENDING = ("pending activity", "pending", "unsettled activity")
CASH = frozenset(
    {
        "cash",
        "cash cash investments",
        "cash and cash investments",
        "cash balance",
        "cash and money market",
        "cash money market",
        "settled cash",
        "free cash",
        "available cash",
        "cash equivalents",
        "cash and cash equivalents",
        "us dollar",
        "us dollars",
        "euro",
        "core",
        "money market",
        "held in money market",
        "bargeld",
        "barbestand",
        "guthaben",
        "kontoguthaben",
        "verrechnungskonto",
        "liquiditaet",
    }
)
CURRENCIES = frozenset(
    "USD EUR GBP CHF JPY CAD AUD HKD SEK NOK DKK INR CNY PLN NZD SGD".split()  # noqa: SIM905
)
SWEEP_FUNDS = frozenset(
    "SPAXX FDRXX FCASH FZFXX FZDXX SPRXX FTEXX FDLXX FDIC CORE SWVXX SNVXX VMFXX VMRXX".split()  # noqa: SIM905
)
"""Money market funds in which brokers keep cash; cash only where the file flags them as such."""
KINDS = ("security type", "asset class", "asset type", "asset category", "category", "kind")
TEXTS = (
    "description",
    "name",
    "product",
    "security name",
    "security",
    "security description",
    "bezeichnung",
    "wertpapierbezeichnung",
    "wertpapiername",
    "wertpapier",
    "produkt",
)
VALUES = (
    "market value",
    "mkt val market value",
    "current value",
    "total value",
    "value",
    "mkt value",
    "balance",
    "cash value",
    "value in eur",
    "value in usd",
    "local value",
    "kurswert",
    "marktwert",
    "aktueller wert",
    "gesamtwert",
    "wert in eur",
    "kurswert in eur",
    "wert",
    "betrag",
    "cash",
    "amount",
)
CASH_COLUMNS = ("cash", "cash balance", "available cash", "settled cash", "cash available")
CURRENCY_COLUMNS = ("currency", "ccy", "currency code", "local currency", "waehrung")
COSTS = (
    "average cost basis",
    "average cost",
    "avg cost",
    "average price",
    "avg price",
    "average price paid",
    "cost price",
    "cost share",
    "einstandskurs",
    "einstandspreis",
    "kaufkurs",
    "durchschnittskurs",
)
SIDES = ("side", "direction", "position", "long short", "position side", "type")
SHORT = frozenset({"short", "s", "sell", "sold"})
LONG = frozenset({"long", "l", "buy", "bought"})
ACCOUNTS = ("account", "account number", "account name", "account id", "portfolio")
DERIVATIVES = frozenset(
    "option options call calls put puts cfd cfds future futures warrant warrants bond bonds".split()  # noqa: SIM905
)
"""Kinds of holdings that are no shares of the ticker that they are named by."""
TICKER_NAMES = (
    "symbol",
    "ticker",
    "tic",
    "instrument",
    "security symbol",
    "ticker symbol",
    "stock symbol",
    "instrument symbol",
    "symbol isin",
    "symbol cusip",
    "ticker isin",
    "asset symbol",
    "stock ticker",
    "stock code",
    "epic",
    "kuerzel",
    "tickersymbol",
    "wertpapierkuerzel",
    "boersenkuerzel",
    "stock",
    "security",
    "asset",
    "code",
    "wertpapier",
)
SHARES_NAMES = (
    "quantity",
    "qty",
    "qty quantity",
    "shares",
    "position",
    "units",
    "no of shares",
    "number of shares",
    "no of units",
    "number of units",
    "share quantity",
    "shares held",
    "shares owned",
    "owned quantity",
    "holding",
    "holdings",
    "pos",
    "total quantity",
    "total shares",
    "net quantity",
    "net qty",
    "net position",
    "open quantity",
    "open qty",
    "current quantity",
    "quantity held",
    "anzahl",
    "stueck",
    "stueckzahl",
    "stk",
    "anzahl stueck",
    "stueck nominale",
    "menge",
    "bestand",
    "amount",
)
"""From the usual to the unusual, by all of which brokers call the same."""
WEAK_TICKERS = ("stock", "security", "asset", "code", "wertpapier")
WEAK_SHARES = ("amount", "holding", "holdings", "bestand", "menge")
TRADES = frozenset(
    {
        "action",
        "trans code",
        "transaction type",
        "transaction",
        "trade date",
        "activity date",
        "run date",
        "settle date",
        "settlement date",
        "order id",
        "order type",
        "trade id",
        "pos effect",
        "exec time",
        "auftragsart",
        "auftragsnummer",
        "orderart",
        "ordernummer",
        "ordertyp",
        "transaktion",
        "transaktionstyp",
        "handelstag",
        "handelsdatum",
        "ausfuehrungsdatum",
        "buchungstag",
        "buchungsdatum",
        "kauf verkauf",
    }
)
"""Columns of orders and trades, which are no holdings."""
