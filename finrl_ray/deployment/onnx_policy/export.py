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
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.agents.ensemble_model.model import EnsembleModel
from finrl_ray.agents.frame_stack import n_stack_of_model
from finrl_ray.agents.models import load_model
from finrl_ray.agents.normalization import Statistics, read_statistics
from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.deployment.agent import load_agent
from finrl_ray.deployment.agent_folder import ALIKE, read_agent_folder
from finrl_ray.deployment.onnx_policy.comparing import (
    COMPARED,
    acted_rows,
    compare,
    random_rows,
)
from finrl_ray.deployment.onnx_policy.graph import WRITTEN, Normalizer, policy_graph, refusal
from finrl_ray.env.make import make_vec_env
from finrl_ray.env.scaling import ObservationScaling
from finrl_ray.errors import ConfigError
from finrl_ray.files.atomic import atomic_path
from finrl_ray.support.extras import require_extra

ONNX_FILE = "model.onnx"
"""Its name in an agent's folder."""
_WITHOUT = frozenset({"recurrent_ppo", "crossq"})
_OTHER_POLICIES = frozenset({"MlpLstmPolicy", "MultiInputPolicy", "CnnPolicy"})


def require_onnx(algorithm: str, *, together: bool = False, policy: str = "MlpPolicy") -> None:
    """Refuse what cannot be written as ONNX, before anything is trained for it.

    Parameters
    ----------
    algorithm : its name
    together : whether the agent is an ensemble
    policy : `agent.policy`; what a class of the user's own does is known when it is written

    Raises
    ------
    ConfigError
        If the extra is not installed, or the agent is an ensemble or of an algorithm or a policy
        that is not written.
    """
    require_extra("onnx", "writing an agent as ONNX")
    if together:
        raise ConfigError(
            "one ONNX file holds one policy, and the agent is an ensemble, whose members may see "
            "different things; deploy one of its trials with --trial, or leave --onnx out"
        )
    if algorithm in _WITHOUT or policy in _OTHER_POLICIES:
        told = algorithm if policy == "MlpPolicy" else f"{algorithm} with agent.policy {policy}"
        raise ConfigError(
            f"only agents with {WRITTEN} can be written as ONNX, got {told}; leave --onnx out"
        )


def export_onnx(
    model: BaseAlgorithm | EnsembleModel,
    target: str | Path,
    *,
    statistics: Statistics | None = None,
    facts: Mapping[str, Any] | None = None,
    env: VecEnv | None = None,
) -> float:
    """Write the deterministic policy of a model as an ONNX file, after it was compared with SB3.

    Its input `observation` is float32 of shape (batch, S): what the env shows, before VecNormalize.
    Of a model that acts on stacks of observations S is the width of a stack, the newest last; with
    VecNormalize a frame that is not there yet, at the start of an episode, is NaN, else 0. Its
    output `action` is what `predict` returns: float32 of shape (batch, N), or int64 of choices.

    Parameters
    ----------
    model : of SB3, with an MLP policy or `PerTickerPolicy`
    target : of the file
    statistics : of the VecNormalize that it was trained under; None: those of the model's own env
        if it has one
    facts : plain values that are kept in the file's metadata
    env : of one account, without VecNormalize and without stacks: both are compared on what the
        agent is shown in it too, 256 observations at most. None: on random observations alone

    Returns
    -------
    float
        The largest difference from SB3's actions: `TOLERANCE` at most, or what rounding in float32
        explains where observations are large, see `finrl_ray.deployment.onnx_policy.comparing`.

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
    made.producer_name = "finrl-ray"
    rows = [random_rows(model, normalizer)]
    if env is not None:
        rows.append(acted_rows(model, env, normalizer))
    content = made.SerializeToString()
    difference = max(compare(content, model, normalizer, one) for one in rows)
    told |= {"largest_difference": difference, "compared_on": sum(map(len, rows))}
    onnx.helper.set_model_props(made, {name: _text(value) for name, value in told.items()})
    with atomic_path(Path(target)) as temporary:
        temporary.write_bytes(made.SerializeToString())
    return difference


def export_model_file(
    file: str | Path,
    target: str | Path,
    *,
    algorithm: str,
    facts: Mapping[str, Any] | None = None,
    env: VecEnv | None = None,
    trust: bool = False,
) -> float:
    """Write the policy of a saved model as ONNX; see `export_onnx`.

    Parameters
    ----------
    file : SB3's zip file, with the statistics of VecNormalize inside or beside it
    target : of the ONNX file
    algorithm : its name
    facts, env : see `export_onnx`
    trust : see `finrl_ray.agents.models.load_model`

    Raises
    ------
    ConfigError
        As `export_onnx`, and if the model or its statistics are damaged or need trust.
    """
    model = load_model(algorithm, file, device="cpu", trust=trust)
    statistics = read_statistics(Path(file), trust=trust)
    return export_onnx(model, target, statistics=statistics, facts=facts, env=env)


def export_agent(path: str | Path, target: str | Path, *, trust: bool = False) -> float:
    """Write the policy of a deployed agent as ONNX, compared on the last rows of its training.

    Parameters
    ----------
    path : the agent's folder
    target : of the ONNX file
    trust : run own code that is in the folder, see `finrl_ray.load_agent`

    Raises
    ------
    SearchError
        If it is no agent's folder, or damaged, or has own code and is not trusted.
    ConfigError
        As `export_model_file`, and if it is an ensemble.
    """
    folder = read_agent_folder(path)
    own = folder.config.agent
    require_onnx(own.algorithm, together=bool(folder.facts["members"]), policy=own.policy)
    agent = load_agent(path, trust=trust)  # which runs its own code
    env = bare_env(agent.config.env, agent.market_of(), agent.folder.scalings.get(ALIKE))
    algorithm = folder.config.agent.algorithm
    facts = {name: folder.facts[name] for name in ("tickers", "features", "trained")}
    return export_model_file(
        folder.model_path, target, algorithm=algorithm, facts=facts, env=env, trust=trust
    )


def bare_env(config: EnvConfig, rows: MarketData, scaling: ObservationScaling | None) -> VecEnv:
    """Return an env of one account over the last rows, as `export_onnx` compares in it.

    Parameters
    ----------
    config : of the agent
    rows : with its features
    scaling : of its observations; None: none
    """
    first = max(rows.warmup, rows.n_periods - COMPARED - 1)
    window = rows.rows(first, rows.n_periods)
    own = config.without_own_reward()
    env: VecEnv = make_vec_env(window, own, scaling=scaling, training=False)
    return env


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
