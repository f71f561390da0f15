"""What is known of one algorithm; the algorithms themselves are in `algorithm_registry`."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from finrl_ray.own_code.load import load_object
from finrl_ray.support.extras import require_extra

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


def read_only(**entries: Any) -> Mapping[str, Any]:
    """Return a mapping that cannot be changed."""
    return MappingProxyType(entries)


@dataclass(frozen=True, kw_only=True)
class AlgorithmEntry:
    """One algorithm: its classes, its default keywords and search space, and what it is built of.

    Parameters
    ----------
    model_path : the class of SB3 or sb3-contrib as `module:name`
    reference : of a class of the user's own, by which the config names it; empty: `model_path`
    extra : the extra that brings the class's package; empty: it is there in any case
    learners : the subclasses that do the same training faster, as `module:name` by the learner's
        name ("fused", "exact"); a learner that is not named is the class itself
    on_policy : trained on rollouts (`n_steps`), else on a replay buffer (`buffer_size`)
    policies : names of its policies; the first is what `MlpPolicy` stands for
    actions : kinds of action spaces that it can act in, "continuous" and "discrete"
    defaults : FinRL's keywords; what is not named is the class's own default. FinRL has none for
        the algorithms that it lacks: they are those of its nearest relative there.
    zoo_defaults : rl-zoo3's keywords, from the section `default` of its hyperparams/ALGORITHM.yml
        (2.9.2); what is not named is the class's own default
    space : default search space, as `search.space` of the config
    policy_keywords : keywords of its policy that a search and `model_kwargs` have under their own
        names, as they have `net_arch`, with the policy's own defaults
    required : keywords that may not be None, as they may with other algorithms
    net_arch, activation_fn : what the policy is built of when nothing is given
    critic_arch : layers of the critics where they differ from those of the policy; empty: the same
    minibatches : a rollout is trained on in batches of `batch_size`
    least_batch : fewest samples of a batch; 2 where a deviation over the batch is divided by
    normalize_advantage : the class's default of the keyword; None: it has no such keyword
    learns_entropy : `ent_coef` may be `auto`, or `auto_` and a number to start from
    decaying_rate : `setup_callbacks` lowers the learning rate while it trains
    critics : networks that judge actions
    policy_outputs : outputs of the policy per entry of an action (2: a mean and a deviation)
    target_policy : it keeps a slow copy of the policy, beside those of the critics
    target_critics : it keeps slow copies of the critics
    batch_norm : its networks normalise what goes into each layer
    small : keywords for little memory
    stable : keywords for training that swings or diverges
    """

    model_path: str
    reference: str = ""
    extra: str = ""
    learners: Mapping[str, str] = field(default_factory=read_only)
    on_policy: bool
    policies: tuple[str, ...] = ("MlpPolicy",)
    actions: tuple[str, ...] = ("continuous",)
    defaults: Mapping[str, Any] = field(default_factory=read_only)
    zoo_defaults: Mapping[str, Any] = field(default_factory=read_only)
    space: Mapping[str, Any] = field(default_factory=read_only)
    policy_keywords: Mapping[str, Any] = field(default_factory=read_only)
    required: tuple[str, ...] = ()
    net_arch: tuple[int, ...]
    activation_fn: str
    critic_arch: tuple[int, ...] = ()
    minibatches: bool = False
    least_batch: int = 1
    normalize_advantage: bool | None = None
    learns_entropy: bool = False
    decaying_rate: bool = False
    critics: int = 1
    policy_outputs: int = 1
    target_policy: bool = False
    target_critics: bool = True
    batch_norm: bool = False
    small: Mapping[str, Any] = field(default_factory=read_only)
    stable: Mapping[str, Any] = field(default_factory=read_only)

    @property
    def class_name(self) -> str:
        """The name of the class, which is known without loading it."""
        return (self.reference or self.model_path).partition(":")[2]

    @property
    def is_recurrent(self) -> bool:
        """Whether the policy remembers what it has seen, in an LSTM."""
        return "lstm_hidden_size" in self.policy_keywords

    @property
    def is_installed(self) -> bool:
        """Whether the package that has the class is there."""
        return find_spec(self.model_path.partition(":")[0].partition(".")[0]) is not None

    @property
    def model_class(self) -> "type[BaseAlgorithm]":
        """The class of SB3 or sb3-contrib, or the user's own.

        Raises
        ------
        ConfigError
            If its package is not installed, with the command that installs it, or the user's own
            cannot be imported.
        """
        if self.reference:
            own: type[BaseAlgorithm] = load_object(self.reference, "algorithm")
            return own
        self.require_installed()
        return _load_class(self.model_path)

    def require_installed(self) -> None:
        """Refuse an algorithm whose package is not installed.

        Raises
        ------
        ConfigError
            With the command that installs it.
        """
        if self.extra:
            require_extra(self.extra, f"the algorithm {self.class_name}")

    def learner_class(self, learner: str) -> "type[BaseAlgorithm]":
        """Return the class that trains the algorithm with a learner such as `"fused"`."""
        return _load_class(self.learners[learner]) if learner in self.learners else self.model_class


@cache
def constructor_keywords(kind: type[Any]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a class's constructor that may be given by name.

    Of one that hands `**kwargs` on, those of the class that it is derived from too.
    """
    found: dict[str, inspect.Parameter] = {}
    for one in kind.__mro__:
        if "__init__" not in vars(one):
            continue
        own = inspect.signature(one.__init__).parameters  # type: ignore[misc]  # of a class
        named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        for name, parameter in own.items():
            if parameter.kind in named and name != "self":
                found.setdefault(name, parameter)
        if all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in own.values()):
            break
    return MappingProxyType(found)


@cache
def _load_class(path: str) -> "type[BaseAlgorithm]":
    module, _, name = path.partition(":")
    loaded: type[BaseAlgorithm] = getattr(import_module(module), name)
    return loaded
