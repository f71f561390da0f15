"""What an account without a trained agent would have done on the same days at the same costs."""
