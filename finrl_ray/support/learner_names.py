"""Names of the learners: the code that trains a model. Without torch, which is slow to load."""

from typing import Literal, TypeAlias, get_args

LearnerName: TypeAlias = Literal["fused", "exact", "sb3"]
LEARNER_NAMES: tuple[str, ...] = get_args(LearnerName)

ROUNDING = "rounding of the fused learner"
"""What versions call it."""
ROUNDING_NOW, ROUNDING_BEFORE = "2", "1"
"""Changes with the order in which the fused learner adds up, which moves its results in the last
digits; searches that recorded none had the first."""
