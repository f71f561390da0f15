"""Which rows each agent of a chain is trained on and trades: never one after its first trade."""

import pytest

from finrl_ray.config.after_search.deploy import RetrainConfig
from finrl_ray.errors import ConfigError
from finrl_ray.workflows.deployment.steps import Step, steps_of


def test_steps_by_hand() -> None:
    growing = steps_of(10, 30, 46, RetrainConfig(every=6))
    assert growing == [
        Step(number=1, train=(10, 30), trade=(30, 36)),
        Step(number=2, train=(10, 36), trade=(36, 42)),
        Step(number=3, train=(10, 42), trade=(42, 45)),  # row 45 values the account
    ]
    rolling = steps_of(10, 30, 46, RetrainConfig(every=6, window="rolling"))
    assert [step.train for step in rolling] == [(10, 30), (16, 36), (22, 42)]
    assert [step.trade for step in rolling] == [step.trade for step in growing]


@pytest.mark.parametrize("every", [1, 7, 63, 1_000])
@pytest.mark.parametrize("window", ["growing", "rolling"])
def test_every_row_is_decided_once_by_an_agent_of_its_past(every, window) -> None:
    steps = steps_of(5, 105, 300, RetrainConfig(every=every, window=window))
    decided = [row for step in steps for row in range(*step.trade)]
    assert decided == list(range(105, 299))
    assert all(step.train[1] == step.trade[0] for step in steps)
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    lengths = {step.train[1] - step.train[0] for step in steps}
    assert lengths == {100} if window == "rolling" else min(lengths) == 100


@pytest.mark.parametrize(("first", "begin", "end"), [(10, 11, 40), (10, 40, 41), (10, 5, 40)])
def test_too_few_rows_are_refused(first, begin, end) -> None:
    with pytest.raises(ConfigError, match="a chain needs at least 2 rows to train"):
        steps_of(first, begin, end, RetrainConfig())
