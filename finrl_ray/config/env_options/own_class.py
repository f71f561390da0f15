"""`env.class`: which other options of the `env` section mean something beside it."""

from dataclasses import dataclass, field, fields
from typing import Any

from finrl_ray.config.checks import default_of, formulation, not_searched, require
from finrl_ray.own_code.reference import reference_of

WITH_A_MEANING = frozenset(
    {"class_", "class_kwargs", "fill", "fractional_shares"}
    | {"initial_amount", "hmax", "buy_cost_pct", "sell_cost_pct", "reward_scaling"}
    | {"turbulence_threshold", "risk_indicator_col"}
)
"""Those that an own class is called with, and those that say how the baselines beside it trade."""


@dataclass(frozen=True, kw_only=True)
class OwnClassOptions:
    """An env of the user's own in the place of the package's."""

    class_: str | None = field(
        default=None,
        metadata=not_searched("the trials of a search are compared in one env"),
    )
    """An env of your own in the place of this package's: `my_env:MyTradingEnv`, a class (or a
    function that makes one) of a Gymnasium env or an SB3 VecEnv; FinRL's, gym-trading-env's and
    gym-anytrading's are known. Options of the account go to the parameters that it names."""
    class_kwargs: dict[str, Any] = field(
        default_factory=dict,
        hash=False,
        metadata=formulation(keywords=True),
    )
    """With `class`, further keywords of its constructor. An entry `env.class_kwargs.window` of
    `search.space` lets trials choose one of them."""


def check_own_class(section: Any) -> None:
    """Settle `class` as the text that names it; refuse options beside it that nothing would read.

    Parameters
    ----------
    section : an `EnvConfig`

    Raises
    ------
    ConfigError
        Naming these options, or what `class` must be.
    """
    if section.class_ is not None:
        object.__setattr__(section, "class_", reference_of(section.class_, "env"))
    if section.class_ is None:
        require(
            not section.class_kwargs,
            "class_kwargs are keywords of an env of your own and need class (my_env:MyTradingEnv), "
            f"got {section.class_kwargs} without it",
        )
        return
    changed = [
        item.name
        for item in fields(section)
        if item.name not in WITH_A_MEANING and getattr(section, item.name) != default_of(item)
    ]
    verb = "is an option" if len(changed) == 1 else "are options"
    require(
        not changed,
        f"{', '.join(changed)} {verb} of this package's env and would change nothing in "
        f"{section.class_}; leave {'it' if len(changed) == 1 else 'them'} at the default, and give "
        "your class what it takes in class_kwargs",
    )
