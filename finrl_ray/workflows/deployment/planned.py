"""What an agent is trained from, and what comes of it: enough to do it again without a search."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from finrl_ray.agents.ensemble_model.files import SavedMember, save_ensemble
from finrl_ray.agents.hyperparameters import trial_seed
from finrl_ray.agents.model_files import MODEL_FILE
from finrl_ray.agents.models import save_model
from finrl_ray.agents.normalization import VECNORMALIZE_FILE
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.data.chosen_features import market_of_sample
from finrl_ray.data.market_data import MarketData
from finrl_ray.deployment.agent_folder import ALIKE
from finrl_ray.env.scaling import ObservationScaling, fitted_scaling
from finrl_ray.search.results.ensemble_parts import describe_members
from finrl_ray.support.progress import Progress, no_progress
from finrl_ray.training.stretches import Stretch, train_stretches
from finrl_ray.training.threads import threads_of_a_trial


@dataclass(frozen=True, kw_only=True)
class PlannedTrial:
    """A trial that is trained once more.

    Parameters
    ----------
    trial : its number
    rank : in its search, from 1; None where it has none
    sample : that it acts with, in plain values
    stretches : how it is trained
    """

    trial: int
    rank: int | None
    sample: Mapping[str, Any]
    stretches: tuple[Stretch, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class AgentPlan:
    """An agent that is still to be trained.

    Parameters
    ----------
    config : of the search
    trials : one, or those of an ensemble, the one that ranks first before the others
    together : whether they are an ensemble
    """

    config: ExperimentConfig
    trials: tuple[PlannedTrial, ...]
    together: bool


@dataclass(frozen=True, kw_only=True)
class OneTraining:
    """A training that has ended.

    Parameters
    ----------
    file : the model's zip file, with the statistics of VecNormalize in it where it has some
    seed : of the training; of a trial of population based training that of its first ancestor
    timesteps : that it was trained for
    """

    file: Path
    seed: int
    timesteps: int


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedAgent:
    """A trained agent, on its way into a folder.

    Parameters
    ----------
    model : its zip file, or the folder of its ensemble
    seen : the rows that it was trained on; with the features that it sees
    scalings : of observations, by view, fitted on these rows
    members : of an ensemble; empty for one trial
    trainings : one for each trial
    """

    model: Path
    seen: MarketData
    scalings: Mapping[str, ObservationScaling]
    members: tuple[SavedMember, ...]
    trainings: tuple[OneTraining, ...]


def train_planned(
    plan: AgentPlan, rows: MarketData, place: Path, progress: Progress = no_progress
) -> TrainedAgent:
    """Train an agent from scratch in this process, where its own code runs already.

    Parameters
    ----------
    plan : what is trained
    rows : that are trained on, with every feature that a trial may see; no others are read
    place : an empty folder, into which models are written
    progress : told before each training

    Raises
    ------
    TrialDivergedError
        When a parameter of the networks is NaN or infinite.
    """
    done = []
    with threads_of_a_trial(plan.config):
        for number, planned in enumerate(plan.trials):
            progress(f"training trial {planned.trial}", number, len(plan.trials))
            done.append(_train_one(plan.config, planned, rows, place / f"trial_{planned.trial}"))
    progress("trained", len(plan.trials), len(plan.trials))
    if plan.together:
        return _joined(plan, rows, done, place / "members")
    sample = plan.trials[0].sample
    seen = market_of_sample(rows, sample)
    fitted = fitted_scaling(config_of_sample(plan.config, sample).env, seen)
    return TrainedAgent(
        model=done[0].file,
        seen=seen,
        scalings={} if fitted is None else {ALIKE: fitted},
        members=(),
        trainings=tuple(done),
    )


def _train_one(
    config: ExperimentConfig, planned: PlannedTrial, rows: MarketData, place: Path
) -> OneTraining:
    model = train_stretches(planned.stretches, config, rows)
    place.mkdir(parents=True)
    save_model(model, place / MODEL_FILE)
    normalizer = model.get_vec_normalize_env()
    if normalizer is not None:
        normalizer.save(str(place / VECNORMALIZE_FILE))
    if model.env is not None:
        model.env.close()
    return OneTraining(
        file=place / MODEL_FILE,
        seed=trial_seed(config.seed, planned.stretches[0].sample),
        timesteps=int(model.num_timesteps),
    )


def _joined(
    plan: AgentPlan, rows: MarketData, done: Sequence[OneTraining], place: Path
) -> TrainedAgent:
    """Return the ensemble of trainings that have ended, whose members may each see other things."""
    members = describe_members(
        plan.config,
        rows,
        [planned.sample for planned in plan.trials],
        trials=[planned.trial for planned in plan.trials],
        ranks=[planned.rank or 0 for planned in plan.trials],
    )
    save_ensemble(place, list(zip(members, [one.file for one in done], strict=True)), {})
    scalings, names = {}, set()
    for member in members:
        own = market_of_sample(rows, member.sample)
        names |= set(own.feature_names)
        fitted = fitted_scaling(member.env, own)
        if fitted is not None:
            scalings[member.view] = fitted
    return TrainedAgent(
        model=place,
        seen=rows.with_features([name for name in rows.feature_names if name in names]),
        scalings=scalings,
        members=tuple(members),
        trainings=tuple(done),
    )
