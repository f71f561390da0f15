"""Names of the learners: the code that trains a model. Without torch, which is slow to load."""

from typing import Literal, TypeAlias, get_args

LearnerName: TypeAlias = Literal["fused", "exact", "sb3"]
LEARNER_NAMES: tuple[str, ...] = get_args(LearnerName)
