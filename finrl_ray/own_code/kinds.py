"""What of the user's own code a config can name, and under which name packages publish it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One kind of own code.

    Parameters
    ----------
    key : of the config that names it, for messages
    group : of the entry points by which installed packages publish theirs
    must_be : what the object must be, in words
    """

    key: str
    group: str
    must_be: str


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "env": Kind(
            key="env.class",
            group="finrl_ray.envs",
            must_be="a class of a Gymnasium env or of an SB3 VecEnv",
        ),
        "reward": Kind(
            key="env.reward", group="finrl_ray.rewards", must_be="a function of named arrays"
        ),
        "algorithm": Kind(
            key="agent.algorithm",
            group="finrl_ray.algorithms",
            must_be="a subclass of an SB3 algorithm",
        ),
        "policy": Kind(
            key="agent.policy", group="finrl_ray.policies", must_be="a class of an SB3 policy"
        ),
        "features_extractor": Kind(
            key="agent.model_kwargs.policy_kwargs.features_extractor_class",
            group="finrl_ray.features_extractors",
            must_be="a subclass of SB3's BaseFeaturesExtractor",
        ),
        "callback": Kind(
            key="agent.callbacks",
            group="finrl_ray.callbacks",
            must_be="a subclass of SB3's BaseCallback",
        ),
        "features": Kind(
            key="data.features",
            group="finrl_ray.features",
            must_be="a function of one ticker's prices",
        ),
        "source": Kind(
            key="data.source",
            group="finrl_ray.sources",
            must_be="a function that returns prices in FinRL's long format",
        ),
        "metric": Kind(
            key="evaluation.metric",
            group="finrl_ray.metrics",
            must_be="a function of an account that returns a number",
        ),
    }
)
