"""The class that trains an SB3 algorithm with a learner of a given name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm

from finrl_ray.learners.off_policy.exact import ExactDDPG, ExactSAC, ExactTD3
from finrl_ray.learners.off_policy.fused import FusedDDPG, FusedSAC, FusedTD3
from finrl_ray.learners.on_policy.exact import ExactA2C, ExactPPO
from finrl_ray.learners.on_policy.fused import FusedA2C, FusedPPO

LearnerName: TypeAlias = Literal["fused", "exact", "sb3"]
LEARNER_NAMES: tuple[str, ...] = get_args(LearnerName)

_CLASSES: Mapping[str, Mapping[type[BaseAlgorithm], type[BaseAlgorithm]]] = MappingProxyType(
    {
        "fused": {A2C: FusedA2C, PPO: FusedPPO, DDPG: FusedDDPG, TD3: FusedTD3, SAC: FusedSAC},
        "exact": {A2C: ExactA2C, PPO: ExactPPO, DDPG: ExactDDPG, TD3: ExactTD3, SAC: ExactSAC},
        "sb3": {},
    }
)


def learner_class(model_class: type[BaseAlgorithm], learner: str) -> type[BaseAlgorithm]:
    """Return the subclass of an SB3 algorithm that learns with the learner of that name.

    Parameters
    ----------
    model_class : SB3's class
    learner : "fused", "exact" or "sb3", for which, as for other classes, it is `model_class` itself

    Raises
    ------
    KeyError
        If there is no such learner.
    """
    return _CLASSES[learner].get(model_class, model_class)
