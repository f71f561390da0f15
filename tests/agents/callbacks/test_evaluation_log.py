"""What evaluations have found, as it is written."""

import math

import numpy as np

from finrl_ray.agents.callbacks.evaluation_log import EvaluationLog
from finrl_ray.agents.rollout import Episode


def test_an_evaluation_may_lack_a_measure_that_another_has(tmp_path) -> None:
    """An account that has become infinite has no exposure; logs of earlier versions lack more."""
    log = EvaluationLog()
    for timesteps, measures in (
        (10, {"sharpe_ratio": 1.0}),
        (20, {"sharpe_ratio": 2.0, "exposure": 0.5}),
        (30, {"sharpe_ratio": math.nan}),
    ):
        log.append(timesteps, measures, "", [Episode(history=None, reward=0.0, length=3)])
    assert log.history("sharpe_ratio")[:2] == [1.0, 2.0]
    np.testing.assert_array_equal(log.history("exposure"), [math.nan, 0.5, math.nan])
    log.save(tmp_path / "evaluations.npz")
    with np.load(tmp_path / "evaluations.npz") as file:
        np.testing.assert_array_equal(file["exposure"], [math.nan, 0.5, math.nan])
        np.testing.assert_array_equal(file["sharpe_ratio"], [1.0, 2.0, math.nan])
