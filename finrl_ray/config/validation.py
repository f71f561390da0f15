"""The `validation` section of the YAML: on which windows, and with how many seeds, trials train."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import date
from math import comb
from typing import Annotated, Any, ClassVar, Literal

from finrl_ray.config.checks import FORBID_UNKNOWN, require, require_numbers
from finrl_ray.config.tagged_sections import TaggedBy

_MOST_TRAININGS = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ValidationConfig(ABC):
    """How a configuration is judged: one training and one window, or several of both.

    A path is one complete out-of-sample series of returns, glued from the windows of as many
    trainings. With more than one training a trial runs path after path, and the scheduler counts
    paths instead of timesteps. No scheme reads the test window.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    scheme: str
    """`one_window`: train on `split.train`, judge on `split.validation`. `walk_forward`: cut what
    is judged into windows, each after a training on the rows before it. `cpcv`: combinatorial
    purged cross-validation over train and validation together, whose trainings also read rows that
    come after those they are judged on: to rank configurations, not to promise returns."""
    seeds: int = 1
    """Trainings of each window, each with a seed of its own."""
    objective: Literal["active_sharpe_lcb", "metric"] | None = None
    """With more than one training: what is maximised. `active_sharpe_lcb` (when null): the mean
    over all trainings of the annual Sharpe ratio of the returns beyond buy & hold, less its
    standard error. `metric`: the mean of `evaluation.metric`."""

    def __post_init__(self) -> None:
        require_numbers(self)
        self._check_options()
        _require_at_least(1, seeds=self.seeds)
        require(
            self.n_trainings <= _MOST_TRAININGS,
            f"a trial must have at most {_MOST_TRAININGS} trainings, got {self.n_trainings:,}; use "
            "fewer groups, windows or seeds",
        )
        require(
            self.has_paths or self.objective is None,
            "objective is an option of searches with several windows or seeds; with one of each, "
            "evaluation.metric is the objective",
        )

    @abstractmethod
    def _check_options(self) -> None:
        """Refuse values that the options of the scheme cannot have."""

    @property
    def has_paths(self) -> bool:
        """Whether a trial trains more than once."""
        return True

    @property
    def paths_per_seed(self) -> int:
        """Complete out-of-sample series that one seed gives."""
        return 1

    @property
    @abstractmethod
    def trainings_per_path(self) -> int:
        """Trainings that one path is made of."""

    @property
    def n_paths(self) -> int:
        """Complete out-of-sample series that a whole trial gives."""
        return self.paths_per_seed * self.seeds

    @property
    def n_trainings(self) -> int:
        """Trainings of a whole trial."""
        return self.n_paths * self.trainings_per_path


@dataclass(frozen=True, kw_only=True, slots=True)
class OneWindow(ValidationConfig):
    """Train on `split.train`, judge on `split.validation`."""

    scheme: Literal["one_window"] = "one_window"

    def _check_options(self) -> None:
        pass

    @property
    def has_paths(self) -> bool:
        """Whether a trial trains more than once: with several seeds."""
        return self.seeds > 1

    @property
    def trainings_per_path(self) -> int:
        """Trainings that one path is made of."""
        return 1


@dataclass(frozen=True, kw_only=True, slots=True)
class WalkForward(ValidationConfig):
    """Judge window after window, each after a training on rows before it."""

    scheme: Literal["walk_forward"] = "walk_forward"
    n_windows: int = 4
    """walk_forward: windows that are judged one after the other; 4 when null."""
    train_window: Literal["growing", "rolling"] = "growing"
    """walk_forward: train on all rows before each window (`growing`, when null), or on as many as
    before the first one."""
    start: date | None = None
    """walk_forward: first date that is judged; the start of `split.validation` when null."""
    purge: int | None = None
    """walk_forward, cpcv: rows left out of training on either side of judged rows, at least as many
    as a reward reaches ahead; 1 when null (2 with `env.fill: next_open`)."""

    def _check_options(self) -> None:
        _require_at_least(1, n_windows=self.n_windows)
        _require_rows(purge=self.purge)

    @property
    def trainings_per_path(self) -> int:
        """Trainings that one path is made of: one per window."""
        return self.n_windows


@dataclass(frozen=True, kw_only=True, slots=True)
class CPCV(ValidationConfig):
    """Combinatorial purged cross-validation: every choice of groups of rows is judged once."""

    scheme: Literal["cpcv"] = "cpcv"
    n_groups: int = 6
    """cpcv: equal groups of rows, of which some are judged at a time; 6 when null."""
    n_test_groups: int = 2
    """cpcv: groups judged by each training, a divisor of `n_groups`; 2 when null. All choices are
    trained: C(n_groups, n_test_groups) of them, in C(n_groups - 1, n_test_groups - 1) paths."""
    purge: int | None = None
    """See `WalkForward.purge`."""
    embargo: int | None = None
    """cpcv: further rows left out after judged rows, at least as many as the features look back;
    the rows of warm-up of the data when null."""

    def _check_options(self) -> None:
        groups, tested = self.n_groups, self.n_test_groups
        _require_at_least(2, n_groups=groups)
        _require_at_least(1, n_test_groups=tested)
        _require_rows(purge=self.purge, embargo=self.embargo)
        require(
            tested < groups and groups % tested == 0,
            "n_test_groups must divide n_groups and be less than it, so that every path is made of "
            f"trainings of its own, got {tested} and {groups}",
        )

    @property
    def paths_per_seed(self) -> int:
        """Complete out-of-sample series that one seed gives."""
        return comb(self.n_groups - 1, self.n_test_groups - 1)

    @property
    def trainings_per_path(self) -> int:
        """Trainings that one path is made of."""
        return self.n_groups // self.n_test_groups


ValidationScheme = Annotated[
    OneWindow | WalkForward | CPCV, TaggedBy(key="scheme", base=ValidationConfig)
]
"""The `validation` section: the class that its `scheme` names."""


def _require_at_least(least: int, **options: int) -> None:
    for name, value in options.items():
        require(value >= least, f"{name} must be >= {least}, got {value}")


def _require_rows(**options: int | None) -> None:
    for name, value in options.items():
        require(value is None or value >= 0, f"{name} must be >= 0 rows, got {value}")
