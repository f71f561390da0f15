"""When the whole search ends before its planned number of trials."""

import time
from collections.abc import Callable

from ray import tune

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.search.journal.records import ENDED, TrialRecords
from finrl_ray.support.text import counted


def looks_at_each_result(config: ExperimentConfig) -> bool:
    """Return whether any result may end the search, so that none may wait for the next one.

    What ends it by the clock, or by trials that have ended, does not depend on when a result comes.
    """
    return config.search.timesteps_budget is not None or config.search.max_disk_gb is not None


class BudgetStopper(tune.Stopper):
    """Ray Tune stopper that ends a search when its budget is spent or its best stays the same.

    Parameters
    ----------
    records : what the journal says, earlier lives of the search included
    config : the experiment
    no_room : returns why there is no room for more checkpoints, in words; empty while there is

    Attributes
    ----------
    reason : why the search was ended, in words; empty while it goes on
    """

    def __init__(
        self, records: TrialRecords, config: ExperimentConfig, no_room: Callable[[], str] = str
    ) -> None:
        self.records = records
        self.search = config.search
        self.no_room = no_room
        self.reason = records.ended_by
        self.spent_before_s = records.time_s
        self.started_at = time.monotonic()
        self._looked_at = -1

    def __call__(self, trial_id: str, result: dict[str, object]) -> bool:
        """Return False: single trials are the scheduler's."""
        return False

    def stop_all(self) -> bool:
        """Return whether the search is to end."""
        if not self.reason:
            self.reason = (
                self._out_of_time() or self.no_room() or self._out_of_steps_or_no_improvement()
            )
        return bool(self.reason)

    def _out_of_time(self) -> str:
        budget = self.search.time_budget_s
        spent = self.spent_before_s + time.monotonic() - self.started_at
        if budget is None or spent < budget:
            return ""
        return f"the search's time budget of {budget:g} s is spent"

    def _out_of_steps_or_no_improvement(self) -> str:
        if self._looked_at == self.records.number:
            return ""  # nothing has happened since
        self._looked_at = self.records.number
        return self._out_of_steps() or self._no_improvement()

    def _out_of_steps(self) -> str:
        budget = self.search.timesteps_budget
        if budget is None:
            return ""
        spent = sum(record.last.get("timesteps", 0) for record in self.records.trials.values())
        return f"the search's budget of {budget:,} timesteps is spent" if spent >= budget else ""

    def _no_improvement(self) -> str:
        patience = self.search.stop_after_no_improvement
        if patience is None:
            return ""
        ended = [r for r in self.records.trials.values() if r.state in ENDED]
        if len(ended) <= patience:
            return ""
        best, since = float("-inf"), 0
        for record in sorted(ended, key=lambda record: record.ended_at):
            objective = float(record.last.get("objective", float("-inf")))
            wins = objective > best and record.state in ("completed", "stopped")
            best, since = (objective, 0) if wins else (best, since + 1)
        return f"no new best objective in {counted(since, 'trial')}" if since >= patience else ""
