"""The `agent` section of the YAML: which algorithm is trained, and for how long."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Literal, get_args

from finrl_ray.config.checks import (
    FORBID_UNKNOWN,
    formulation,
    not_searched,
    require,
    require_numbers,
)
from finrl_ray.own_code.reference import is_reference, reference_of
from finrl_ray.support.learner_names import LearnerName
from finrl_ray.support.text import and_list, did_you_mean

Algorithm = Literal[
    "a2c", "ppo", "ddpg", "td3", "sac", "tqc", "crossq", "recurrent_ppo", "trpo", "dqn"
]
ALGORITHM_NAMES: tuple[str, ...] = get_args(Algorithm)
"""The algorithms by name; others are classes of the user's own, by their references."""
WITHOUT_CHOICES = ("ddpg", "td3", "sac", "tqc", "crossq")
"""The algorithms whose actions are numbers, and never `env.discrete_actions`."""
OF_ONE_CHOICE = ("dqn",)
"""The algorithms that choose one of so many actions."""
PolicyName = Literal[
    "MlpPolicy", "PerTickerPolicy", "MlpLstmPolicy", "MultiInputPolicy", "CnnPolicy"
]
POLICIES: tuple[str, ...] = get_args(PolicyName)
"""Policies by name: SB3's, and this package's."""
EXTRACTOR = "features_extractor_class"
"""The keyword of a policy that may name own code."""
_PER_TICKER = "PerTickerPolicy"
_WITH_TICKERS: tuple[Algorithm, ...] = ("a2c", "ppo", "trpo")
"""The algorithms that have the policy `PerTickerPolicy`."""
_OWNERS: Mapping[str, tuple[Algorithm, ...]] = MappingProxyType(
    {_PER_TICKER: _WITH_TICKERS, "MlpLstmPolicy": ("recurrent_ppo",)}
)
"""The policies that only some algorithms have, and these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentConfig:
    """Which SB3 algorithm is trained, for how long, and on how many accounts at once."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    algorithm: Algorithm | str = field(default="ppo", metadata=formulation())
    """`a2c`, `ppo`, `ddpg`, `td3`, `sac` or `dqn` of SB3, or `tqc`, `crossq`, `recurrent_ppo` or
    `trpo` of sb3-contrib (extra `contrib`). Or a subclass of one of these by its import path:
    `my_algo:MyPPO` (see docs/bring/algorithm.md)."""
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
    policy: PolicyName | str = field(
        default="MlpPolicy",
        metadata=formulation(only_with=("algorithm", _WITH_TICKERS), of=(_PER_TICKER,)),
    )
    """`MlpPolicy`: SB3's, whose networks see all tickers at once and have weights of their own for
    each; of recurrent_ppo it is `MlpLstmPolicy`, with a memory of the episode so far.
    `PerTickerPolicy` (of a2c, ppo and trpo): one network, through which every ticker goes; it sees
    the ticker's entries of the observation, their means over all tickers, and the account's.
    `MultiInputPolicy` and `CnnPolicy`: SB3's, for own envs. Or one of your own, a class of an SB3
    policy by its import path: `my_policy:MyPolicy` (see docs/bring/policy.md)."""
    callbacks: tuple[str, ...] = field(
        default=(),
        metadata=not_searched("callbacks watch a training; a keyword of theirs may be searched"),
    )
    """Callbacks of your own that every training gets: subclasses of SB3's `BaseCallback` by their
    import paths, such as `my_callback:MyCallback` (see docs/bring/callback.md)."""
    callback_kwargs: dict[str, dict[str, Any]] = field(
        default_factory=dict, metadata=formulation(keywords=True)
    )
    """Keywords of the callbacks, by the name of the class: `MyCallback: {patience: 3}`."""
    n_stack: int = field(default=1, metadata=formulation())
    """How many of the last observations the agent sees at once, the newest last (SB3's
    VecFrameStack, rl-zoo3's `frame_stack`); 1: today's alone. `env.lookback` shows earlier rows of
    the market without the account."""
    model_kwargs: dict[str, Any] = field(
        default_factory=dict,
        metadata=not_searched(
            "keywords are searched one by one, by their own names: learning_rate"
        ),
    )
    """Keywords of the SB3 class, over FinRL's defaults; a sampled value wins over both. Of those of
    the policy (`policy_kwargs`), `features_extractor_class` may be a class of your own by its
    import path (see docs/bring/policy.md), and a search may choose each by itself:
    `agent.policy_kwargs.features_dim`."""
    normalize: Literal[False, True, "observations", "rewards"] = field(
        default=False, metadata=formulation()
    )
    """Wrap the env in SB3's VecNormalize (running mean and deviation of observations and rewards,
    or of one of them, from training alone); its statistics travel with the model."""

    def __post_init__(self) -> None:
        self._name_own_code()
        require_numbers(self)
        check_algorithm(self.algorithm)
        # of an algorithm of the user's own it is known when its class is
        owners = _OWNERS.get(self.policy) if self.algorithm in ALGORITHM_NAMES else None
        require(
            self.policy in POLICIES or is_reference(self.policy, "policy"),
            f"policy must be one of {', '.join(map(repr, POLICIES))}, or a class of your own by "
            f"its import path, such as 'my_policy:MyPolicy', got {self.policy!r}"
            f".{did_you_mean(self.policy, POLICIES)}",
        )
        self._check_callbacks()
        require(
            owners is None or self.algorithm in owners,
            f"policy {self.policy} is of {and_list(owners or ('',))}, got algorithm "
            f"{self.algorithm}; set policy to MlpPolicy",
        )
        require(self.n_stack >= 1, f"n_stack must be >= 1 observation, got {self.n_stack}")
        require(
            self.n_stack == 1 or self.policy != "PerTickerPolicy",
            f"n_stack must be 1 with policy {self.policy}, which sees the tickers of one "
            f"observation, got {self.n_stack}; env.lookback shows it earlier rows",
        )
        require(
            self.total_timesteps >= 1, f"total_timesteps must be >= 1, got {self.total_timesteps}"
        )
        require(
            1 <= self.n_envs <= self.total_timesteps,
            f"n_envs must be within 1..total_timesteps ({self.total_timesteps}), got {self.n_envs}",
        )

    def _name_own_code(self) -> None:
        """Put import paths in the place of classes that were given in Python."""
        callbacks = tuple(reference_of(one, "callback") for one in self.callbacks)
        of_policy = self.model_kwargs.get("policy_kwargs")
        if isinstance(of_policy, dict) and of_policy.get(EXTRACTOR) is not None:
            named = {EXTRACTOR: reference_of(of_policy[EXTRACTOR], "features_extractor")}
            keywords = {**self.model_kwargs, "policy_kwargs": {**of_policy, **named}}
            object.__setattr__(self, "model_kwargs", keywords)
        object.__setattr__(self, "algorithm", reference_of(self.algorithm, "algorithm"))
        object.__setattr__(self, "policy", reference_of(self.policy, "policy"))
        object.__setattr__(self, "callbacks", callbacks)

    def _check_callbacks(self) -> None:
        for one in self.callbacks:
            require(
                is_reference(one, "callback"),
                f"callbacks must be import paths such as 'my_callback:MyCallback', got {one!r}",
            )
        names = [callback_name(one) for one in self.callbacks]
        require(len(set(names)) == len(names), f"callbacks must have different names, got {names}")
        unknown = [name for name in self.callback_kwargs if name not in names]
        require(
            not unknown,
            f"callback_kwargs must be of the callbacks {names}, got {', '.join(unknown)}",
        )


def check_algorithm(algorithm: str) -> None:
    """Refuse a name that is no algorithm's, and no reference to own code; nothing is imported.

    Raises
    ------
    ConfigError
        With the nearest right name.
    """
    require(
        algorithm in ALGORITHM_NAMES or is_reference(algorithm, "algorithm"),
        f"algorithm must be one of {', '.join(map(repr, ALGORITHM_NAMES))}, or a class of your own "
        f"by its import path, such as 'my_algo:MyPPO', got {algorithm!r}"
        f".{did_you_mean(algorithm, ALGORITHM_NAMES)}",
    )


def callback_name(reference: str) -> str:
    """Return the name of a callback by which `callback_kwargs` calls it: that of its class."""
    return reference.rpartition(":")[2].rpartition(".")[2]
