"""What the table says of a trial that went on without the exact state of its env."""

from collections.abc import Iterable, Mapping
from typing import Any

from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.agents.state.env import missing_state

NOT_EXACT = "which is not exact"


def notes_of_restarts(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what the results of a trial say of restarts that were not exact.

    Parameters
    ----------
    results : metrics of evaluations, as they were reported
    """
    notes = [str(result["notes"]) for result in results if result.get("notes")]
    return [note for note in notes if NOT_EXACT in note]


def with_restart_note(notes: str, env: VecEnv, timesteps: int) -> str:
    """Return the notes of a restored trial, with a sentence where it is not exact.

    Parameters
    ----------
    notes : what there is to say already
    env : that the trial trains in
    timesteps : at which its checkpoint was made
    """
    missing = missing_state(env)
    if not missing:
        return notes
    sentence = (
        f"went on from the networks and the optimizer of {timesteps:,} timesteps with new "
        f"episodes, {NOT_EXACT}: {missing}"
    )
    return "; ".join(filter(None, (notes, sentence)))
