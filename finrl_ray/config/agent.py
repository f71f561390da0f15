"""The `agent` section of the YAML: which algorithm is trained, and for how long."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from finrl_ray.config.checks import (
    FORBID_UNKNOWN,
    formulation,
    not_searched,
    require,
    require_numbers,
)
from finrl_ray.learners.names import LearnerName

Algorithm = Literal["a2c", "ppo", "ddpg", "td3", "sac"]
Policy = Literal["MlpPolicy", "PerTickerPolicy"]
WITHOUT_CHOICES = ("ddpg", "td3", "sac", "tqc", "crossq")
"""The algorithms whose actions are numbers, and never `env.discrete_actions`."""
OF_ONE_CHOICE = ("dqn",)
"""The algorithms that choose one of so many actions."""
_WITH_TICKERS: tuple[Algorithm, ...] = ("a2c", "ppo")
"""The algorithms that have the policy `PerTickerPolicy`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentConfig:
    """Which SB3 algorithm is trained, for how long, and on how many accounts at once."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    algorithm: Algorithm = field(default="ppo", metadata=formulation())
    total_timesteps: int = field(
        default=20_000,
        metadata=not_searched("it is what each trial may spend; trials are compared at the same"),
    )
    """Env steps summed over the `n_envs` accounts."""
    n_envs: int = field(default=1, metadata=formulation())
    """Accounts stepped together."""
    learner: LearnerName = field(
        default="fused",
        metadata=not_searched("it changes how fast a trial is trained, not what is learned"),
    )
    """The code that trains: `fused`, the fastest; `exact`, SB3's numbers bit for bit; or `sb3`.
    A model that needs a slower one gets it, and the log says why (see docs/performance.md)."""
    policy: Policy = field(
        default="MlpPolicy", metadata=formulation(only_with=("algorithm", _WITH_TICKERS))
    )
    """`MlpPolicy`: SB3's, whose networks see all tickers at once and have weights of their own for
    each. `PerTickerPolicy` (of a2c and ppo): one network, through which every ticker goes; it sees
    the ticker's entries of the observation, their means over all tickers, and the account's."""
    model_kwargs: dict[str, Any] = field(
        default_factory=dict,
        metadata=not_searched(
            "keywords are searched one by one, by their own names: learning_rate"
        ),
    )
    """Keywords of the SB3 class, over FinRL's defaults; a sampled value wins over both."""
    normalize: Literal[False, True, "observations", "rewards"] = field(
        default=False, metadata=formulation()
    )
    """Wrap the env in SB3's VecNormalize (running mean and deviation of observations and rewards,
    or of one of them, from training alone); its statistics travel with the model."""

    def __post_init__(self) -> None:
        require_numbers(self)
        require(
            self.policy == "MlpPolicy" or self.algorithm in _WITH_TICKERS,
            f"policy {self.policy} is of {' and '.join(_WITH_TICKERS)}, got algorithm "
            f"{self.algorithm}; set policy to MlpPolicy",
        )
        require(
            self.total_timesteps >= 1, f"total_timesteps must be >= 1, got {self.total_timesteps}"
        )
        require(
            1 <= self.n_envs <= self.total_timesteps,
            f"n_envs must be within 1..total_timesteps ({self.total_timesteps}), got {self.n_envs}",
        )
