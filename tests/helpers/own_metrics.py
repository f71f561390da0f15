"""Metrics of users: right ones, and one of each fault."""

import itertools

import numpy as np

from finrl_ray.metrics.own import METRIC_TERMS

_CALLS = itertools.count()


def ulcer_index(account_value, *, power=2.0):
    """The root of the mean squared drawdown (Martin and McCann 1989); less is better."""
    down = account_value / np.maximum.accumulate(account_value) - 1.0
    return float(np.mean(np.abs(down) ** power) ** (1.0 / power))


ulcer_index.mode = "min"


def worst_day(returns):
    return returns.min()


def days_beyond(benchmark_value, account_value):
    return np.mean(account_value > benchmark_value)


def trades_per_day(traded_amount, n_trades):
    return n_trades / len(traded_amount)


def with_everything(**terms):
    assert list(terms) == list(METRIC_TERMS)
    return float(terms["account_value"][-1])


def mean_over_deviation(returns):
    with np.errstate(invalid="ignore"):
        return returns.mean() / returns.std()


class AClass:
    pass


# -- faults ---------------------------------------------------------------------------------------


def raises(returns):
    return returns[1000]


def divides(traded_amount):
    return 1.0 / int(traded_amount.sum())


def an_array(returns):
    return returns


def words(account_value):
    return "good"


def nothing(account_value):
    account_value.mean()


def never_a_number(account_value):
    return float("nan")


def counts(account_value):
    return float(next(_CALLS))


def writes(returns):
    returns[0] = 0.0
    return returns.mean()


def misspelt(acount_value):
    return acount_value[-1]


def sharpe_ratio(returns):
    return returns.mean()


def middle(returns):
    return returns.mean()


middle.mode = "middle"


def nan_when_it_falls(account_value):
    return account_value[-1] if account_value[-1] >= account_value[0] else float("nan")


def raises_late(account_value):
    if len(account_value) == 13:
        raise ValueError("thirteen days")
    return account_value[-1]
