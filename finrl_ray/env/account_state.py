"""The exact state of one account, from which another env continues with the same numbers."""

from typing import Any

from finrl_ray.env import order_limits
from finrl_ray.env.accounts import Accounts
from finrl_ray.errors import ConfigError

_SETTING_ARRAYS = (
    "initial_amount",
    "initial_shares",
    "hmax",
    "buy_rate",
    "sell_rate",
    "threshold",
    "start_row",
    "random_start",
    "numpy_cash",
)
_BOOK_SCALARS = (
    "cash",
    "day",
    "start",
    "last",
    "value",
    "reward",
    "cost",
    "n_trades",
    "turbulence",
    "finished",
    "has_traded",
)


def account_state(accounts: Accounts, index: int) -> dict[str, Any]:
    """Return everything the future of account `index` depends on, as copies."""
    trades = accounts.executed_shares(index)
    return {
        "market": accounts.table.fingerprint,
        "books": {name: accounts.books.records[name][index].item() for name in _BOOK_SCALARS},
        "shares": accounts.books.shares[index].copy(),
        "ledger": accounts.books.ledger[index, : accounts.n_steps(index) + 1].copy(),
        "trades": None if trades is None else trades.copy(),
        "episode": int(accounts.episode[index]),
        "limits": order_limits.limits_state(accounts.limits, index, accounts.n_steps(index)),
        "settings": {
            name: getattr(accounts.settings, name)[index].copy() for name in _SETTING_ARRAYS
        },
        "hmax_is_wide": accounts.settings.hmax_is_wide,
        "initial": accounts.settings.initial[index],
        "previous_state": list(accounts.settings.previous_state[index]),
    }


def restore_account(accounts: Accounts, index: int, state: dict[str, Any]) -> None:
    """Put account `index` where `account_state` found it.

    Raises
    ------
    ConfigError
        If the state is of another market or of other options, or its trades were not recorded
        but must be.
    """
    if state["market"] != accounts.table.fingerprint:
        raise ConfigError(
            f"this state belongs to another market ({state['market']}), the env trades "
            f"{accounts.table.fingerprint}; build the env on the same window of the same data"
        )
    if accounts.record_trades and state["trades"] is None:
        raise ConfigError(
            "this state was saved with record_trades=False; build the env with the same"
        )
    if (state["shares"] < 0).any() and not accounts.rules.short:
        raise ConfigError(
            "this state was saved with short=True and owes shares; build the env with the same"
        )
    # states of envs without such options may lack the key
    order_limits.restore_limits(accounts.limits, index, state.get("limits", {}))
    for name, value in state["books"].items():
        accounts.books.records[name][index] = value
    for name, value in state["settings"].items():
        getattr(accounts.settings, name)[index] = value
    rows = len(state["ledger"])
    accounts.books.shares[index] = state["shares"]
    accounts.books.ledger[index, :rows] = state["ledger"]
    if accounts.record_trades:
        accounts.books.trades[index, : rows - 1] = state["trades"]
    if accounts.payments is not None:
        accounts.payments.begin(index)
    accounts.episode[index] = state["episode"]
    accounts.settings.hmax_is_wide = state["hmax_is_wide"]
    accounts.settings.initial[index] = state["initial"]
    accounts.settings.previous_state[index] = list(state["previous_state"])
    accounts.settings_changed()
