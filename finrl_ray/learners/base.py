"""What all learners share: which of SB3's, the exact and the fused one a model really uses."""

import copy
import logging
from typing import Any, ClassVar

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm

from finrl_ray._typing import AnyArray
from finrl_ray.learners.forward.policy import are_rows, compiled_actions

logger = logging.getLogger(__name__)

SB3, EXACT, FUSED = "sb3", "exact", "fused"

_logged: set[tuple[str, str]] = set()


class Learner(BaseAlgorithm):
    """Part of a subclass of an SB3 algorithm that does the same work with less overhead.

    Such a model is an SB3 model: its policy, optimizers, buffers, files and callbacks are SB3's.
    After the set-up, `learner` says what it uses: "fused", "exact", or "sb3" where its settings
    need SB3's own code; the log says why.
    """

    wanted: ClassVar[str] = EXACT
    """The learner of this class, where the model's settings permit it."""
    own_attributes: ClassVar[tuple[str, ...]] = ()
    """Attributes of the learner, which no saved model holds."""
    learner: str = SB3

    def _setup_model(self) -> None:
        super()._setup_model()  # type: ignore[safe-super]  # of the SB3 class beside this one
        self.learner = SB3
        reason = self._reason_against_exact()
        if reason:
            self._log_once(reason)
            return
        self._prepare_exact()
        self.learner = EXACT
        if self.wanted != FUSED:
            return
        reason = self._reason_against_fused()
        if reason:
            self._log_once(reason)
            return
        self._prepare_fused()
        self.learner = FUSED

    def __deepcopy__(self, memo: dict[int, Any]) -> "Learner":
        """Return a copy that trains as this one would, on arrays of its own.

        The learner's memory is made anew: it consists of views of the parameters, of addresses and
        of what belongs to them, none of which can be copied one by one.
        """
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        for name, value in vars(self).items():
            if name not in self.own_attributes:
                made.__dict__[name] = copy.deepcopy(value, memo)
        if self.learner != SB3:
            made._prepare_exact()
        if self.learner == FUSED:
            made._prepare_fused()
        return made

    def _reason_against_exact(self) -> str:
        """Return why this model needs SB3's own code, or an empty text."""
        raise NotImplementedError

    def _prepare_exact(self) -> None:
        raise NotImplementedError

    def _reason_against_fused(self) -> str:
        """Return why this model cannot use the fused learner, or an empty text."""
        raise NotImplementedError

    def _prepare_fused(self) -> None:
        raise NotImplementedError

    def _best_actions(self, observations: th.Tensor) -> th.Tensor:
        """Return the policy's deterministic actions (E, A), as SB3's policy gives them.

        The numbers are SB3's, bit for bit: an agent is evaluated in training and again from its
        saved model, and an action that is rounded to another whole share is another trade.
        """
        raise NotImplementedError

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[AnyArray, Any]:
        """Return the policy's actions, as SB3 does; batches of float32 rows take less time."""
        if not deterministic or self.learner == SB3 or not are_rows(self, observation):
            return super().predict(observation, state, episode_start, deterministic)
        compiled = compiled_actions(self, observation)
        if compiled is not None:
            return compiled, state
        with th.no_grad():
            # a copy, as SB3 makes one: rows cut out of an array may start at any multiple of 4
            # bytes, and on some processors the last bits of a product depend on that address
            actions = self._best_actions(th.from_numpy(np.array(observation))).numpy()
        if np.isnan(actions.sum()):  # SB3 raises the error for NaN
            return super().predict(observation, state, episode_start, deterministic)
        if self.policy.squash_output:
            return self.policy.unscale_action(actions), state
        space: Any = self.action_space
        return np.clip(actions, space.low, space.high), state

    def _log_once(self, reason: str) -> None:
        """Say in the log, once per process, why a slower learner is used."""
        name = type(self).__name__
        if (name, reason) not in _logged:
            _logged.add((name, reason))
            logger.warning(
                "%s learns with the %s learner instead of the %s one: %s",
                name,
                self.learner,
                self.wanted,
                reason,
            )

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "learner", *self.own_attributes]


def sb3_class(model: BaseAlgorithm) -> type[BaseAlgorithm]:
    """Return the class of SB3 (or of another package) that a model's learner stands in for."""
    kinds: list[type[Any]] = [
        kind for kind in type(model).__mro__ if issubclass(kind, BaseAlgorithm)
    ]
    return next(kind for kind in kinds if not issubclass(kind, Learner))
