"""How large an order may be (`env.hmax`, `env.hmax_unit`), and values by ticker."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from finrl_ray.config.checks import require
from finrl_ray.support.text import did_you_mean

HmaxUnit = Literal["shares", "money", "account_share"]
Hmax: TypeAlias = int | float | tuple[float, ...] | dict[str, float]


def settled(value: Any) -> Any:
    """Return an option with a value per ticker as a config holds it: lists as tuples."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return tuple(value) if isinstance(value, list) else value


def values_of(value: Any) -> list[Any]:
    """Return the one value of an option, or those of its tickers."""
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, (tuple, list)) else [value]


def check_hmax(hmax: Any, unit: HmaxUnit, *, fractional: bool) -> None:
    """Raise ConfigError unless every number of `hmax` is one of its unit."""
    numbers = values_of(hmax)
    require(len(numbers) > 0, f"hmax must be a number, or one for each ticker, got {hmax!r}")
    if unit == "account_share":
        good = all(0 < number <= 1 for number in numbers)
        rule = "hmax must be within (0, 1], a share of the account, with hmax_unit 'account_share'"
    elif unit == "money":
        good = all(number > 0 for number in numbers)
        rule = "hmax must be > 0, in the account's currency, with hmax_unit 'money'"
    else:
        whole = all(number >= 1 and float(number).is_integer() for number in numbers)
        good = whole or (fractional and all(number > 0 for number in numbers))
        rule = (
            "hmax must be >= 1 and a whole number of shares (with fractional_shares any number "
            "> 0; hmax_unit has other units)"
        )
    require(good, f"{rule}, got {hmax}")


def check_tickers(name: str, value: Any, tickers: Sequence[str]) -> None:
    """Raise ConfigError unless an option with several values has one for each ticker.

    Parameters
    ----------
    name : of the option
    value : a number, which is right for any tickers; a list of them; or a mapping by ticker
    tickers : N names
    """
    if isinstance(value, Mapping):
        missing = [ticker for ticker in tickers if ticker not in value]
        unknown = [ticker for ticker in value if ticker not in tickers]
        hint = did_you_mean(str(unknown[0]), missing) if unknown else ""
        require(
            not missing and not unknown,
            f"{name} must name every ticker of the data and no other: {missing} missing, "
            f"{unknown} unknown.{hint} The tickers are {list(tickers)}",
        )
    elif isinstance(value, (tuple, list)):
        require(
            len(value) == len(tickers),
            f"{name} must be one number, or one for each of the {len(tickers)} tickers "
            f"{list(tickers)}, got {len(value)} numbers",
        )


def by_ticker(name: str, value: Any, tickers: Sequence[str]) -> Any:
    """Return an option's values in the order of the tickers, where it names them.

    Raises
    ------
    ConfigError
        If a mapping lacks a ticker, or names one that there is not.
    """
    if not isinstance(value, Mapping):
        return value
    check_tickers(name, value, tickers)
    return [value[ticker] for ticker in tickers]


def in_words(hmax: Any, unit: HmaxUnit) -> str:
    """Return `hmax` as what it bounds, such as `100 shares` or `5 % of the account`."""
    if isinstance(hmax, (Mapping, tuple, list)):
        numbers = values_of(hmax)
        return f"{in_words(min(numbers), unit)} to {in_words(max(numbers), unit)} (by ticker)"
    if unit == "money":
        return f"{hmax:,.10g} of money"
    if unit == "account_share":
        return f"{100 * hmax:.4g} % of the account"
    return "1 share" if hmax == 1 else f"{hmax:g} shares"
