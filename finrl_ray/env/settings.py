"""`AccountSettings`: FinRL's account arguments as one row of an array per account, checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from finrl_ray._typing import AnyArray, BoolArray, FloatArray, IntArray
from finrl_ray.errors import ConfigError
from finrl_ray.support.float32_range import FLOAT32_MAX
from finrl_ray.support.switches import has_switch


@dataclass(eq=False, kw_only=True)
class AccountSettings:
    """What an episode of each of E accounts starts from and trades under.

    Parameters
    ----------
    initial_amount : array of shape (E,), currency
    initial_shares : array of shape (E, N)
    hmax : array of shape (E, N), in the unit of `hmax_unit`
    hmax_is_wide : whether actions times hmax is worked out in float64 (float32 otherwise)
    buy_rate, sell_rate : arrays of shape (E, N), fractions
    threshold : array of shape (E,), NaN for none
    start_row : array of shape (E,)
    random_start : array of shape (E,), bool
    initial : E flags; where False, cash and shares come from `previous_state`
    previous_state : E lists in FinRL's layout [cash, close (N), shares (N), ...]
    numpy_cash : array of shape (E,), whether cash was given as a NumPy number, which FinRL can
        divide by a price of 0
    """

    initial_amount: FloatArray
    initial_shares: FloatArray
    hmax: FloatArray
    hmax_is_wide: bool
    buy_rate: FloatArray
    sell_rate: FloatArray
    threshold: FloatArray
    start_row: IntArray
    random_start: BoolArray
    initial: list[bool]
    previous_state: list[list[Any]]
    numpy_cash: BoolArray

    def check(self, n_periods: int, *, short: bool) -> None:
        """Raise ConfigError if a number is out of its range; with `short`, shares may be owed."""
        _require(self.initial_amount > 0, "initial_amount must be > 0", self.initial_amount)
        _require(self.initial_shares >= 0, "num_stock_shares must be >= 0", self.initial_shares)
        _require(self.hmax > 0, "hmax must be > 0", self.hmax)
        for name, array in (
            ("initial_amount", self.initial_amount),
            ("num_stock_shares", self.initial_shares),
            ("hmax", self.hmax),
        ):
            rule = f"{name} must be at most {FLOAT32_MAX:.2g}, the largest float32 that agents see"
            _require(array <= FLOAT32_MAX, rule, array)
        for name in ("buy", "sell"):
            rate = getattr(self, f"{name}_rate")
            rule = f"{name}_cost_pct is a fraction and must be within [0, 1) (0.1 % is 0.001)"
            _require((rate >= 0) & (rate < 1), rule, rate)
        inside = (self.start_row >= 0) & (self.start_row < n_periods - 1)
        rule = f"day must be within 0..{n_periods - 2}, so that at least one step is left"
        _require(inside, rule, self.start_row)
        for initial, previous in zip(self.initial, self.previous_state, strict=True):
            if not initial:
                check_previous_state(previous, self.initial_shares.shape[1], short=short)


def check_previous_state(previous: Sequence[Any], n_assets: int, *, short: bool) -> None:
    """Raise ConfigError if `previous` is not a state to continue from."""
    if len(previous) < 1 + 2 * n_assets:
        raise ConfigError(
            "initial=False needs previous_state in the layout [cash, close, shares, ...] with at "
            f"least {1 + 2 * n_assets} entries for {n_assets} tickers, got {len(previous)}; pass "
            "what render() of the earlier env returned"
        )
    try:
        numbers = np.asarray(list(previous[: 1 + 2 * n_assets]), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"previous_state must hold numbers ({error}); pass what render() of the earlier env "
            "returned"
        ) from error
    held = numbers[1 + n_assets :]
    finite = np.isfinite(numbers[0]) and np.isfinite(held).all()
    if not (finite and (short or (held >= 0).all())):
        raise ConfigError(
            "previous_state must hold finite cash and shares >= 0 (with short=True any finite "
            f"number of shares), got cash {numbers[0]} and shares {held.tolist()}"
        )


def _require(good: AnyArray, rule: str, values: AnyArray) -> None:
    wrong = np.argwhere(~good)
    if wrong.size:
        place = tuple(int(i) for i in wrong[0])
        where = f"account {place[0]}" + (f", ticker number {place[1]}" if len(place) > 1 else "")
        raise ConfigError(f"{rule}, got {values[place]} ({where})")


def per_account(name: str, value: Any, n_envs: int) -> FloatArray:
    """Return one number, or one per account, as an array of shape (E,).

    Raises
    ------
    ConfigError
        If `value` is neither.
    """
    array = _numbers(name, value)
    if array.ndim == 0 or array.shape == (n_envs,):
        return np.array(np.broadcast_to(array, (n_envs,)))
    raise ConfigError(
        f"{name} must be one number or one for each of the {n_envs} accounts, got shape "
        f"{array.shape}"
    )


def per_ticker(name: str, value: Any, n_envs: int, n_assets: int) -> FloatArray:
    """Return a number, N numbers, E numbers or (E, N) numbers as an array of shape (E, N).

    A flat list as long as the tickers is one number per ticker, as in FinRL, even if there are as
    many accounts; one per account can always be written as a column of shape (E, 1).

    Raises
    ------
    ConfigError
        If `value` has another shape.
    """
    array = _numbers(name, value)
    if array.ndim == 1 and array.shape[0] != n_assets and array.shape[0] == n_envs:
        array = array[:, None]
    if array.shape in ((), (n_assets,), (n_envs, 1), (n_envs, n_assets)):
        return np.array(np.broadcast_to(array, (n_envs, n_assets)))
    raise ConfigError(
        f"{name} must be one number, a list of {n_assets} (one per ticker)"
        + (f" or of {n_envs} (one per account)" if n_envs > 1 else "")
        + f", got shape {array.shape}"
    )


def _numbers(name: str, value: Any) -> FloatArray:
    if has_switch(value):
        raise ConfigError(f"{name} must be a number, not true or false, got {value!r}")
    try:
        array = np.asarray(value, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{name} must be a number or a list of numbers, got {value!r}") from error
    if not np.isfinite(array).all():
        raise ConfigError(f"{name} must be finite, got {value!r}")
    return array


def thresholds(value: Any, n_envs: int) -> FloatArray:
    """Return turbulence thresholds of shape (E,); None becomes NaN, which switches the rule off."""
    if has_switch(value):
        raise ConfigError(
            f"turbulence_threshold must be a number or None, not true or false, got {value!r}"
        )
    each = [value] * n_envs if np.ndim(value) == 0 else list(value)
    if len(each) != n_envs:
        raise ConfigError(
            "turbulence_threshold must be one number, None, or one of them for each of the "
            f"{n_envs} accounts, got {len(each)}"
        )
    try:
        return np.array([np.nan if item is None else float(item) for item in each])
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"turbulence_threshold must be a number, None, or a list of them, got {value!r}"
        ) from error


def start_rows(name: str, value: Any, n_envs: int) -> IntArray:
    """Return a row, or one per account, as whole numbers of shape (E,).

    Raises
    ------
    ConfigError
        If a row is not a whole number.
    """
    rows = per_account(name, value, n_envs)
    if (rows != np.floor(rows)).any():
        raise ConfigError(f"{name} must be a row of the data, a whole number, got {value!r}")
    return rows.astype(np.int64)


def is_wide(hmax: Any) -> bool:
    """Return whether NumPy multiplies float32 actions by `hmax` in float64, as it does by lists."""
    factor = hmax if np.ndim(hmax) == 0 else np.asarray(hmax)
    with np.errstate(over="ignore"):  # `check` names what is too large
        return bool((np.ones(1, dtype=np.float32) * factor).dtype == np.float64)


def previous_states(value: Any, n_envs: int) -> list[list[Any]]:
    """Return one previous state per account from one list, or from a list of them."""
    if len(value) and np.ndim(value[0]) == 1:
        if len(value) != n_envs:
            raise ConfigError(
                f"previous_state must be one state or one per account ({n_envs}), got {len(value)}"
            )
        return [list(item) for item in value]
    return [list(value) for _ in range(n_envs)]


def build_settings(
    *,
    n_envs: int,
    n_assets: int,
    initial_amount: Any,
    num_stock_shares: Any,
    hmax: Any,
    buy_cost_pct: Any,
    sell_cost_pct: Any,
    turbulence_threshold: Any,
    day: Any,
    initial: bool,
    previous_state: Any,
    random_start: bool,
) -> AccountSettings:
    """Return the settings of E accounts from FinRL's arguments, each one value or one per account.

    Raises
    ------
    ConfigError
        If an argument has the wrong length.
    """
    most = per_ticker("hmax", hmax, n_envs, n_assets)
    per_env_hmax = np.ndim(hmax) == 1 and len(hmax) == n_envs != n_assets
    flat_hmax = [is_wide(item) for item in hmax] if per_env_hmax else [is_wide(hmax)]
    shares = [0.0] * n_assets if num_stock_shares is None else num_stock_shares
    previous = previous_states(previous_state, n_envs)
    amounts = initial_amount if np.ndim(initial_amount) else [initial_amount] * n_envs
    given = [
        amount if initial else (state[0] if state else None)
        for amount, state in zip(amounts, previous, strict=False)
    ]
    return AccountSettings(
        initial_amount=per_account("initial_amount", initial_amount, n_envs),
        initial_shares=per_ticker("num_stock_shares", shares, n_envs, n_assets),
        hmax=most,
        hmax_is_wide=any(flat_hmax),
        buy_rate=per_ticker("buy_cost_pct", buy_cost_pct, n_envs, n_assets),
        sell_rate=per_ticker("sell_cost_pct", sell_cost_pct, n_envs, n_assets),
        threshold=thresholds(turbulence_threshold, n_envs),
        start_row=start_rows("day", day, n_envs),
        random_start=np.full(n_envs, random_start, dtype=np.bool_),
        initial=[bool(initial)] * n_envs,
        previous_state=previous,
        numpy_cash=np.array([isinstance(item, np.generic) for item in given], dtype=np.bool_),
    )
