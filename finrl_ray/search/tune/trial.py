"""`SearchTrial`: Ray's trial with other rules for failures, and without a place in Ray's snapshots.

The loss of a node does not count as a failure of the trial, and a trial whose training has diverged
is not tried again.
"""

from typing import Any

from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError

from finrl_ray.cluster.tune_internals import TrialHooks
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.files.disk_full import disk_full_error, is_disk_full
from finrl_ray.training.divergence import TrialDivergedError

NODE_LOSSES = 10
"""Nodes that one trial may lose before the next loss counts: the trial may be what kills them."""


class SearchTrial(TrialHooks):
    """A trial that a dead node does not use up the attempts of, and that Ray's snapshots lack.

    Parameters
    ----------
    trainable_name, kwargs : Ray's
    trainable_class : what is registered under the name

    Attributes
    ----------
    node_losses : nodes that died under it
    last_failure_counted : whether the latest failure was the trial's own
    has_diverged : whether its parameters or its account have ceased to be numbers that can be held,
        or its config and data do not go together, as they would again
    """

    node_losses = 0
    last_failure_counted = True
    has_diverged = False

    def __init__(self, trainable_name: str, *, trainable_class: Any, **kwargs: Any) -> None:
        self.trainable_class = trainable_class
        super().__init__(trainable_name, **kwargs)

    def get_trainable_cls(self) -> Any:
        """Return what the trial runs, without Ray's question to its head node."""
        return self.trainable_class

    def get_json_state(self) -> tuple[str, str]:
        """Return nothing: Ray's snapshots are never read, and take milliseconds per trial."""
        return "{}", "{}"

    def handle_error(self, exc: Any = None) -> None:
        """Count a failure.

        Raises
        ------
        DiskFullError
            If a disk has no room: no trial could go on, so that the whole search is interrupted.
        """
        cause = exc.cause if isinstance(exc, RayTaskError) else exc
        if is_disk_full(exc):
            raise disk_full_error("a file of a trial", cause, [], "Make room on its node") from exc
        self.note_cause(cause)
        super().handle_error(exc)

    def note_cause(self, cause: BaseException | None) -> None:
        """Note whether an error would come again however often the trial is tried."""
        self.has_diverged = isinstance(cause, TrialDivergedError | DataError | ConfigError)

    def should_recover(self) -> bool:
        """Return whether the trial is to be tried again after the failure counted last."""
        again: bool = super().should_recover()  # type: ignore[no-untyped-call]  # Ray's
        return again and not self.has_diverged

    def counts_loss(self, exc: RayActorError) -> bool:
        """Return whether the loss of its process is a failure of the trial; note that it was."""
        lost = lost_with_its_node(exc) and self.node_losses < NODE_LOSSES
        self.last_failure_counted = not lost
        if lost:
            self.node_losses += 1
        return not lost


def lost_with_its_node(error: RayActorError) -> bool:
    """Return whether an actor was lost because its node died or cannot be reached."""
    text = str(error)
    return isinstance(error, ActorUnavailableError) or "node has died" in text
