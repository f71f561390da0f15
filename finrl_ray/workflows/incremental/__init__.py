"""One model over chunk after chunk of data."""
