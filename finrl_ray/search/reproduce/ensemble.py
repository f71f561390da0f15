"""The account of several trials together, from their checkpoints."""

from collections.abc import Sequence
from pathlib import Path

from finrl_ray._typing import AnyArray
from finrl_ray.agents.model_files import MODEL_FILE
from finrl_ray.data.periods_per_year import config_periods_per_year
from finrl_ray.search.reproduce.archive import ArchivedTrial
from finrl_ray.search.reproduce.rerun import TrialInputs
from finrl_ray.search.results.ensemble_on_folds import judge_on_folds
from finrl_ray.search.results.ensemble_parts import account_values_of, describe_members
from finrl_ray.search.results.returns import fold_frame
from finrl_ray.training.fold_results import read_folds
from finrl_ray.training.own_metrics import metrics_of
from finrl_ray.training.threads import threads_of_a_trial


def ensemble_account(
    inputs: TrialInputs, trials: Sequence[ArchivedTrial], places: Sequence[Path]
) -> AnyArray:
    """Return the account of trials that act together, on the days that they are judged on.

    Parameters
    ----------
    inputs : what the trials read
    trials : the one that ranks first before the others
    places : checkpoint of each

    Returns
    -------
    array of shape (days,)
        Account values on the validation window; where trials train several times the returns of
        every fold that all of them have done.
    """
    market = inputs.development
    members = describe_members(
        inputs.config,
        market,
        [trial.sample for trial in trials],
        trials=[trial.trial for trial in trials],
        ranks=range(1, len(trials) + 1),
    )
    with threads_of_a_trial(inputs.config):
        if inputs.plan is None:
            models = [place / MODEL_FILE for place in places]
            return account_values_of(members, models, inputs.train_data, inputs.validation_data)
        done = judge_on_folds(
            members,
            places,
            market,
            inputs.plan,
            folds=[read_folds(place) for place in places],
            periods_per_year=config_periods_per_year(inputs.config, market.dates),
            risk_free_rate=inputs.config.evaluation.risk_free_rate,
            own_metrics=metrics_of(inputs.config),
        )
        returns: AnyArray = fold_frame(done)["return"].to_numpy()
        return returns
