"""Ray's trial but for two things: a lost node is not its fault, and it is in no snapshot."""

from typing import Any

from ray.exceptions import ActorUnavailableError, RayActorError
from ray.tune.experiment import Trial

NODE_LOSSES = 10
"""Nodes that one trial may lose before the next loss counts: the trial may be what kills them."""


class SearchTrial(Trial):
    """A trial that a dead node does not use up the attempts of, and that Ray's snapshots lack.

    Parameters
    ----------
    trainable_name, kwargs : Ray's
    trainable_class : what is registered under the name

    Attributes
    ----------
    node_losses : nodes that died under it
    last_failure_counted : whether the latest failure was the trial's own
    """

    node_losses = 0
    last_failure_counted = True

    def __init__(self, trainable_name: str, *, trainable_class: Any, **kwargs: Any) -> None:
        self.trainable_class = trainable_class
        super().__init__(trainable_name, **kwargs)

    def get_trainable_cls(self) -> Any:
        """Return what the trial runs, without Ray's question to its head node."""
        return self.trainable_class

    def get_json_state(self) -> tuple[str, str]:
        """Return nothing: Ray's snapshots are never read, and take milliseconds per trial."""
        return "{}", "{}"

    def _handle_ray_actor_error(self, exc: RayActorError) -> None:
        lost = lost_with_its_node(exc) and self.node_losses < NODE_LOSSES
        self.last_failure_counted = not lost
        if lost:
            self.node_losses += 1
            return
        super()._handle_ray_actor_error(exc)


def lost_with_its_node(error: RayActorError) -> bool:
    """Return whether an actor was lost because its node died or cannot be reached."""
    text = str(error)
    return isinstance(error, ActorUnavailableError) or "node has died" in text
