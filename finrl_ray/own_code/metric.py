"""`OwnMetric`: a user's function that says how good an account is, loaded and checked."""

import inspect
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.errors import shortened
from finrl_ray.metrics.own import METRIC_TERMS, MeasuredAccount
from finrl_ray.metrics.registry import OTHER_MEASURES, SHOWN, Mode, measure_name
from finrl_ray.own_code.arguments import asked_arguments, in_its_file
from finrl_ray.own_code.failures import OwnCodeError, calling
from finrl_ray.own_code.load import load_object

_KEY = "evaluation.metric"


class OwnMetric:
    """A user's metric.

    Parameters
    ----------
    function : called with the terms (see `METRIC_TERMS`) that its signature names, arrays among
        them such that cannot be written to, and with `kwargs`; returns a number. Its attribute
        `mode`, `"max"` or `"min"`, says whether more or less of it is better; without it, more
    kwargs : `evaluation.metric_kwargs`
    reference : what stands in `evaluation.metric`

    Attributes
    ----------
    name : its key in results and tables: the last part of the reference
    mode : whether its larger or its smaller values are better

    Raises
    ------
    OwnCodeError
        If it is no function, its arguments are not what it can be told, its `mode` is none, or its
        name is that of a measure of the package.
    """

    def __init__(
        self, function: Callable[..., Any], kwargs: Mapping[str, Any], reference: str
    ) -> None:
        self.function, self.kwargs, self.reference = function, dict(kwargs), reference
        self.name = measure_name(reference)
        self.who = f"{_KEY} {reference}{in_its_file(function)}"
        if inspect.isclass(function) or not callable(function):
            raise OwnCodeError(f"{self.who} must be a function of an account, got {function!r}")
        self.mode: Mode = getattr(function, "mode", "max")
        if self.mode not in ("max", "min"):
            raise OwnCodeError(
                f"{self.who} must have the mode 'max' (more is better) or 'min', got {self.mode!r}"
            )
        if self.name in SHOWN or self.name in OTHER_MEASURES:
            raise OwnCodeError(
                f"{self.who} has the name of a measure of finrl_ray, {self.name!r}; give the "
                "function another one"
            )
        self.asked = asked_arguments(
            function, METRIC_TERMS, self.kwargs, who=self.who, key="evaluation.metric_kwargs"
        )

    def missing(self, account: MeasuredAccount) -> list[str]:
        """Return what it asks for and is not known of an account."""
        return [name for name in self.asked if METRIC_TERMS[name].of(account) is None]

    def value(self, account: MeasuredAccount) -> float:
        """Return what the function says of an account.

        Returns
        -------
        float
            NaN where something that it asks for is not known, or account values are infinite.

        Raises
        ------
        OwnCodeError
            If it raises, or returns no number.
        """
        if self.missing(account) or not np.isfinite(account.account_value).all():
            return float("nan")
        told = {name: _locked(METRIC_TERMS[name].of(account)) for name in self.asked}
        with calling(self.reference, "metric"):
            value = self.function(**told, **self.kwargs)
        if isinstance(value, np.ndarray) and value.shape == ():
            value = value[()]
        if not isinstance(value, numbers.Real):
            shown = " ".join(shortened(value, 100).split())
            raise OwnCodeError(
                f"{self.who} must return one number, got {shown} ({type(value).__name__}); "
                "return a float, for example float(...)"
            )
        return float(value)

    def objective(self, value: float) -> float:
        """Return a value such that more of it is better."""
        return value if self.mode == "max" else -value


def load_metric(metric: Any, kwargs: Mapping[str, Any]) -> OwnMetric:
    """Return a user's metric, checked on made-up accounts.

    Parameters
    ----------
    metric : reference, or the function itself
    kwargs : keywords that it is called with beside what it is told

    Raises
    ------
    ConfigError
        If it cannot be loaded, asks for what it cannot be told, or does not pass `check_metric`.
    """
    named = isinstance(metric, str)
    function: Any = load_object(metric, "metric") if named else metric
    found = OwnMetric(function, kwargs, metric if named else _reference(function))
    check_metric(found)
    return found


def _reference(function: Any) -> str:
    return f"{getattr(function, '__module__', '')}:{getattr(function, '__name__', 'metric')}"


def check_metric(metric: OwnMetric) -> None:
    """Ask a metric about made-up accounts: rising, falling, flat, of two days, and all lost.

    It must return a number, which may be NaN, but not for all of them; and the same when it is
    asked again.

    Raises
    ------
    OwnCodeError
        If it does not; the message names the function's file and line, and the account.
    """
    found = {}
    for case, account in made_up_accounts().items():
        try:
            with np.errstate(all="ignore"):  # what comes of it is said below
                value, again = metric.value(account), metric.value(account)
        except OwnCodeError as error:
            raise OwnCodeError(f"{error} (asked about {case}, which is made up)") from error
        if not (value == again or (np.isnan(value) and np.isnan(again))):
            raise OwnCodeError(
                f"{metric.who} returns {value!r} for {case} and {again!r} when it is asked again; "
                "it must depend on its arguments alone"
            )
        found[case] = value
    if not np.isfinite(list(found.values())).any():
        values = ", ".join(f"{value!r} for {case}" for case, value in found.items())
        raise OwnCodeError(
            f"{metric.who} returns no finite number for any of the made-up accounts: {values}"
        )


def made_up_accounts() -> dict[str, MeasuredAccount]:
    """Return accounts that a metric is asked about before a search, by what they are."""
    wave = 0.01 * np.sin(np.arange(60.0))
    days = np.arange(61.0)
    return {
        "an account that rises": _account(1e6 * np.exp(np.append(0.0, np.cumsum(0.001 + wave)))),
        "an account that falls": _account(1e6 * np.exp(np.append(0.0, np.cumsum(wave - 0.002)))),
        "a flat account that never trades": _account(np.full(61, 1e6), trades=False),
        "an account of two days": _account(np.array([1e6, 1.01e6])),
        "an account that loses all": _account(np.where(days < 30, 1e6, 1e-6)),
    }


def _account(values: FloatArray, *, trades: bool = True) -> MeasuredAccount:
    n_days, share = len(values), 0.6 * trades
    traded = np.full(n_days - 1, 1e4 * trades)
    market = 1e6 * np.exp(0.0004 * np.arange(n_days) + 0.005 * np.cos(np.arange(n_days)))
    return MeasuredAccount(
        account_value=values,
        periods_per_year=252.0,
        risk_free_rate=0.0,
        dates=np.datetime64("2020-01-01", "ns") + np.arange(n_days) * np.timedelta64(1, "D"),
        benchmark_value=market,
        cash=(1.0 - share) * values,
        position_value=share * values,
        cost=0.001 * traded,
        traded_amount=traded,
        n_trades=(n_days - 1) * trades,
    )


def _locked(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    view = value.view()
    view.setflags(write=False)
    return view
