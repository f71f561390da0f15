"""`export_onnx`: an agent's deterministic policy as one ONNX file, its normalisation inside.

What reads it needs neither SB3 nor torch: in goes an observation of the env as it is, out comes the
action that `model.predict(..., deterministic=True)` gives. ONNX files hold numbers and operators
and run no code when they are loaded.
"""

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.agents.ensemble_model.files import SavedMember, read_ensemble
from finrl_ray.agents.ensemble_model.model import EnsembleModel, shared_env_config
from finrl_ray.agents.frame_stack import n_stack_of_model
from finrl_ray.agents.models import load_model
from finrl_ray.agents.normalization import Statistics, read_statistics
from finrl_ray.config.env import EnvConfig
from finrl_ray.data.chosen_features import market_of_sample
from finrl_ray.data.market_data import MarketData
from finrl_ray.deployment.acting_env import members_env
from finrl_ray.deployment.agent import load_agent
from finrl_ray.deployment.agent_folder import ALIKE, read_agent_folder
from finrl_ray.deployment.onnx_policy.comparing import (
    COMPARED,
    acted_rows,
    compare,
    random_rows,
)
from finrl_ray.deployment.onnx_policy.comparing_ensemble import (
    acted_views,
    compare_ensemble,
    random_views,
)
from finrl_ray.deployment.onnx_policy.ensemble import (
    ensemble_graph,
    input_name,
    members_normalizer,
)
from finrl_ray.deployment.onnx_policy.graph import WRITTEN, policy_graph
from finrl_ray.deployment.onnx_policy.normalizer import (
    Normalizer,
    normalizer_of,
    normalizer_of_env,
)
from finrl_ray.env.make import make_vec_env
from finrl_ray.env.scaling import ObservationScaling
from finrl_ray.env.target_weights import settled_band
from finrl_ray.errors import ConfigError
from finrl_ray.files.atomic import atomic_path
from finrl_ray.support.extras import require_extra

ONNX_FILE = "model.onnx"
"""Its name in an agent's folder."""
_WITHOUT = frozenset({"recurrent_ppo", "crossq"})
_OTHER_POLICIES = frozenset({"MlpLstmPolicy", "MultiInputPolicy", "CnnPolicy"})


