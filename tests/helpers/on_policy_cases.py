"""Small PPO and A2C models on the env of `off_policy_cases`, and what they do in training."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch as th
from off_policy_cases import make_env
from stable_baselines3.common.callbacks import BaseCallback

from finrl_ray.agents.state.training_state import capture_state
from finrl_ray.learners.base import sb3_class
from finrl_ray.learners.on_policy import compiled_rollouts

SIZES: dict[str, dict[str, Any]] = {
    "PPO": {"n_steps": 24, "batch_size": 16, "n_epochs": 3},
    "A2C": {"n_steps": 5},
}
SEEN = (
    *("actions", "clipped_actions", "values", "log_probs", "rewards", "dones", "new_obs"),
    *("obs_tensor", "n_steps"),
)


def make_model(
    model_class: Any,
    n_envs: int = 1,
    *,
    normalize: bool = False,
    policy: Any = "MlpPolicy",
    env: dict[str, Any] | None = None,
    **changes: Any,
) -> Any:
    probe = model_class.__mro__
    name = next(kind.__name__ for kind in probe if kind.__name__ in SIZES)
    settings: dict[str, Any] = {
        **SIZES[name],
        "learning_rate": lambda progress: 3e-3 * progress,
        "ent_coef": 0.01,
        "policy_kwargs": {"net_arch": [16, 24]},
        "seed": 3,
        "device": "cpu",
    }
    settings.update(copy.deepcopy(changes))  # SB3 writes into policy_kwargs
    return model_class(policy, make_env(n_envs, normalize=normalize, **env or {}), **settings)


class Watch(BaseCallback):
    """Keeps what a callback sees at each step, the rollouts, and everything logged in training."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []
        self.rollouts: list[Any] = []

    def _on_step(self) -> bool:
        self.seen.append({name: copy.deepcopy(self.locals[name]) for name in SEEN})
        return True

    def _on_rollout_end(self) -> None:
        buffer = self.locals["rollout_buffer"]
        names = ("observations", "actions", "values", "log_probs", "advantages", "returns")
        arrays = {name: np.copy(getattr(buffer, name)) for name in names}
        known = self.logger.name_to_value
        logged = {name: value for name, value in known.items() if name.startswith("train")}
        self.rollouts.append({**arrays, "logged": logged})


def trained(model: Any, n_steps: int = 100) -> dict[str, Any]:
    """Return everything about a model after some training, and about what it did."""
    watch = Watch()
    model.learn(n_steps, callback=watch)
    seen = {"algorithm": sb3_class(model).__name__, "seen": watch.seen, "rollouts": watch.rollouts}
    logged = {k: v for k, v in model.logger.name_to_value.items() if k.startswith("train")}
    return {**capture_state(model), **seen, "logged": logged}


def set_log_std(model: Any, value: float) -> None:
    with th.no_grad():
        model.policy.log_std.fill_(value)


@contextmanager
def steps_interrupted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let Ctrl-C come when compiled steps have been taken and nobody has counted them."""
    run_steps = compiled_rollouts.run_steps

    def interrupted(*given: Any) -> Any:
        run_steps(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(compiled_rollouts, "run_steps", interrupted)
        yield
