"""`EnvFinding`: one thing that was asked of an env, and what it came to."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "missing", "doubt", "broken"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvFinding:
    """What one check says.

    Parameters
    ----------
    name : of the check
    level : `ok`; `missing`: something that a search does without; `doubt`: what should be looked
        at; `broken`: what a search refuses
    text : what is so, in a sentence
    remedy : what to do, in a sentence; empty where there is nothing to do
    """

    name: str
    level: Level
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.text}; {self.remedy}" if self.remedy else self.text
