"""How orders are sized, and what the traded volume makes them cost."""
