"""Rolling windows of rows: train on all that came before, validate, trade, move on."""

from dataclasses import dataclass

import numpy as np

from finrl_ray.errors import ConfigError

MIN_VALIDATION_WINDOW = 4
"""Days that give the 3 returns below which a Sharpe ratio means nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EnsembleWindow:
    """One round of the strategy, as rows of a MarketData; every range is half-open.

    Parameters
    ----------
    number : 0 for the first window
    iteration : FinRL's label of the window: how many dates of the validation and test period lie
        before the end of its trading
    train_start, validation_start, trade_start, trade_stop : rows
        Trained on [train_start, validation_start), validated on [validation_start, trade_start),
        orders placed on [trade_start, trade_stop).
    value_stop : row
        One past the last row at which the traded account is valued: the first day of the next
        window, where the next model takes it over. On the last date of all the account is valued
        and places no orders.
    """

    number: int
    iteration: int
    train_start: int
    validation_start: int
    trade_start: int
    trade_stop: int
    value_stop: int


def rolling_windows(
    *,
    train_start: int,
    first_row: int,
    stop_row: int,
    rebalance_window: int,
    validation_window: int,
) -> tuple[EnsembleWindow, ...]:
    """Return the windows over the validation and test period.

    The last window ends with the data, so it may be shorter than the others. A single date left
    over makes no window: the one before already values the account there.

    Parameters
    ----------
    train_start : first row of every training window
    first_row, stop_row : the validation and test period, [first_row, stop_row)
    rebalance_window, validation_window : days

    Raises
    ------
    ConfigError
        If there is not one full window, or nothing to train on, or a length makes no sense.
    """
    _check_lengths(rebalance_window, validation_window)
    n_dates, n_train = stop_row - first_row, first_row - train_start
    if n_train < 2:
        raise ConfigError(
            "there must be at least 2 dates to train on before the first validation window, got "
            f"{n_train}; start train_period earlier"
        )
    needed = validation_window + max(rebalance_window, 2)
    if n_dates < needed:
        raise ConfigError(
            f"val_test_period must hold at least {needed} dates, validation_window "
            f"{validation_window} + rebalance_window {rebalance_window} (at least 2), got "
            f"{n_dates}; use shorter windows or a longer period"
        )
    starts = range(first_row + validation_window, stop_row - 1, rebalance_window)
    return tuple(
        _window(
            number,
            trade_start,
            train_start=train_start,
            first_row=first_row,
            stop_row=stop_row,
            lengths=(rebalance_window, validation_window),
        )
        for number, trade_start in enumerate(starts)
    )


def _window(
    number: int,
    trade_start: int,
    *,
    train_start: int,
    first_row: int,
    stop_row: int,
    lengths: tuple[int, int],
) -> EnsembleWindow:
    rebalance_window, validation_window = lengths
    trade_stop = min(trade_start + rebalance_window, stop_row)
    return EnsembleWindow(
        number=number,
        iteration=trade_stop - first_row,
        train_start=train_start,
        validation_start=trade_start - validation_window,
        trade_start=trade_start,
        trade_stop=trade_stop,
        value_stop=min(trade_stop + 1, stop_row),
    )


def _check_lengths(rebalance_window: int, validation_window: int) -> None:
    lengths = {"rebalance_window": rebalance_window, "validation_window": validation_window}
    for name, length in lengths.items():
        if isinstance(length, bool) or not isinstance(length, int | np.integer):
            raise ConfigError(f"{name} must be a whole number of days, got {length!r}")
    if rebalance_window < 1:
        raise ConfigError(f"rebalance_window must be >= 1 day, got {rebalance_window}")
    if validation_window < MIN_VALIDATION_WINDOW:
        raise ConfigError(
            f"validation_window must be >= {MIN_VALIDATION_WINDOW} days, which give the "
            f"{MIN_VALIDATION_WINDOW - 1} returns of a Sharpe ratio, got {validation_window}"
        )
