"""What an ensemble comes to where its trials train several times: fold by fold.

On each fold act the models that the trials have trained for it, which lie in their checkpoints.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from finrl_ray.agents.ensemble_model.files import SavedMember, load_members
from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.windows.folds import Fold, ValidationPlan
from finrl_ray.env.account_history import AccountHistory
from finrl_ray.own_code.metric import OwnMetric
from finrl_ray.search.folder.checkpoints import CheckpointStorage
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.results.ensemble_parts import account_options, ensembles_env
from finrl_ray.search.results.table import chosen_checkpoint
from finrl_ray.training.fold_models import fold_model_file
from finrl_ray.training.fold_results import FoldResult
from finrl_ray.training.folds import judge_fold
from finrl_ray.training.own_metrics import metrics_of


def judge_on_folds(
    members: Sequence[SavedMember],
    places: Sequence[Path],
    market_data: MarketData,
    plan: ValidationPlan,
    *,
    folds: Sequence[Sequence[FoldResult]],
    periods_per_year: float,
    risk_free_rate: float = 0.0,
    own_metrics: Sequence[OwnMetric] = (),
) -> list[FoldResult]:
    """Return what an ensemble comes to on each fold that all of its trials have done.

    On each fold act the models that the trials have trained for it.

    Parameters
    ----------
    members : of the ensemble
    places : folder of the checkpoint of each, with its models
    market_data : the rows that folds are of
    plan : the folds
    folds : what each member has come to
    periods_per_year : periods/year
    risk_free_rate : 1/year
    own_metrics : of the user
    """
    account = account_options(members, market_data.n_assets)
    return [
        judge_fold(
            _Actor(members, [p / fold_model_file(number) for p in places], market_data, fold),
            account,
            market_data,
            fold,
            number=number,
            seed=folds[0][number].seed,
            timesteps=sum(one[number].timesteps for one in folds),
            periods_per_year=periods_per_year,
            risk_free_rate=risk_free_rate,
            own_metrics=own_metrics,
        )
        for number, fold in enumerate(plan.folds[: min(map(len, folds))])
    ]


def judge_records_on_folds(
    folder: SearchFolder,
    members: Sequence[SavedMember],
    records: Sequence[TrialRecord],
    storage: CheckpointStorage,
    folds: Mapping[int, Sequence[FoldResult]],
) -> list[FoldResult]:
    """Return `judge_on_folds` of trials of a folder, each with its last checkpoint.

    Parameters
    ----------
    folder : whose trials have trained several times
    members : what they are
    records : the trials
    storage : of their checkpoints
    folds : what each trial has come to, by its number
    """
    plan = folder.plan
    assert plan is not None
    with ExitStack() as stack:
        places = [
            stack.enter_context(storage.on_disk(chosen_checkpoint(record, storage)))
            for record in records
        ]
        return judge_on_folds(
            members,
            places,
            folder.development,
            plan,
            folds=[folds[record.index] for record in records],
            periods_per_year=folder.periods_per_year,
            risk_free_rate=folder.config.evaluation.risk_free_rate,
            own_metrics=metrics_of(folder.config),
        )


class _Actor:
    """Acts with the members' models of one fold.

    Parameters
    ----------
    members : of the ensemble
    models : file of each
    market_data : the rows that folds are of
    fold : that the models were trained for
    """

    def __init__(
        self,
        members: Sequence[SavedMember],
        models: Sequence[Path],
        market_data: MarketData,
        fold: Fold,
    ) -> None:
        self.members = members
        self.model = load_members([(m, f, None) for m, f in zip(members, models, strict=True)])
        self.train_data = market_data.take(fold.train)

    def __call__(self, judged: MarketData) -> AccountHistory:
        """Return the account over some rows."""
        (history,) = evaluate_account(
            self.model, ensembles_env(self.members, self.train_data, judged)
        )
        return history
