"""Statistics of VecNormalize: kept in a model's zip file, read from it or from SB3's pickle."""

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import (
    VecEnv,
    VecFrameStack,
    VecNormalize,
    unwrap_vec_normalize,
)

from finrl_ray._typing import AnyArray
from finrl_ray.agents.saved_models.inert_pickle import (
    PICKLE_ERRORS,
    Record,
    RefusedError,
    UntrustedError,
    read_inert,
)
from finrl_ray.errors import ConfigError
from finrl_ray.files.bounded_reading import read_arrays, read_limited
from finrl_ray.learners.frame_vec_normalize import FrameVecNormalize

STATISTICS_MEMBER = "finrl_ray_statistics.npz"
VECNORMALIZE_FILE = "vecnormalize.pkl"
"""Name, beside a saved model, of the statistics that it was trained under."""
_SETTINGS = (
    "clip_obs",
    "clip_reward",
    "gamma",
    "epsilon",
    "norm_obs",
    "norm_reward",
    "norm_obs_keys",
)
_PARTS = ("mean", "var", "count")
_ONE = ""
"""Key of the observations' statistics where observations are one array."""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What a VecNormalize has learned of observations and returns.

    Parameters
    ----------
    settings : keywords of VecNormalize
    moments : mean, variance and count by name: `ret` of returns, `obs:` and a key of observations
    source : the file, for messages
    """

    settings: Mapping[str, Any]
    moments: Mapping[str, tuple[AnyArray, AnyArray, float]]
    source: str


def statistics_bytes(normalizer: VecNormalize) -> bytes:
    """Return an npz file of a VecNormalize's settings and moments."""
    settings = {name: getattr(normalizer, name) for name in _SETTINGS if hasattr(normalizer, name)}
    arrays: dict[str, Any] = {"settings": np.asarray(json.dumps(settings, default=float))}
    for name, one in _named(getattr(normalizer, "obs_rms", None), normalizer.ret_rms).items():
        for part in _PARTS:
            arrays[f"{name}/{part}"] = np.asarray(getattr(one, part))
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _named(obs_rms: Any, ret_rms: Any) -> dict[str, Any]:
    found = {"ret": ret_rms}
    if isinstance(obs_rms, dict):
        return found | {f"obs:{key}": one for key, one in obs_rms.items()}
    return found if obs_rms is None else found | {f"obs:{_ONE}": obs_rms}


def read_statistics(
    model_file: Path, pickle_file: Path | None = None, *, trust: bool = False
) -> Statistics | None:
    """Return the statistics that a saved model was trained under; None if there are none.

    Parameters
    ----------
    model_file : the model's zip file; what `save_model` has put into it comes first
    pickle_file : of `VecNormalize.save`; None: `vecnormalize.pkl` beside the model
    trust : unpickle what cannot be read without it

    Raises
    ------
    ConfigError
        If they are damaged, or need trust.
    """
    inside = _inside(model_file)
    if inside is not None:
        return inside
    beside = pickle_file or model_file.with_name(VECNORMALIZE_FILE)
    if not beside.exists():
        return None
    content = read_limited(beside, error=ConfigError)
    try:
        return _checked(_from_pickle(content, str(beside)))
    except RefusedError as error:
        if trust and isinstance(error, UntrustedError):
            return _unpickled(beside)
        raise ConfigError(
            f"the statistics {beside}, which its model was trained under, cannot be read: the file "
            f"{error}; {error.remedy}"
        ) from error


