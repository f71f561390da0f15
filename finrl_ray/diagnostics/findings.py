"""`Finding` and `FindingsReport`: what checks have found."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from finrl_ray.errors import ConfigError, DataError
from finrl_ray.support.text import counted

Level: TypeAlias = Literal["error", "warning", "note", "ok"]

DATA = "data"
"""Where prices and features are wrong, rather than an env, a model or a config."""


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
class FindingsReport:
    """Everything found, in the order of the checks.

    Parameters
    ----------
    findings : errors, warnings, notes and what is in order
    """

    findings: tuple[Finding, ...]

    def of(self, level: Level) -> tuple[Finding, ...]:
        """Return the findings of one level."""
        return tuple(finding for finding in self.findings if finding.level == level)

    @property
    def errors(self) -> tuple[str, ...]:
        """What will fail, or not do what was asked, in sentences."""
        return self._sentences("error")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What usually hurts, in sentences."""
        return self._sentences("warning")

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be looked at, or is worth knowing, in sentences."""
        return self._sentences("note")

    def _sentences(self, level: Level) -> tuple[str, ...]:
        return tuple(finding.what for finding in self.of(level))

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

    def raise_errors(self, checked: str) -> None:
        """Raise one exception that lists all errors, if there are any.

        Parameters
        ----------
        checked : what has been looked at, for the message

        Raises
        ------
        DataError
            If all errors lie in the data.
        ConfigError
            If any lies elsewhere.
        """
        errors = self.of("error")
        if not errors:
            return
        kind = DataError if all(finding.where == DATA for finding in errors) else ConfigError
        head = "a problem" if len(errors) == 1 else f"{len(errors)} problems"
        raise kind(f"{checked} has {head}:\n  - " + "\n  - ".join(self.errors))


class FindingList(list[Finding]):
    """Findings as they are collected.

    Parameters
    ----------
    listener : called with each as it is found
    """

    def __init__(self, listener: Callable[[Finding], None] | None = None) -> None:
        super().__init__()
        self._listener = listener

    def add(self, finding: Finding) -> None:
        """Add a finding, unless the same was found before."""
        if finding not in self:
            self.append(finding)
            if self._listener is not None:
                self._listener(finding)

    def error(self, where: str, what: str, remedy: str = "") -> None:
        """Add an error, unless an earlier one says the same in fewer words."""
        self._add_unless_said("error", where, what, remedy)

    def warning(self, where: str, what: str, remedy: str = "") -> None:
        """Add a warning, unless an earlier one says the same in fewer words."""
        self._add_unless_said("warning", where, what, remedy)

    def note(self, where: str, what: str) -> None:
        """Add what could not be looked at, or is worth knowing."""
        self.add(Finding(level="note", what=what, where=where))

    def ok(self, where: str, what: str) -> None:
        """Add what is in order."""
        self.add(Finding(level="ok", what=what, where=where))

    def of_level(self, level: Level) -> int:
        """Return how many findings of a level there are."""
        return sum(item.level == level for item in self)

    def has_error(self, where: str) -> bool:
        """Return whether an error was found at or below `where`."""
        return any(item.level == "error" and item.where.startswith(where) for item in self)

    def _add_unless_said(self, level: Level, where: str, what: str, remedy: str) -> None:
        # two checks may see one mistake: the later one adds words around what the first has said
        if not any(item.what in what for item in self if item.level == level):
            self.add(Finding(level=level, what=what, where=where, remedy=remedy))
