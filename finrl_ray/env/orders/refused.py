"""What the status of a step means: orders that cannot be filled, accounts beyond float32."""

from typing import NoReturn

from finrl_ray._typing import AnyArray
from finrl_ray.env.kernel.arrays import Books
from finrl_ray.env.market_table import MarketTable
from finrl_ray.errors import DataError
from finrl_ray.support.float32_range import FLOAT32_MAX


def raise_status(table: MarketTable, books: Books, status: int, actions: AnyArray) -> NoReturn:
    """Raise what a status of `step_accounts` other than 0 stands for.

    Parameters
    ----------
    actions : array of shape (E, N), of the step

    Raises
    ------
    ValueError
        If an action is NaN or infinite.
    DataError
        If a price is 0 where FinRL's rules divide by it, or an account is beyond float32.
    """
    n_orders = actions.size
    if status > n_orders:
        raise_beyond_float32(table, books, status - 1 - n_orders)
    index, asset = divmod(abs(status) - 1, table.n_assets)
    ticker = table.tickers[asset]
    label = table.labels[books.records["day"][index]]
    if status > 0:
        raise ValueError(
            f"actions must be finite, got {actions[index, asset]} for {ticker} in account "
            f"{index} on {label}; check the policy for NaN weights and the observations' scale"
        )
    raise DataError(
        f"{ticker} has a price of 0 on {label}, for which FinRL's rules have no quantity to "
        "buy; use parity=False, which carries the last price and trades nothing"
    )


def raise_beyond_float32(table: MarketTable, books: Books, index: int) -> NoReturn:
    """Raise DataError: account `index` has come to more than observations can show."""
    account = books.records[index]
    raise DataError(
        f"account {index} has left the range of float32, in which an agent sees cash, shares "
        f"and rewards (up to {FLOAT32_MAX:.2g}), on {table.labels[account['day']]}: its "
        f"value is {account['value']:.3g}, its cash {account['cash']:.3g}, its largest "
        f"position {abs(books.shares[index]).max():.3g} shares and its reward "
        f"{account['reward']:.3g}. Look at the prices of the days before; start with a smaller "
        "env.initial_amount, or take a smaller env.reward_scaling"
    )