def _inside(model_file: Path) -> Statistics | None:
    try:
        with zipfile.ZipFile(model_file) as archive:
            content = archive.read(STATISTICS_MEMBER)
    except (OSError, KeyError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
        return None  # the loader of models refuses a damaged one
    try:
        return _checked(_from_npz(content, f"{model_file} ({STATISTICS_MEMBER})"))
    except RefusedError as error:
        raise ConfigError(
            f"the statistics in {model_file} cannot be read: {STATISTICS_MEMBER} {error}"
        ) from error


def _from_npz(content: bytes, source: str) -> Statistics:
    try:
        arrays = read_arrays(io.BytesIO(content))
        settings = json.loads(str(arrays["settings"]))
        names = {name.rpartition("/")[0] for name in arrays if "/" in name}
        moments = {
            name: (arrays[f"{name}/mean"], arrays[f"{name}/var"], float(arrays[f"{name}/count"]))
            for name in names
        }
    except (*PICKLE_ERRORS, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise RefusedError(f"is damaged ({error})") from error
    return Statistics(settings=settings, moments=moments, source=source)


def _from_pickle(content: bytes, source: str) -> Statistics:
    record = read_inert(content)
    name = type(record).name if isinstance(record, Record) else type(record).__name__
    if not name.startswith("stable_baselines3.") or not name.endswith("VecNormalize"):
        raise RefusedError(f"holds a {name or 'value'} instead of SB3's VecNormalize")
    settings = {n: record.state[n] for n in _SETTINGS if n in record.state}
    observed = record.state.get("obs_rms")
    moments = {
        key: tuple(one.attribute(part) for part in _PARTS)
        for key, one in _named(observed, record.attribute("ret_rms")).items()
        if isinstance(one, Record)
    }
    return Statistics(settings=settings, moments=moments, source=source)


def _unpickled(path: Path) -> Statistics:
    """Return the statistics of a file that is trusted."""
    import pickle

    try:
        with path.open("rb") as file:
            normalizer = pickle.load(file)
        named = _named(getattr(normalizer, "obs_rms", None), normalizer.ret_rms)
        moments = {key: tuple(getattr(one, part) for part in _PARTS) for key, one in named.items()}
        settings = {n: getattr(normalizer, n) for n in _SETTINGS if hasattr(normalizer, n)}
        return _checked(Statistics(settings=settings, moments=moments, source=str(path)))
    except (*PICKLE_ERRORS, OSError) as error:
        raise ConfigError(
            f"the statistics {path} are damaged, or of something else than SB3's VecNormalize: "
            f"{error}"
        ) from error


def _checked(statistics: Statistics) -> Statistics:
    """Return statistics as float64 arrays, after a check that every number is finite."""
    if not any(name.startswith("obs:") for name in statistics.moments) and statistics.settings.get(
        "norm_obs", True
    ):
        raise RefusedError("has no statistics of observations")
    checked = {}
    for name, (mean, var, count) in statistics.moments.items():
        try:
            mean, var = np.asarray(mean, dtype=np.float64), np.asarray(var, dtype=np.float64)
            count = float(count)
        except (TypeError, ValueError) as error:
            raise RefusedError(f"has no numbers for {name} ({error})") from error
        sound = mean.shape == var.shape and np.isfinite(mean).all() and np.isfinite(var).all()
        if not sound or (var < 0).any() or not count >= 0:
            raise RefusedError(f"has a mean or variance of {name} that is no number")
        checked[name] = (mean, var, count)
    return Statistics(settings=statistics.settings, moments=checked, source=statistics.source)


def under_statistics(env: VecEnv, statistics: Statistics, *, evaluating: bool = False) -> VecEnv:
    """Return an env that normalises by saved statistics.

    A VecNormalize anywhere in the env takes them over, and keeps its `training`; an env without one
    is wrapped; one that stacks observations (VecFrameStack) inside the stack, where the statistics
    are of single observations.

    Parameters
    ----------
    env : a vec env
    statistics : from `read_statistics`
    evaluating : keep the statistics as they are, and rewards the env's own

    Raises
    ------
    ConfigError
        If they are of other observations.
    """
    own = unwrap_vec_normalize(env)
    if own is None and isinstance(env, VecFrameStack) and _are_of_single(statistics, env):
        n_stack = env.stacked_obs.n_stack
        normalizer: VecNormalize = FrameVecNormalize(env.venv, n_stack)
        env = VecFrameStack(normalizer, n_stack)
    else:
        normalizer = own or VecNormalize(env)
        env = env if own is not None else normalizer
    _take_over(normalizer, statistics)
    if evaluating:
        normalizer.training, normalizer.norm_reward = False, False
    return env


def _are_of_single(statistics: Statistics, env: VecFrameStack) -> bool:
    """Return whether statistics are of the observations of which an env shows stacks."""
    observed = statistics.moments.get(f"obs:{_ONE}")
    return observed is not None and observed[0].shape == env.venv.observation_space.shape


def _take_over(normalizer: VecNormalize, statistics: Statistics) -> None:
    for name, value in statistics.settings.items():
        setattr(normalizer, name, value)
    observed = {
        name.removeprefix("obs:"): _running(*moments)
        for name, moments in statistics.moments.items()
        if name.startswith("obs:")
    }
    space: Any = normalizer.observation_space
    for key, one in observed.items():
        shape = space.shape if key == _ONE else space[key].shape
        if one.mean.shape != shape:
            raise ConfigError(
                f"the statistics {statistics.source} are of observations of shape "
                f"{one.mean.shape}, the env's have {shape}: the model was trained on other "
                "tickers or features"
            )
    if observed:
        found: Any = observed.get(_ONE, observed)
        normalizer.obs_rms = found
    if "ret" in statistics.moments:
        normalizer.ret_rms = _running(*statistics.moments["ret"])


def _running(mean: AnyArray, var: AnyArray, count: float) -> RunningMeanStd:
    made = RunningMeanStd(shape=mean.shape)
    # a 0-d mean is a scalar in SB3
    made.mean, made.var, made.count = mean.copy(), var.copy(), count
    return made
