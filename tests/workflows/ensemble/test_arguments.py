"""Which algorithms take part, and for how many steps."""

import numpy as np

from finrl_ray.workflows.ensemble.arguments import training_arguments

NONE = {"a2c": None, "ppo": None, "ddpg": None, "sac": None, "td3": None}


def test_whole_numbers_of_any_type_are_steps() -> None:
    steps = {"a2c": 1e4, "ppo": np.int64(300), "sac": 7}
    chosen, found = training_arguments({**NONE, "a2c": {}, "ppo": {}}, steps)
    assert list(chosen) == ["a2c", "ppo"]
    assert found == {"a2c": 10_000, "ppo": 300}
    assert all(type(value) is int for value in found.values())


def test_finrls_older_call_has_the_steps_in_the_fourth_place() -> None:
    given = {**NONE, "a2c": {}, "ppo": {}, "ddpg": None, "sac": {"a2c": 5, "ppo": 6, "ddpg": 7}}
    chosen, steps = training_arguments(given, None)
    assert list(chosen) == ["a2c", "ppo"]
    assert steps == {"a2c": 5, "ppo": 6}
