"""The algorithms by name with FinRL's default keywords; without SB3, which is slow to load."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


def _defaults(**keywords: Any) -> Mapping[str, Any]:
    return MappingProxyType(keywords)


DEFAULTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "a2c": _defaults(n_steps=5, ent_coef=0.01, learning_rate=7e-4),
        "ppo": _defaults(n_steps=2048, ent_coef=0.01, learning_rate=2.5e-4, batch_size=64),
        "ddpg": _defaults(batch_size=128, buffer_size=50_000, learning_rate=1e-3),
        "td3": _defaults(batch_size=100, buffer_size=1_000_000, learning_rate=1e-3),
        "sac": _defaults(
            batch_size=64,
            buffer_size=100_000,
            learning_rate=1e-4,
            learning_starts=100,
            ent_coef="auto_0.1",
        ),
    }
)
"""Read-only keywords, those of FinRL; what is not named is SB3's own default."""

ACTION_NOISE_NAMES = ("normal", "ornstein_uhlenbeck")
