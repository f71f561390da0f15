"""`TrialIds`: a set of trials' ids in little memory, as trials are numbered."""

from collections.abc import Iterable

_UNTIL = "all before "


class TrialIds:
    """A set of ids, those of the first trials held as one number.

    Each state of a search holds such a set, and a search may have many trials.

    Parameters
    ----------
    ids : to begin with
    """

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._until = 0
        self._others: set[str] = set()
        for trial_id in ids:
            self.add(trial_id)

    def __contains__(self, trial_id: str) -> bool:
        if trial_id in self._others:
            return True
        return trial_id.isdecimal() and int(trial_id) < self._until

    def add(self, trial_id: str) -> None:
        """Add an id."""
        self._others.add(trial_id)
        while (following := f"{self._until:05d}") in self._others:
            self._others.discard(following)
            self._until += 1

    def text(self) -> str:
        """Return the set as lines."""
        return "\n".join([f"{_UNTIL}{self._until}", *sorted(self._others)])

    @classmethod
    def of_text(cls, text: str) -> "TrialIds":
        """Undo `text`; of earlier versions, which wrote one id a line, too."""
        ids = cls()
        for line in text.splitlines():
            if line.startswith(_UNTIL):
                ids._until = int(line.removeprefix(_UNTIL))
            else:
                ids.add(line)
        return ids
