"""Choices instead of numbers: `env.discrete_actions`.

What is chosen becomes the action that an agent with numbers would have given, in front of the same
trading rules, so that fills, costs and records are theirs.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from finrl_ray._typing import AnyArray, IntArray
from finrl_ray.config.env_options.trading import (
    MOST_COMBINATIONS,
    DiscreteActions,
    TradingOptions,
    check_combinations,
    choice_names,
)
from finrl_ray.env.target_weights import zero_weight
from finrl_ray.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Choices:
    """What an agent chooses among for each of N tickers, and what each choice stands for.

    Parameters
    ----------
    kind : `per_ticker` or `product`
    names : K choices, such as `("sell", "hold", "buy")`
    numbers : array of shape (K,), the action that each stands for; of orders in float32, as
        agents give them
    n_assets : N
    """

    kind: DiscreteActions
    names: tuple[str, ...]
    numbers: AnyArray
    n_assets: int

    @property
    def is_one_number(self) -> bool:
        """Whether an account's choice is one number: a product, or one ticker's."""
        return self.kind == "product" or self.n_assets == 1

    @property
    def space(self) -> spaces.Discrete | spaces.MultiDiscrete:
        """`Discrete(K**N)` of a product, `Discrete(K)` of one ticker, else K choices each of N."""
        k = len(self.names)
        if self.is_one_number:
            return spaces.Discrete(k**self.n_assets)
        return spaces.MultiDiscrete(np.full(self.n_assets, k))

    def actions_of(self, chosen: AnyArray) -> AnyArray:
        """Return the actions that choices stand for, of shape (..., N).

        Parameters
        ----------
        chosen : whole numbers of shape (..., N); of shape (...) where one number is chosen, which
            counts the combinations of the tickers' choices, the last ticker's running fastest

        Raises
        ------
        ValueError
            If one is no whole number, or there is no such choice.
        """
        k = len(self.names)
        most = k**self.n_assets if self.is_one_number else k
        numbers = np.asarray(chosen)
        with np.errstate(invalid="ignore"):  # of NaN, which is refused
            whole = numbers.astype(np.int64) if numbers.dtype.kind == "f" else numbers
        if numbers.dtype.kind not in "iuf" or not np.array_equal(whole, numbers):
            raise ValueError(f"choices must be whole numbers within 0..{most - 1}, got {chosen}")
        if whole.size and not (whole.min() >= 0 and whole.max() < most):
            raise ValueError(
                f"choices must be within 0..{most - 1} ({self._in_words()}), got {chosen}"
            )
        each = self._of_each(whole) if self.is_one_number else whole
        actions: AnyArray = self.numbers[each]
        return actions

    def combination_of(self, each: AnyArray) -> int:
        """Return the number of the combination of the tickers' choices, an array of shape (N,)."""
        return int(np.dot(each, len(self.names) ** np.arange(self.n_assets - 1, -1, -1)))

    def _of_each(self, combination: AnyArray) -> IntArray:
        """Return each ticker's choice in a combination, of shape (..., N)."""
        k = len(self.names)
        places = k ** np.arange(self.n_assets - 1, -1, -1)
        each: IntArray = combination[..., np.newaxis] // places % k
        return each

    def _in_words(self) -> str:
        named = ", ".join(f"{number} {name}" for number, name in enumerate(self.names))
        return f"combinations of {named}" if self.kind == "product" else named


def choices_of(options: TradingOptions, n_assets: int) -> Choices | None:
    """Return what agents choose among under these options; None where they give numbers.

    Raises
    ------
    ConfigError
        If a product has more than `MOST_COMBINATIONS` combinations.
    """
    if options.discrete_actions == "none":
        return None
    names = choice_names(options)
    check_combinations(options, n_assets)
    if options.action == "orders":
        numbers: AnyArray = np.array([-1.0, 0.0, 1.0], dtype=np.float32)
    else:
        wanted = {"short": -1.0, "out": 0.0, "in": 1.0, "long": 1.0}
        # what an action of zeros stands for is added to it again
        zero = zero_weight(options.zero_action, n_assets)
        numbers = np.array([wanted[name] for name in names]) - zero
    return Choices(options.discrete_actions, names, numbers, n_assets)


def choices_of_space(options: TradingOptions, space: spaces.Space[Any]) -> Choices | None:
    """Return what an agent with an action space chooses among; None where it gives numbers.

    Raises
    ------
    ConfigError
        If the space is not one of these options.
    """
    if options.discrete_actions == "none":
        return None
    k = len(choice_names(options))
    if isinstance(space, spaces.MultiDiscrete):
        n_assets = len(space.nvec)
    else:
        most = int(np.log(MOST_COMBINATIONS) / np.log(k)) + 1
        size = int(getattr(space, "n", 0))
        n_assets = next((n for n in range(1, most + 1) if k**n == size), 0)
    made = choices_of(options, n_assets) if n_assets else None
    if made is None or made.space != space:
        raise ConfigError(
            f"with discrete_actions {options.discrete_actions!r} and action {options.action!r} an "
            f"agent chooses among {k} per ticker, got the action space {space}"
        )
    return made


def random_actions(space: spaces.Space[Any], n_accounts: int, rng: np.random.Generator) -> AnyArray:
    """Return actions of `n_accounts` accounts, uniform over an action space of this package's envs.

    Parameters
    ----------
    space : N numbers within -1..1, or choices
    n_accounts : E
    rng : of the draws

    Returns
    -------
    array of shape (E, N), or (E,) where one number is chosen
    """
    if isinstance(space, spaces.Discrete):
        return rng.integers(0, space.n, n_accounts)
    if isinstance(space, spaces.MultiDiscrete):
        return rng.integers(0, space.nvec, (n_accounts, len(space.nvec)))
    shape = (n_accounts, *(space.shape or ()))
    return rng.uniform(-1.0, 1.0, shape).astype(np.float32)
