"""Is the winner of a search more than luck: the rule, what it takes, and the words for it."""
