"""The latest steps of a run, in an array that does not grow."""

import numpy as np

from finrl_ray.agents.callbacks.step_ring import StepRing


def pushed(capacity: int, n: int) -> StepRing:
    ring = StepRing(capacity)
    for step in range(n):
        ring.push(np.full((2, 3), step))
    return ring


def test_the_latest_steps_stay_in_order() -> None:
    assert pushed(4, 3).values()[:, 0, 0].tolist() == [0, 1, 2]
    assert pushed(4, 4).values()[:, 0, 0].tolist() == [0, 1, 2, 3]
    assert pushed(4, 7).values()[:, 0, 0].tolist() == [3, 4, 5, 6]
    assert len(pushed(4, 7)) == 4


def test_a_step_is_copied() -> None:
    row = np.zeros(2)
    ring = StepRing(3)
    ring.push(row)
    row[:] = 9
    assert ring.values().tolist() == [[0, 0]]


def test_a_restored_ring_goes_on() -> None:
    ring = StepRing(4)
    ring.set_state(pushed(4, 7).get_state())
    ring.push(np.full((2, 3), 7))
    assert ring.values()[:, 0, 0].tolist() == [4, 5, 6, 7]
    empty = StepRing(4)
    empty.set_state(StepRing(4).get_state())
    assert len(empty) == len(empty.values()) == 0
