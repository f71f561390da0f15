"""The policy of an agent that was just trained, as ONNX beside its model."""

from pathlib import Path

from finrl_ray.agents.ensemble_model.files import load_ensemble
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.data.labels import date_label
from finrl_ray.deployment.agent_folder import ALIKE
from finrl_ray.deployment.onnx_policy.export import (
    ONNX_FILE,
    bare_env,
    bare_env_of_members,
    export_model_file,
    export_onnx,
    facts_of_members,
    require_onnx,
)
from finrl_ray.workflows.deployment.planned import AgentPlan, TrainedAgent


def as_onnx(scratch: Path, config: ExperimentConfig, agent: TrainedAgent) -> Path:
    """Write the policy of a model's file as ONNX into a folder, and return the file.

    Parameters
    ----------
    scratch : the folder
    config : of the agent
    agent : as it was trained; on its last rows the file is compared with it

    Raises
    ------
    ConfigError
        As `export_onnx`.
    """
    file, seen = scratch / ONNX_FILE, agent.seen
    facts = {
        "tickers": list(seen.tickers),
        "features": list(seen.feature_names),
        "trained": {"first": date_label(seen.dates[0]), "last": date_label(seen.dates[-1])},
    }
    if agent.members:
        export_onnx(
            load_ensemble(agent.model),
            file,
            facts={**facts, **facts_of_members(agent.members, seen)},
            env=bare_env_of_members(agent.members, seen, agent.scalings),
        )
        return file
    env = bare_env(config.env, seen, agent.scalings.get(ALIKE))
    export_model_file(agent.model, file, algorithm=config.agent.algorithm, facts=facts, env=env)
    return file


def require_as_onnx(plan: AgentPlan) -> None:
    """Refuse an agent that cannot be written as ONNX, before it is trained.

    Raises
    ------
    ConfigError
        If the extra is not installed, or a trial is of an algorithm or a policy that is not
        written.
    """
    for planned in plan.trials:
        own = config_of_sample(plan.config, planned.sample).agent
        who = f"trial {planned.trial}" if plan.together else ""
        require_onnx(own.algorithm, policy=own.policy, who=who)
