"""`TimestepInterval`: when a callback acts, counted in timesteps whatever the number of envs."""

from typing import Any

import numpy as np

from finrl_ray.errors import ConfigError


class TimestepInterval:
    """Fires on the first step at or past each multiple of `freq` timesteps.

    SB3's own callbacks count calls, of which one stands for `n_envs` timesteps.

    Parameters
    ----------
    name : the argument's name, for the error
    freq : timesteps, summed over the accounts, a whole number >= 1

    Raises
    ------
    ConfigError
        If `freq` is not a whole number >= 1.
    """

    def __init__(self, name: str, freq: int) -> None:
        whole = isinstance(freq, int | np.integer) and not isinstance(freq, bool)
        if not whole or freq < 1:
            raise ConfigError(f"{name} must be a whole number of timesteps >= 1, got {freq!r}")
        self.freq = int(freq)
        self._next = self.freq
        self._restored = False

    def start(self, num_timesteps: int) -> None:
        """Begin a run of training at `num_timesteps`; a state that was just restored is kept."""
        # one callback may serve several calls of learn, each counting from another number
        if not self._restored:
            self._next = (num_timesteps // self.freq + 1) * self.freq
        self._restored = False

    def is_due(self, num_timesteps: int) -> bool:
        """Return whether the next multiple has been reached."""
        return num_timesteps >= self._next

    @property
    def next_due(self) -> int:
        """The timesteps that are waited for, in all."""
        return self._next

    def advance(self, num_timesteps: int) -> None:
        """Wait for the first multiple after `num_timesteps`."""
        self._next = (num_timesteps // self.freq + 1) * self.freq

    def take(self, num_timesteps: int) -> bool:
        """Return whether the next multiple has been reached, and if so wait for the one after."""
        due = self.is_due(num_timesteps)
        if due:
            self.advance(num_timesteps)
        return due

    def get_state(self) -> dict[str, Any]:
        """Return what `set_state` needs."""
        return {"next": self._next}

    def set_state(self, state: dict[str, Any]) -> None:
        """Wait for the multiple that was waited for when `get_state` was called."""
        self._next = int(state["next"])
        self._restored = True
