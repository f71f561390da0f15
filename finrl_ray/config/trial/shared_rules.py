"""Which options trials must share whose mean trades one account (`search.ensemble`).

What an agent sees, is rewarded by and wants is its own; what then happens to the account is not.
"""

from finrl_ray.config.checks import key_of
from finrl_ray.config.env import EnvConfig

_SHARED = (
    "action",
    "short",
    "stop_loss",
    "profit_loss_ratio",
    "cooldown",
    "type",
    "cash_weight",
    "class_",
    "class_kwargs",
)
_SHARED_WITH_ORDERS = ("hmax", "hmax_unit")


def other_rules(first: EnvConfig, other: EnvConfig) -> list[str]:
    """Return in words which rules of the account differ, such as `env.cooldown 5 and not 0`."""
    names = _SHARED + (_SHARED_WITH_ORDERS if first.action == "orders" else ())
    return [
        f"env.{key_of(name)} {getattr(other, name)} and not {getattr(first, name)}"
        for name in names
        if getattr(other, name) != getattr(first, name)
    ]
