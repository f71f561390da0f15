"""What is read after a search: backtest, figures, the HTML report, tables for the terminal."""
