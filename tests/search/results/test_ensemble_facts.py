"""What is said of an ensemble."""

import json
import math

from finrl_ray.search.results.ensemble_facts import EnsembleFacts

FACTS = EnsembleFacts(
    trials=(3, 0, 5),
    wanted=4,
    score=2.314,
    first_score=2.0,
    ranked_by="appraisal ratio",
    measures={
        "sharpe_ratio": 1.5,
        "max_drawdown": -0.123,
        "exposure": 0.8,
        "turnover": math.nan,
    },
    notes=("search.ensemble asks for 4 trials, and 3 trials can be in it",),
)


def test_it_is_said_who_is_in_it_and_how_it_compares_with_its_first() -> None:
    assert FACTS.sentences() == [
        "the winner is the ensemble of trials 3, 0 and 5: one account that does the mean of what "
        "they want, and one look more in N",
        "its appraisal ratio is 2.31 (trial 3 alone: 2.00), Sharpe ratio 1.50, largest drawdown "
        "-12.3%, 80% invested",
        "search.ensemble asks for 4 trials, and 3 trials can be in it",
    ]


def test_it_is_the_same_after_json() -> None:
    back = EnsembleFacts.from_dict(json.loads(json.dumps(FACTS.to_dict())))
    assert back.sentences() == FACTS.sentences()
    assert back.trials == FACTS.trials
    assert math.isnan(back.measures["turnover"])


def test_one_trial_alone_is_said_to_be_one() -> None:
    alone = EnsembleFacts(
        trials=(2,), wanted=3, score=None, first_score=None, ranked_by="objective", measures={}
    )
    assert alone.name == "the ensemble of trial 2 alone"
    assert alone.sentences()[1] == "its objective is not known"
