"""`ValidationReport`: everything that a look at a training setup has found."""

from dataclasses import dataclass, field

from finrl_ray.errors import ConfigError, DataError


@dataclass
class ReportLines:
    """Findings as they are collected.

    Parameters
    ----------
    errors : what will fail, or not do what was asked
    data_errors : the same, of prices and features
    warnings : what usually hurts
    notes : what is worth knowing
    reward_size : mean |reward| under random actions, None before it was measured
    """

    errors: list[str] = field(default_factory=list)
    data_errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reward_size: float | None = None

    def add(self, other: "ReportLines") -> None:
        """Append the findings of another look."""
        for name in ("errors", "data_errors", "warnings", "notes"):
            getattr(self, name).extend(getattr(other, name))
        if other.reward_size is not None:
            self.reward_size = other.reward_size


@dataclass(frozen=True, kw_only=True, slots=True)
class ValidationReport:
    """Everything found in a training setup, in plain words.

    Parameters
    ----------
    setup_errors : of the env and the model
    data_errors : of prices and features, by column, ticker and date
    warnings, notes : what usually hurts; what is worth knowing
    reward_size : mean |reward| under random actions, None if the env could not be stepped
    """

    setup_errors: tuple[str, ...]
    data_errors: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    reward_size: float | None

    @classmethod
    def of(cls, lines: ReportLines) -> "ValidationReport":
        """Return the findings collected, each once."""
        return cls(
            setup_errors=tuple(dict.fromkeys(lines.errors)),
            data_errors=tuple(dict.fromkeys(lines.data_errors)),
            warnings=tuple(dict.fromkeys(lines.warnings)),
            notes=tuple(dict.fromkeys(lines.notes)),
            reward_size=lines.reward_size,
        )

    @property
    def errors(self) -> tuple[str, ...]:
        """All errors, those of the data first."""
        return (*self.data_errors, *self.setup_errors)

    def raise_errors(self) -> None:
        """Raise one error that lists every problem, if there is any.

        Raises
        ------
        DataError
            If all problems lie in the data.
        ConfigError
            If any lies in the env or the model.
        """
        if not self.errors:
            return
        kind = ConfigError if self.setup_errors else DataError
        count = len(self.errors)
        head = "a problem" if count == 1 else f"{count} problems"
        raise kind(f"the training setup has {head}:\n  - " + "\n  - ".join(self.errors))
