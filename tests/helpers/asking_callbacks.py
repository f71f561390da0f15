"""Callbacks that ask for certain steps of a rollout, and do something at them."""

import torch as th
from stable_baselines3.common.callbacks import BaseCallback


class At(BaseCallback):
    """Asks for steps at certain timesteps, and draws from torch's stream at them."""

    def __init__(self, *timesteps: int) -> None:
        super().__init__()
        self.timesteps = timesteps
        self.called: list[tuple[int, int]] = []

    def next_needed_timestep(self, num_timesteps: int) -> int | None:
        return next((at for at in self.timesteps if at > num_timesteps), None)

    def _on_step(self) -> bool:
        return self.num_timesteps not in self.timesteps or self.act()

    def act(self) -> bool:
        th.randn(3)
        self.called.append((self.num_timesteps, self.n_calls))
        return True


class Stop(At):
    """Ends the training there."""

    def act(self) -> bool:
        return False
