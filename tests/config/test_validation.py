"""The `validation` section: what goes together, and how many trainings it means."""

import pytest

from finrl_ray.config.load import parse_config
from finrl_ray.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "paths", "per_path"),
    [
        ({}, 1, 1),
        ({"seeds": 3}, 3, 1),
        ({"scheme": "walk_forward"}, 1, 4),
        ({"scheme": "walk_forward", "n_windows": 5, "seeds": 2}, 2, 5),
        ({"scheme": "cpcv"}, 5, 3),
        ({"scheme": "cpcv", "n_groups": 6, "n_test_groups": 3}, 10, 2),
        ({"scheme": "cpcv", "n_groups": 9, "n_test_groups": 3, "seeds": 2}, 56, 3),
    ],
)
def test_trainings(options, paths, per_path) -> None:
    validation = parse_config({"validation": options}).validation
    assert (validation.n_paths, validation.trainings_per_path) == (paths, per_path)
    assert validation.n_trainings == paths * per_path
    assert validation.has_paths == bool(options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_groups": 4}, "n_groups is an option of cpcv, not of scheme 'one_window'"),
        ({"scheme": "cpcv", "start": "2010-01-01"}, "start is an option of walk_forward, not of"),
        ({"scheme": "cpcv", "n_groups": 5}, "n_test_groups must divide n_groups"),
        ({"scheme": "cpcv", "n_groups": 2}, "and be less than it"),
        ({"scheme": "walk_forward", "n_windows": 0}, "n_windows must be >= 1, got 0"),
        ({"seeds": 0}, "seeds must be >= 1, got 0"),
        ({"scheme": "cpcv", "embargo": -1}, "embargo must be >= 0 rows, got -1"),
        ({"seeds": 1001}, "at most 1000 trainings, got 1,001"),
        ({"objective": "metric"}, "objective is an option of searches with several windows"),
        ({"scheme": "kfold"}, "scheme"),
    ],
)
def test_what_does_not_go_together_is_refused(options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config({"validation": options})


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"search": {"scheduler": {"type": "pbt"}}}, "got 'pbt' and 'random'"),
        ({"search": {"select": "best"}}, "search.select must be 'last'"),
        ({"evaluation": {"max_no_improvement_evals": 1, "eval_freq": 10}}, "evaluated once"),
        (
            {"search": {"scheduler": {"type": "asha", "grace_period": 3}}},
            r"grace_period must be < the paths of a whole trial \(3\), got 3",
        ),
        (
            {"search": {"searcher": "optuna", "objectives": ["sharpe_ratio", "max_drawdown"]}},
            "objectives need validation.objective 'metric'",
        ),
    ],
)
def test_several_trainings_change_what_a_search_can_do(sections, message) -> None:
    parse_config({"validation": {"seeds": 3}})
    with pytest.raises(ConfigError, match=message):
        parse_config({"validation": {"seeds": 3}, **sections})
