"""`EnvAdapter`: what a search does for an env class that was not written for it."""

from collections.abc import Mapping
from typing import Any

from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData


class EnvAdapter:
    """What a class of another package needs; one object serves every env of that class.

    The classes that are adapted to draw random numbers at a reset alone and depend on nothing but
    the actions since. So their exact state is the random streams at the reset and these actions:
    `RecordedEnv` keeps both, and takes the steps again in a fresh env.

    Attributes
    ----------
    bases : `module:Class` of the classes that the adapter is for; their subclasses are adapted too
    options : keys of `env` that the adapter passes on in its own way
    """

    bases: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def arguments(
        self, market: MarketData, config: EnvConfig, given: Mapping[str, Any], *, training: bool
    ) -> dict[str, Any]:
        """Return keywords of the class for one window, beside those that every class is offered.

        Parameters
        ----------
        market : the window
        config : costs and account
        given : `env.class_kwargs`, which are laid over what is returned
        training : whether the env is trained in

        Raises
        ------
        ConfigError
            If the class cannot trade such a market.
        """
        return {}

    def prepare(self, env: Any, config: EnvConfig) -> None:
        """Set up an env that has just been built."""

    def started(self, env: Any) -> None:
        """Act after a reset."""

    def ended(self, env: Any) -> bool:
        """Return whether the episode is over although `step` has not said so yet."""
        return False

    def note(self, env: Any, rows: list[tuple[float, ...]]) -> None:
        """Add a row of the account, after a reset and after each step, if there is one."""

    def history(
        self, env: Any, rows: list[tuple[float, ...]], market: MarketData, config: EnvConfig
    ) -> Mapping[str, Any]:
        """Return the account of the episode that has just ended, as `info["account_history"]`."""
        raise NotImplementedError
