"""Parameters that are no longer finite numbers, said in one sentence."""

import re

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm

from finrl_ray.errors import FinRLRayError


class TrialDivergedError(FinRLRayError, RuntimeError):
    """A trial whose parameters are no longer finite numbers."""


def check_finite(model: BaseAlgorithm, cause: Exception | None = None) -> None:
    """Raise if a network parameter is NaN or infinite, naming it.

    With `cause`, what training was stopped by, also if torch has refused the policy's distribution
    although every parameter is a number: a log deviation of 100 is one, its exponential is not.

    Raises
    ------
    TrialDivergedError
        With the parameter's or the quantity's name, the timestep and what usually helps.
    """
    remedy = "a lower learning_rate, a lower max_grad_norm or agent.normalize usually helps"
    for name, parameter in model.policy.named_parameters():
        if not bool(th.isfinite(parameter).all()):
            raise TrialDivergedError(
                f"parameter {name} is NaN or infinite after {model.num_timesteps} timesteps; "
                f"{remedy}"
            ) from cause
    refused = re.match(r"Expected parameter (\w+) ", str(cause))
    if refused:
        raise TrialDivergedError(
            f"the {refused[1]} of the policy's actions is NaN or infinite after "
            f"{model.num_timesteps} timesteps; {remedy}"
        ) from cause
