"""`Finding` and `DoctorReport`: what a look at an experiment has found, for a person."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from finrl_ray.support.text import counted

Level: TypeAlias = Literal["error", "warning", "note", "ok"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was found.

    Parameters
    ----------
    level : `error`: it will fail, or not do what was asked; `warning`: it usually hurts; `note`:
        it could not be looked at, or is worth knowing; `ok`
    what : a sentence
    where : key of the config, or part of the experiment
    remedy : what to do; empty where the sentence says it, or nothing is to be done
    """

    level: Level
    what: str
    where: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """Everything found, in the order of the experiment.

    Parameters
    ----------
    findings : errors, warnings and what is in order
    """

    findings: tuple[Finding, ...]

    def of(self, level: Level) -> tuple[Finding, ...]:
        """Return the findings of one level."""
        return tuple(finding for finding in self.findings if finding.level == level)

    @property
    def healthy(self) -> bool:
        """Whether there is no error."""
        return not self.of("error")

    def summary(self) -> str:
        """Return the last line."""
        errors, warnings = len(self.of("error")), len(self.of("warning"))
        if errors:
            also = f" and {counted(warnings, 'warning')}" if warnings else ""
            return f"{counted(errors, 'error')}{also}: repair the errors before you train"
        if warnings:
            return f"healthy, with {counted(warnings, 'warning')}"
        return "healthy"


class FindingList(list[Finding]):
    """Findings as they are collected.

    Parameters
    ----------
    listener : called with each as it is found
    """

    def __init__(self, listener: Callable[[Finding], None] | None = None) -> None:
        super().__init__()
        self._listener = listener

    def error(self, where: str, what: str, remedy: str = "") -> None:
        """Add an error, unless the same was said before."""
        self._add("error", where, what, remedy)

    def warning(self, where: str, what: str, remedy: str = "") -> None:
        """Add a warning, unless the same was said before."""
        self._add("warning", where, what, remedy)

    def note(self, where: str, what: str) -> None:
        """Add what could not be looked at, or is worth knowing."""
        self._add("note", where, what, "")

    def ok(self, where: str, what: str) -> None:
        """Add what is in order."""
        self._add("ok", where, what, "")

    def of_level(self, level: Level) -> int:
        """Return how many findings of a level there are."""
        return sum(item.level == level for item in self)

    def has_error(self, where: str) -> bool:
        """Return whether an error was found at or below `where`."""
        return any(item.level == "error" and item.where.startswith(where) for item in self)

    def _add(self, level: Level, where: str, what: str, remedy: str) -> None:
        # two checks may see one mistake: the later one adds words around what the first has said
        said = [item.what for item in self if item.level == level]
        if level in ("note", "ok") or not any(words in what for words in said):
            self.append(Finding(level=level, what=what, where=where, remedy=remedy))
            if self._listener is not None:
                self._listener(self[-1])
