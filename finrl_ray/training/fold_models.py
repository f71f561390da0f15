"""The models of a trial that trains several times, kept where trials are to act together.

The account of several trials' mean action on the judged rows of a fold takes the models that each
has trained for it. With `search.ensemble` they lie in the trial's checkpoint, else nowhere.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm

from finrl_ray.agents.models import save_model
from finrl_ray.config.search import SearchConfig


def fold_model_file(number: int) -> str:
    """Return the name, in a checkpoint, of the model of one fold; its statistics lie in it too."""
    return f"fold_{number:04d}.zip"


class FoldModels:
    """The models of the folds that are done, as the content of their files.

    Parameters
    ----------
    wanted : whether they are kept
    contents : of the folds before
    """

    def __init__(self, wanted: bool, contents: Sequence[bytes] = ()) -> None:
        self._wanted = wanted
        self._contents = list(contents)

    @classmethod
    def of_trial(cls, search: SearchConfig, checkpoint: Path | None, n_done: int) -> "FoldModels":
        """Return those of a trial that begins, or goes on from a checkpoint.

        Parameters
        ----------
        search : says whether they are kept
        checkpoint : that the trial goes on from
        n_done : folds that are done in it
        """
        if not search.has_ensemble or checkpoint is None:
            return cls(search.has_ensemble)
        files = [checkpoint / fold_model_file(number) for number in range(n_done)]
        return cls(True, [file.read_bytes() for file in files])

    def keep(self, model: BaseAlgorithm) -> None:
        """Keep the model of the fold that was trained last."""
        if not self._wanted:
            return
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / fold_model_file(0)
            save_model(model, file)
            self._contents.append(file.read_bytes())

    def so_far(self) -> list[bytes]:
        """Return the contents of the files, by number of the fold; empty where none are kept."""
        return list(self._contents)


def write_fold_models(contents: Sequence[bytes], folder: Path) -> None:
    """Write the models of folds into a checkpoint's folder."""
    for number, content in enumerate(contents):
        (folder / fold_model_file(number)).write_bytes(content)
