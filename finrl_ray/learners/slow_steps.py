"""Why a learner takes the steps of its rollouts in Python, said once for each reason."""

import logging
from typing import ClassVar

from stable_baselines3.common.callbacks import BaseCallback

from finrl_ray.learners.awaited_steps import METHOD


class TellsSlowSteps:
    """Part of learners with compiled rollouts: what keeps Python at every step is logged once."""

    _slow_logger: ClassVar[logging.Logger]
    _slow_reasons: frozenset[str] = frozenset()

    def _say_watched(self, watcher: BaseCallback) -> None:
        """Say that a callback looks at every step; to a user, what it can do instead."""
        kind = type(watcher)
        own = kind.__module__.partition(".")[0] == __name__.partition(".")[0]
        remedy = "" if own else f"; it can say which it needs by {METHOD} (docs/callbacks.md)"
        reason = f"callback {kind.__name__} looks at every step{remedy}"
        self._say_slow(reason, logging.INFO if own else logging.WARNING)

    def _say_slow(self, reason: str, level: int) -> None:
        if reason not in self._slow_reasons:
            self._slow_reasons |= {reason}
            name = type(self).__name__
            self._slow_logger.log(
                level, "%s takes the steps of its rollouts in Python: %s", name, reason
            )
