"""`with_statistics`: saved statistics of VecNormalize put into an env."""

from pathlib import Path

from stable_baselines3.common.vec_env import VecEnv, VecNormalize, unwrap_vec_normalize

_FIELDS = (
    "obs_rms",
    "ret_rms",
    "clip_obs",
    "clip_reward",
    "gamma",
    "epsilon",
    "norm_obs",
    "norm_reward",
    "norm_obs_keys",
)


def with_statistics(env: VecEnv, path: str | Path) -> VecEnv:
    """Return an env that normalises by the statistics in a file of `VecNormalize.save`.

    A VecNormalize anywhere in the env takes them over, and keeps its `training`; an env without one
    is wrapped. The file is a pickle: opening it runs code that is in it.
    """
    own = unwrap_vec_normalize(env)
    if own is None:
        return VecNormalize.load(str(path), env)
    saved = VecNormalize.load(str(path), own.venv)
    for name in _FIELDS:
        if hasattr(saved, name):
            setattr(own, name, getattr(saved, name))
    return env
