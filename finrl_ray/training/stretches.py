"""One configuration trained on some rows from scratch, stretch after stretch; nothing is judged.

Most trials have one stretch. Under population based training a trial goes on from another one's
checkpoint with other hyperparameters, so that what it has become was trained in several.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from finrl_ray.agents.hyperparameters import TrialSettings, resolve_sample, trial_seed
from finrl_ray.agents.state.training_state import capture_state, learn_from, restore_state
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.data.chosen_features import market_of_sample
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.scaling import ObservationScaling, fitted_scaling
from finrl_ray.training.agent import make_training_env
from finrl_ray.training.build_model import build_model, device_of
from finrl_ray.training.divergence import check_finite
from finrl_ray.training.own_agent import OwnCallbacks


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of a training with one set of hyperparameters.

    Parameters
    ----------
    sample : hyperparameters and options, as a trial has them
    until : timesteps at which it ends, counted from the start of the training: it is left at the
        first safe point from there on; None: at `agent.total_timesteps`
    """

    sample: Mapping[str, Any]
    until: int | None = None


def train_stretches(
    stretches: Sequence[Stretch], config: ExperimentConfig, rows: MarketData
) -> BaseAlgorithm:
    """Return a model trained on some rows along the stretches, with its training env.

    Each stretch has the env, the scaling and the seed that a trial with its sample has on these
    rows; the model, the accounts and the statistics of VecNormalize go on from the one before.

    Parameters
    ----------
    stretches : at least one, in the order of training
    config : of the search
    rows : with every feature that a sample may choose; no others are read

    Raises
    ------
    TrialDivergedError
        When a parameter of the networks is NaN or infinite.
    """
    trained: tuple[BaseAlgorithm, OwnCallbacks] | None = None
    state = None
    for stretch in stretches:
        trial = config_of_sample(config, stretch.sample)
        seen = market_of_sample(rows, stretch.sample)
        if trained is not None:
            # before the next model is built, which seeds the random streams
            state = capture_state(trained[0]), trained[1].get_state()
            _close(trained[0])
        trained = train_stretch(
            resolve_sample(stretch.sample, trial.agent),
            trial,
            seen,
            fitted_scaling(trial.env, seen),
            trial_seed(config.seed, stretch.sample),
            until=stretch.until,
            state=state,
        )
    if trained is None:
        raise ValueError("stretches must hold at least one, got none")
    return trained[0]


def train_stretch(
    settings: TrialSettings,
    config: ExperimentConfig,
    train_data: MarketData,
    scaling: ObservationScaling | None,
    seed: int,
    *,
    until: int | None = None,
    state: tuple[dict[str, Any], dict[str, Any]] | None = None,
) -> tuple[BaseAlgorithm, OwnCallbacks]:
    """Train one stretch; return its model with its training env, and the user's callbacks.

    Parameters
    ----------
    settings : hyperparameters, as `resolve_sample` returned them
    config : the experiment
    train_data : the rows
    scaling : what `fitted_scaling` gives for them
    seed : of the training
    until : timesteps at which it is left, at the next safe point; None: at the end of the training
    state : of the model and of the callbacks that it goes on from; None: from scratch

    Raises
    ------
    TrialDivergedError
        When a parameter of the networks is NaN or infinite.
    """
    env = make_training_env(config, settings, seed, train_data, scaling)
    model = build_model(config, settings, env, seed, device=device_of(config))
    own = OwnCallbacks(config.agent)
    total = config.agent.total_timesteps
    end = total if until is None else until
    try:
        if state is not None:
            restore_state(model, state[0])
            own.set_state(state[1])
        learn_from(
            model,
            total,
            own,
            lambda model: _finite(model) and not own.stopped_by and model.num_timesteps < end,
        )
        check_finite(model)
    except ValueError as error:
        check_finite(model, error)
        raise
    return model, own


def _close(model: BaseAlgorithm) -> None:
    if model.env is not None:
        model.env.close()


def _finite(model: BaseAlgorithm) -> bool:
    check_finite(model)
    return True