def require_onnx(algorithm: str, *, policy: str = "MlpPolicy", who: str = "") -> None:
    """Refuse what cannot be written as ONNX, before anything is trained for it.

    Parameters
    ----------
    algorithm : its name
    policy : `agent.policy`; what a class of the user's own does is known when it is written
    who : the member of an ensemble, for the message

    Raises
    ------
    ConfigError
        If the extra is not installed, or the agent is of an algorithm or a policy that is not
        written.
    """
    require_extra("onnx", "writing an agent as ONNX")
    if algorithm in _WITHOUT or policy in _OTHER_POLICIES:
        told = algorithm if policy == "MlpPolicy" else f"{algorithm} with agent.policy {policy}"
        raise ConfigError(
            f"only agents with {WRITTEN} can be written as ONNX, got {told}"
            f"{f' ({who} of the ensemble)' if who else ''}; leave --onnx out"
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

    An ensemble's file has the policy of every member, and the mean of what they want. Where its
    members see different things it has one input for each `view`, by that name. A row is as wide as
    the longest stack of a member, and frames that are not there yet are NaN. Its output is float32
    of orders, and float64 of weights.

    Parameters
    ----------
    model : of SB3, with an MLP policy or `PerTickerPolicy`; or an ensemble of such models
    target : of the file
    statistics : of the VecNormalize that it was trained under; None: those of the model's own env
        if it has one. An ensemble's members have their own
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
        made = ensemble_graph(onnx, model)
        views = [random_views(model), *([] if env is None else [acted_views(model, env)])]
        content = made.SerializeToString()
        difference = max(compare_ensemble(content, model, one) for one in views)
        compared = sum(len(next(iter(one.values()))) for one in views)
        told = _ensembles_facts(model)
    else:
        normalizer = _normalizer_of(model, statistics)
        made = policy_graph(onnx, model, normalizer)
        rows = [random_rows(model, normalizer)]
        if env is not None:
            rows.append(acted_rows(model, env, normalizer))
        content = made.SerializeToString()
        difference = max(compare(content, model, normalizer, one) for one in rows)
        compared = sum(map(len, rows))
        told = _facts(model, normalizer)
    made.producer_name = "finrl-ray"
    told |= {**(facts or {}), "largest_difference": difference, "compared_on": compared}
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
        As `export_model_file`.
    """
    folder = read_agent_folder(path)
    own = folder.config.agent
    members = read_ensemble(folder.model_path)[0] if folder.facts["members"] else []
    for member in members:
        require_onnx(member.algorithm, who=f"trial {member.trial}")
    if not members:
        require_onnx(own.algorithm, policy=own.policy)
    agent = load_agent(path, trust=trust)  # which runs its own code
    facts = {name: folder.facts[name] for name in ("tickers", "features", "trained")}
    rows = agent.market_of()
    if isinstance(agent.model, EnsembleModel):
        env = bare_env_of_members(members, rows, folder.scalings)
        return export_onnx(
            agent.model, target, facts={**facts, **facts_of_members(members, rows)}, env=env
        )
    env = bare_env(agent.config.env, rows, folder.scalings.get(ALIKE))
    return export_model_file(
        folder.model_path, target, algorithm=own.algorithm, facts=facts, env=env, trust=trust
    )


def bare_env_of_members(
    members: Sequence[SavedMember], rows: MarketData, scalings: Mapping[str, ObservationScaling]
) -> VecEnv:
    """Return an env of one account over the last rows, in which an ensemble acts.

    Parameters
    ----------
    members : of the ensemble
    rows : with the features of all of them
    scalings : of their observations, by view
    """
    return members_env(members, _last_rows(rows), scalings)


def facts_of_members(members: Sequence[SavedMember], rows: MarketData) -> dict[str, Any]:
    """Return what is told of an ensemble's members besides: the features of each input.

    Parameters
    ----------
    members : of the ensemble
    rows : with the features of all of them
    """
    seen = {one.view: list(market_of_sample(rows, one.sample).feature_names) for one in members}
    return {"features_by_input": seen} if len(seen) > 1 else {}


def bare_env(config: EnvConfig, rows: MarketData, scaling: ObservationScaling | None) -> VecEnv:
    """Return an env of one account over the last rows, as `export_onnx` compares in it.

    Parameters
    ----------
    config : of the agent
    rows : with its features
    scaling : of its observations; None: none
    """
    own = config.without_own_reward()
    env: VecEnv = make_vec_env(_last_rows(rows), own, scaling=scaling, training=False)
    return env


def _last_rows(rows: MarketData) -> MarketData:
    return rows.rows(max(rows.warmup, rows.n_periods - COMPARED - 1), rows.n_periods)


def _facts(model: BaseAlgorithm, normalizer: Normalizer | None) -> dict[str, Any]:
    return {
        "algorithm": type(model).__name__,
        "normalised_inside": normalizer is not None,
        "stacked_observations": n_stack_of_model(model),
    }


def _ensembles_facts(model: EnsembleModel) -> dict[str, Any]:
    """Return what is told of an ensemble, with what its account goes by."""
    members = [
        {
            "name": member.name,
            "input": input_name(model, member),
            **_facts(member.model, members_normalizer(member)),
            "trade_rate": member.env.trade_rate,
        }
        for member in model.members
    ]
    told: dict[str, Any] = {
        "algorithm": type(model).__name__,
        "normalised_inside": any(one["normalised_inside"] for one in members),
        "stacked_observations": max(one["stacked_observations"] for one in members),
        "members": members,
    }
    options = [member.env for member in model.members]
    if options[0].type != "portfolio" and options[0].action == "target_weights":
        n_assets = (model.action_space.shape or (1,))[0]
        account = shared_env_config(options, n_assets)
        told["account"] = {
            "trade_rate": account.trade_rate,
            "no_trade_band": settled_band(account.no_trade_band, n_assets),
            "max_weight": account.max_weight,
        }
    return told


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _normalizer_of(model: BaseAlgorithm, statistics: Statistics | None) -> Normalizer | None:
    return normalizer_of_env(model) if statistics is None else normalizer_of(model, statistics)
