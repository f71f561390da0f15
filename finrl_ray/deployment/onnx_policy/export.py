"""`export_onnx`: an agent's deterministic policy as one ONNX file, its normalisation inside.

What reads it needs neither SB3 nor torch: in goes an observation of the env as it is, out comes the
action that `model.predict(..., deterministic=True)` gives. ONNX files hold numbers and operators
and run no code when they are loaded.
"""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm

from finrl_ray._typing import AnyArray
from finrl_ray.agents.ensemble_model.model import EnsembleModel
from finrl_ray.agents.frame_stack import n_stack_of_model
from finrl_ray.agents.models import load_model
from finrl_ray.agents.normalization import Statistics, read_statistics
from finrl_ray.deployment.agent_folder import read_agent_folder
from finrl_ray.deployment.onnx_policy.graph import INPUT, Normalizer, policy_graph, refusal
from finrl_ray.errors import ConfigError
from finrl_ray.files.atomic import atomic_path
from finrl_ray.support.extras import require_extra

ONNX_FILE = "model.onnx"
"""Its name in an agent's folder."""
TOLERANCE = 1e-5
"""How far an action may be from SB3's, where actions lie within -1..1; of wider bounds so much of
half their distance. Choices are equal."""
_CHECKED = 256
"""Observations on which both are compared."""
_WITHOUT = frozenset({"recurrent_ppo", "crossq"})


def require_onnx(algorithm: str, *, together: bool = False) -> None:
    """Refuse what cannot be written as ONNX, before anything is trained for it.

    Parameters
    ----------
    algorithm : its name
    together : whether the agent is an ensemble

    Raises
    ------
    ConfigError
        If the extra is not installed, or the agent is an ensemble or of an algorithm without an MLP
        policy that ONNX has.
    """
    require_extra("onnx", "writing an agent as ONNX")
    if together:
        raise ConfigError(
            "one ONNX file holds one policy, and the agent is an ensemble, whose members may see "
            "different things; deploy one of its trials with --trial, or leave --onnx out"
        )
    if algorithm in _WITHOUT:
        raise ConfigError(
            "only agents with an MLP policy of ppo, a2c, trpo, sac, tqc, td3, ddpg or dqn can be "
            f"written as ONNX, got {algorithm}; leave --onnx out"
        )


def export_onnx(
    model: BaseAlgorithm | EnsembleModel,
    target: str | Path,
    *,
    statistics: Statistics | None = None,
    facts: Mapping[str, Any] | None = None,
    observations: AnyArray | None = None,
) -> float:
    """Write the deterministic policy of a model as an ONNX file, after it was compared with SB3.

    Its input `observation` is float32 of shape (batch, S): what the env shows, before VecNormalize.
    Of a model that acts on stacks of observations S is the width of a stack, the newest last; with
    VecNormalize a frame that is not there yet, at the start of an episode, is NaN, else 0. Its
    output `action` is what `predict` returns: float32 of shape (batch, N), or int64 of choices.

    Parameters
    ----------
    model : of SB3, with an MLP policy
    target : of the file
    statistics : of the VecNormalize that it was trained under; None: those of the model's own env
        if it has one
    facts : plain values that are kept in the file's metadata
    observations : array of shape (M, S), rows on which both are compared beside random ones

    Returns
    -------
    float
        The largest difference from SB3's actions.

    Raises
    ------
    ConfigError
        If the extra is not installed, the policy is of a kind that cannot be written, or the file
        gives other actions than SB3 does.
    """
    require_extra("onnx", "writing an agent as ONNX")
    onnx = importlib.import_module("onnx")
    if isinstance(model, EnsembleModel):
        require_onnx("", together=True)
        raise AssertionError
    normalizer = _normalizer_of(model, statistics)
    made = policy_graph(onnx, model, normalizer)
    told = {
        "algorithm": type(model).__name__,
        "normalised_inside": normalizer is not None,
        "stacked_observations": n_stack_of_model(model),
        **(facts or {}),
    }
    onnx.helper.set_model_props(made, {name: _text(value) for name, value in told.items()})
    made.producer_name = "finrl-ray"
    content: bytes = made.SerializeToString()
    difference = _compared(content, model, normalizer, observations)
    with atomic_path(Path(target)) as temporary:
        temporary.write_bytes(content)
    return difference


