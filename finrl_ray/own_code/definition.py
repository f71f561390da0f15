"""`OwnFunction`: a function of the user's with the reference that names it."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from finrl_ray.own_code.arguments import in_its_file, parameters_of
from finrl_ray.own_code.failures import OwnCodeError
from finrl_ray.own_code.kinds import KINDS


@dataclass(frozen=True, kw_only=True)
class OwnFunction:
    """A function of the user's with the reference that names it.

    Parameters
    ----------
    reference : as the config has it
    kind : of KINDS
    function : what it names
    """

    reference: str
    kind: str
    function: Callable[..., Any]

    @property
    def who(self) -> str:
        """The key, the reference and the place of the function, as messages begin."""
        return f"{KINDS[self.kind].key} {self.reference}{in_its_file(self.function)}"

    def refused(self, why: str, remedy: str) -> OwnCodeError:
        """Return the error that the function is not what it must be, with its file and line.

        Parameters
        ----------
        why : as what comes after the reference, such as "returns a list"
        remedy : what to do
        """
        return OwnCodeError(f"{self.who} {why}; {remedy}")

    @property
    def names(self) -> list[str]:
        """The names of the arguments, without those of `*` and `**`."""
        return [
            p.name for p in self._parameters() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        ]

    def takes(self, keyword: str) -> bool:
        """Return whether the function has a keyword, or takes any."""
        takes_any = any(p.kind is p.VAR_KEYWORD for p in self._parameters())
        return takes_any or keyword in self.names

    def _parameters(self) -> list[inspect.Parameter]:
        return parameters_of(self.function, self.who)
