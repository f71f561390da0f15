"""From prices to `MarketData`."""