def export_model_file(
    file: str | Path,
    target: str | Path,
    *,
    algorithm: str,
    facts: Mapping[str, Any] | None = None,
    trust: bool = False,
) -> float:
    """Write the policy of a saved model as ONNX; see `export_onnx`.

    Parameters
    ----------
    file : SB3's zip file, with the statistics of VecNormalize inside or beside it
    target : of the ONNX file
    algorithm : its name
    facts : see `export_onnx`
    trust : see `finrl_ray.agents.models.load_model`

    Raises
    ------
    ConfigError
        As `export_onnx`, and if the model or its statistics are damaged or need trust.
    """
    model = load_model(algorithm, file, device="cpu", trust=trust)
    statistics = read_statistics(Path(file), trust=trust)
    return export_onnx(model, target, statistics=statistics, facts=facts)


def export_agent(path: str | Path, target: str | Path, *, trust: bool = False) -> float:
    """Write the policy of a deployed agent as ONNX; see `export_onnx`.

    Parameters
    ----------
    path : the agent's folder
    target : of the ONNX file
    trust : see `finrl_ray.agents.models.load_model`

    Raises
    ------
    SearchError
        If it is no agent's folder, or damaged.
    ConfigError
        As `export_model_file`, and if it is an ensemble.
    """
    folder = read_agent_folder(path)
    algorithm = folder.config.agent.algorithm
    require_onnx(algorithm, together=bool(folder.facts["members"]))
    facts = {name: folder.facts[name] for name in ("tickers", "features", "trained")}
    return export_model_file(
        folder.model_path, target, algorithm=algorithm, facts=facts, trust=trust
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _normalizer_of(model: BaseAlgorithm, statistics: Statistics | None) -> Normalizer | None:
    """Return what VecNormalize does to the model's observations; None where nothing."""
    if statistics is not None:
        observed = statistics.moments.get("obs:")
        settings = statistics.settings
        if observed is None or not settings.get("norm_obs", True):
            return None
        mean, var = observed[0], observed[1]
        clip, epsilon = settings.get("clip_obs", 10.0), settings.get("epsilon", 1e-8)
    else:
        own: Any = model.get_vec_normalize_env()
        if own is None or not own.norm_obs:
            return None
        if not hasattr(own.obs_rms, "mean"):
            raise refusal(model, "its observations are normalised part by part")
        mean, var, clip, epsilon = own.obs_rms.mean, own.obs_rms.var, own.clip_obs, own.epsilon
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


def _compared(
    content: bytes,
    model: BaseAlgorithm,
    normalizer: Normalizer | None,
    observations: AnyArray | None,
) -> float:
    """Return how far the file's actions are from SB3's at most; raise if that is too far."""
    runtime = importlib.import_module("onnxruntime")
    rows = _rows(model, normalizer)
    if observations is not None:
        rows = np.concatenate([rows, np.asarray(observations, dtype=np.float32)])
    seen = rows if normalizer is None else normalizer(rows)
    expected = np.asarray(model.predict(seen, deterministic=True)[0])
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {INPUT: rows})
    scale: Any = 1.0
    if isinstance(model.action_space, spaces.Box):
        scale = np.maximum((model.action_space.high - model.action_space.low) / 2.0, 1.0)
    apart = np.abs(found.astype(np.float64) - expected.reshape(found.shape)) / scale
    difference = float(apart.max(initial=0.0))
    if not difference <= TOLERANCE:
        raise ConfigError(
            f"the ONNX file of this {type(model).__name__} gives actions that differ from "
            f"Stable-Baselines3's by up to {difference:.2g}, and they may by {TOLERANCE:g}: its "
            "policy does something that its layers do not say; leave ONNX out"
        )
    return difference


def _rows(model: BaseAlgorithm, normalizer: Normalizer | None) -> AnyArray:
    """Return observations around those that the policy has seen, and some far away."""
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(_CHECKED, *(model.observation_space.shape or ())))
    drawn *= np.where(np.arange(_CHECKED) % 4 == 3, 10.0, 1.0).reshape(
        -1, *([1] * (drawn.ndim - 1))
    )
    if normalizer is not None:
        drawn = normalizer.mean + normalizer.deviation * drawn
        if normalizer.frames > 1:
            width = drawn.shape[1] // normalizer.frames
            drawn[0, :-width] = np.nan  # the first observation of an episode
    result: AnyArray = drawn.astype(np.float32)
    return result
