"""The random numbers of several steps, from SB3's streams."""

from operator import attrgetter
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise, VectorizedActionNoise

from finrl_ray._typing import Float32Array

_KIND = attrgetter("_dtype")
"""The dtype of a `NormalActionNoise`, an argument of its constructor that has no public name."""


def reason_against_noise(noise: ActionNoise | None) -> str:
    """Return why action noise cannot be drawn ahead, or an empty text."""
    if noise is None:
        return ""
    each = noise.noises if type(noise) is VectorizedActionNoise else [noise]
    for one in each:
        if type(one) is not NormalActionNoise:
            return f"action_noise is a {type(one).__name__}"
        kind = np.dtype(_KIND(one))
        if kind != np.float32:
            return f"action_noise is of {kind}"
    return ""


class Randomness:
    """The random numbers of steps, drawn one step after the other from SB3's streams.

    Parameters
    ----------
    model : of SAC, TD3 or DDPG
    shape : (E, A)
    """

    def __init__(self, model: Any, shape: tuple[int, int]) -> None:
        self._model, self._shape = model, shape
        self.normal = th.zeros(0, *shape)
        self._rows: list[th.Tensor] = []
        self.sampled: Float32Array = np.zeros((0, *shape), dtype=np.float32)
        self.added: Float32Array = np.zeros((0, *shape), dtype=np.float32)

    def make_room(self, n_steps: int) -> None:
        """Make the arrays for that many steps."""
        self.normal = th.zeros(n_steps, *self._shape)
        self._rows = list(self.normal)
        self.sampled = np.zeros((n_steps, *self._shape), dtype=np.float32)
        self.added = np.zeros((n_steps, *self._shape), dtype=np.float32)

    def draw(
        self, n_steps: int, *, is_sampled: bool, is_normal: bool, noise: ActionNoise | None
    ) -> None:
        """Draw numbers for steps.

        Parameters
        ----------
        is_sampled : the action space samples actions; otherwise a policy chooses them
        is_normal : that policy takes normal numbers
        noise : is added
        """
        if is_sampled:
            space = self._model.action_space
            for row in self.sampled[:n_steps]:
                for account in range(len(row)):
                    row[account] = space.sample()
        elif is_normal:
            # one by one, as the steps draw them: numbers drawn together are others
            for numbers in self._rows[:n_steps]:
                numbers.normal_()
        if noise is not None:
            for row in self.added[:n_steps]:
                row[:] = noise()

    def state(self) -> tuple[Any, ...]:
        """Return where all streams are."""
        generator = self._model.action_space.np_random.bit_generator
        torchs, numpys = th.default_generator.get_state(), np.random.get_state()  # noqa: NPY002  # SB3's stream
        return torchs, numpys, generator.state

    def go_back(self, state: tuple[Any, ...]) -> None:
        """Put all streams where they were."""
        torchs, numpys, samplers = state
        th.default_generator.set_state(torchs)
        np.random.set_state(numpys)  # noqa: NPY002  # SB3's stream
        self._model.action_space.np_random.bit_generator.state = samplers
