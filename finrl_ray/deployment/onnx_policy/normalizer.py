"""What VecNormalize does to observations, as an ONNX file and its comparison need it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from finrl_ray._typing import AnyArray
from finrl_ray.agents.frame_stack import n_stack_of_model
from finrl_ray.agents.normalization import Statistics
from finrl_ray.errors import ConfigError


@dataclass(frozen=True, kw_only=True, eq=False)
class Normalizer:
    """What VecNormalize does to observations: (o - mean) / deviation, cut off at -clip and clip.

    Parameters
    ----------
    mean, deviation : arrays of the shape of an observation, stacked as it is
    clip : as SB3's `clip_obs`
    frames : how many single observations are stacked in one; a frame of NaN is one that is not
        there yet, which the policy sees as 0
    """

    mean: AnyArray
    deviation: AnyArray
    clip: float
    frames: int = 1

    def __call__(self, observations: AnyArray) -> AnyArray:
        """Return what the policy sees, float32."""
        scaled = np.clip((observations - self.mean) / self.deviation, -self.clip, self.clip)
        if self.frames > 1:
            scaled = np.where(np.isnan(observations), 0.0, scaled)
        result: AnyArray = scaled.astype(np.float32)
        return result


def normalizer_of(model: BaseAlgorithm, statistics: Statistics) -> Normalizer | None:
    """Return what VecNormalize does to a model's observations; None where it leaves them.

    Parameters
    ----------
    model : of SB3
    statistics : that it was trained under

    Raises
    ------
    ConfigError
        If they are of other observations.
    """
    observed = statistics.moments.get("obs:")
    settings = statistics.settings
    if observed is None or not settings.get("norm_obs", True):
        return None
    clip, epsilon = settings.get("clip_obs", 10.0), settings.get("epsilon", 1e-8)
    return _normalizer(model, observed[0], observed[1], clip, epsilon)


def normalizer_of_env(model: BaseAlgorithm) -> Normalizer | None:
    """Return what the VecNormalize of a model's own env does to observations; None: nothing.

    Raises
    ------
    ConfigError
        If it normalises observations part by part, or is of other observations.
    """
    own: Any = model.get_vec_normalize_env()
    if own is None or not own.norm_obs:
        return None
    if not hasattr(own.obs_rms, "mean"):
        raise ConfigError(
            f"the observations of this {type(model).__name__} are normalised part by part, and "
            "ONNX takes those that are one array; leave ONNX out"
        )
    return _normalizer(model, own.obs_rms.mean, own.obs_rms.var, own.clip_obs, own.epsilon)


def _normalizer(
    model: BaseAlgorithm, mean: AnyArray, var: AnyArray, clip: float, epsilon: float
) -> Normalizer:
    shape = model.observation_space.shape or ()
    frames = 1
    if mean.shape != shape:
        frames = n_stack_of_model(model)
        if mean.ndim != 1 or (mean.size * frames,) != shape:
            raise ConfigError(
                f"the statistics are of observations of shape {mean.shape}, and the model acts on "
                f"those of shape {shape}; give the statistics that it was trained under"
            )
        mean, var = np.tile(mean, frames), np.tile(var, frames)
    deviation = np.sqrt(np.asarray(var, dtype=np.float64) + float(epsilon))
    return Normalizer(
        mean=np.asarray(mean, dtype=np.float64),
        deviation=deviation,
        clip=float(clip),
        frames=frames,
    )
