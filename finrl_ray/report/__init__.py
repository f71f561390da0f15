"""What is read after a search: backtest and tables."""
