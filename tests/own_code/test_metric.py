"""A metric of the user's own: what it is told, what it must return, and each fault in words."""

from dataclasses import replace

import numpy as np
import own_metrics
import pytest

from finrl_ray.errors import ConfigError
from finrl_ray.metrics.own import METRIC_TERMS, MeasuredAccount
from finrl_ray.metrics.registry import measure_name, shown_measure, title_of, undefined_value
from finrl_ray.own_code.failures import OwnCodeError
from finrl_ray.own_code.metric import load_metric, made_up_accounts

# 100, 120, 90, 99: drawdowns 0, 0, -25 %, -17.5 %
ACCOUNT = MeasuredAccount(
    account_value=np.array([100.0, 120.0, 90.0, 99.0]),
    periods_per_year=252.0,
    risk_free_rate=0.01,
    benchmark_value=np.array([100.0, 110.0, 95.0, 99.0]),
    traded_amount=np.array([50.0, 0.0, 10.0]),
    n_trades=2,
)


def test_values_by_hand() -> None:
    ulcer = load_metric("own_metrics:ulcer_index", {})
    assert (ulcer.name, ulcer.mode) == ("ulcer_index", "min")
    assert ulcer.value(ACCOUNT) == pytest.approx(np.sqrt((0.25**2 + 0.175**2) / 4))
    assert ulcer.objective(0.3) == -0.3
    linear = load_metric("own_metrics:ulcer_index", {"power": 1.0})
    assert linear.value(ACCOUNT) == pytest.approx((0.25 + 0.175) / 4)
    worst = load_metric(own_metrics.worst_day, {})
    assert (worst.name, worst.mode, worst.reference) == (
        "worst_day",
        "max",
        "own_metrics:worst_day",
    )
    assert worst.value(ACCOUNT) == pytest.approx(-0.25)
    assert worst.objective(-0.25) == -0.25
    assert load_metric("own_metrics:days_beyond", {}).value(ACCOUNT) == 0.25
    assert load_metric("own_metrics:trades_per_day", {}).value(ACCOUNT) == pytest.approx(2 / 3)


def test_it_can_be_told_everything() -> None:
    account = made_up_accounts()["an account that rises"]
    metric = load_metric("own_metrics:with_everything", {})
    assert metric.value(account) == account.account_value[-1]
    n_days = len(account.account_value)
    sizes = {"(D,)": (n_days,), "(D - 1,)": (n_days - 1,), "": ()}
    for name, term in METRIC_TERMS.items():
        assert np.shape(term.of(account)) == sizes[term.shape], name


def test_what_is_not_known_of_an_account_makes_no_number() -> None:
    metric = load_metric("own_metrics:trades_per_day", {})
    unknown = replace(ACCOUNT, traded_amount=None, n_trades=None)
    assert metric.missing(unknown) == ["traded_amount", "n_trades"]
    assert np.isnan(metric.value(unknown))
    # nor is it asked about an account that is no longer a number
    endless = replace(ACCOUNT, account_value=np.array([1.0, np.inf, 1.0, 1.0]))
    assert np.isnan(load_metric("own_metrics:ulcer_index", {}).value(endless))


def test_no_number_for_a_flat_account_is_no_fault() -> None:
    metric = load_metric("own_metrics:mean_over_deviation", {})
    assert np.isnan(metric.value(replace(ACCOUNT, account_value=np.full(4, 100.0))))


FAULTS = {
    "raises": r"IndexError.*own_metrics.py, line \d+: return returns\[1000\].*asked about an "
    "account that rises, which is made up",
    "divides": r"ZeroDivisionError.*line \d+.*asked about a flat account that never trades",
    "an_array": r"must return one number, got array\(\[.*ndarray",
    "words": r"must return one number, got 'good' \(str\); return a float",
    "nothing": r"must return one number, got None \(NoneType\)",
    "never_a_number": "returns no finite number for any of the made-up accounts: nan for an acc",
    "counts": "when it is asked again; it must depend on its arguments alone",
    "writes": r"read-only.*own_metrics.py, line \d+: returns\[0\] = 0.0",
    "misspelt": r"asks for 'acount_value', .* Did you mean 'account_value'\?",
    "sharpe_ratio": "has the name of a measure of finrl_ray, 'sharpe_ratio'; give the function",
    "middle": r"line \d+\) must have the mode 'max' \(more is better\) or 'min', got 'middle'",
    "AClass": "must be a function of an account, got",
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_said_before_an_account_is_made(name: str) -> None:
    with pytest.raises(ConfigError, match=FAULTS[name]) as caught:
        load_metric(f"own_metrics:{name}", {})
    assert f"evaluation.metric own_metrics:{name}" in str(caught.value)


def test_keywords_that_do_not_fit_are_refused() -> None:
    with pytest.raises(
        OwnCodeError, match=r"takes no 'powr', which evaluation.metric_kwargs holds"
    ):
        load_metric("own_metrics:ulcer_index", {"powr": 1.0})
    with pytest.raises(ConfigError, match="there is no module 'no_such_metric'"):
        load_metric("no_such_metric:metric", {})


def test_names_of_own_metrics() -> None:
    assert measure_name("my_metric:ulcer_index") == "ulcer_index"
    assert measure_name("my_package.metrics:Ratios.ulcer_index") == "ulcer_index"
    assert measure_name("sharpe_ratio") == "sharpe_ratio"
    assert title_of("my_metric:ulcer_index") == "ulcer index"
    assert shown_measure("my_metric:ulcer_index").label == "ulcer index"
    assert shown_measure("sharpe_ratio").label == "Sharpe"
    assert (undefined_value("ulcer_index"), undefined_value("sharpe_ratio")) == (-1e9, -10.0)
