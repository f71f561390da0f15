"""The `deploy` section of the YAML: what becomes of a search's winner after the search."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from finrl_ray.config.checks import FORBID_UNKNOWN, may_change, require, require_numbers

_AFTERWARDS = may_change("what is trained after the search")


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrainConfig:
    """When an agent is trained again, and on which rows."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    every: int = field(default=63, metadata=_AFTERWARDS)
    """Bars that an agent trades before the next one is trained; 63 days are a quarter of a year."""
    window: Literal["growing", "rolling"] = field(default="growing", metadata=_AFTERWARDS)
    """`growing`: on all rows up to then; `rolling`: on as many of the latest as the first agent."""

    def __post_init__(self) -> None:
        require_numbers(self)
        require(self.every >= 1, f"every must be >= 1, got {self.every}")
        windows = ("growing", "rolling")
        require(self.window in windows, f"window must be one of {windows}, got {self.window!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class DeployConfig:
    """How the winner is trained again and again, by `finrl-ray rollforward` and `retrain`.

    No search reads this section.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    retrain: RetrainConfig = field(default_factory=RetrainConfig)
