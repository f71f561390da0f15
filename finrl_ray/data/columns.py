"""Names of columns in FinRL's long format."""

PRICE_COLUMNS = ("open", "high", "low", "close", "volume")
TRADABLE_COLUMN = "tradable"
"""Of a long frame: False or 0 in rows that only repeat a ticker's last prices."""
