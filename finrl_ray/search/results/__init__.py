"""What a search has found: ranked table, returns, winner, verdict."""
