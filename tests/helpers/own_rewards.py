"""Reward functions of users: right ones, and one of each fault."""

import time

import numpy as np

from finrl_ray.env.own_reward.terms import TERMS

_RNG = np.random.default_rng(0)
_KEPT: list[float] = []


def log_growth(account_value, account_value_before):
    return np.log(account_value / account_value_before)


def active(
    account_value, account_value_before, benchmark_value, benchmark_value_before, *, scale=1.0
):
    held = np.log(benchmark_value / benchmark_value_before)
    return scale * (np.log(account_value / account_value_before) - held)


def drawdown(drawdown):
    return drawdown


def growth_of_21_days(recent_account_values):
    return recent_account_values[:, -1] / recent_account_values[:, -22] - 1.0


def with_everything(**terms):
    assert list(terms) == list(TERMS)
    parts = [v if v.ndim == 1 else v.sum(axis=1) for n, v in terms.items() if n != "date"]
    return sum(parts) + terms["date"].astype(np.int64) / 1e18


class Weighted:
    def __call__(self, weights, weights_before):
        return (weights - weights_before).sum(axis=1)


an_object = Weighted()


# -- faults ---------------------------------------------------------------------------------------


def raises(weights):
    return weights[:, 100]


def nan_in_losses(account_value, account_value_before):
    with np.errstate(invalid="ignore"):
        return np.sqrt(account_value / account_value_before - 1.0)


def zero_cost(cost, account_value):
    with np.errstate(divide="ignore"):
        return account_value / cost


def too_large(account_value):
    return account_value * 1e36


def one_number(account_value):
    return account_value.sum()


def a_column(account_value):
    return account_value[:, np.newaxis]


def words(account_value):
    return ["good"] * len(account_value)


def mean_over_accounts(account_value):
    return account_value / account_value.mean()


def first_account(account_value):
    return account_value - account_value[0]


def writes(cash):
    cash[0] = 1e9
    return cash


def random(account_value):
    return _RNG.random(len(account_value))


def remembers(account_value):
    _KEPT.append(time.perf_counter())
    return account_value * 0.0 + len(_KEPT)


def misspelt(acount_value):
    return acount_value


def by_position(account_value, /):
    return account_value


def only_late(account_value, day):
    """Fails on a row that the made-up accounts do not come to."""
    return np.where(day == 117, np.nan, account_value * 0.0)
