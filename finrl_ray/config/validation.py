"""The `validation` section of the YAML: on which windows, and with how many seeds, trials train."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from math import comb
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from finrl_ray.config.checks import FORBID_UNKNOWN, require

Scheme = Literal["one_window", "walk_forward", "cpcv"]
_OPTIONS_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "one_window": (),
        "walk_forward": ("n_windows", "train_window", "start", "purge"),
        "cpcv": ("n_groups", "n_test_groups", "purge", "embargo"),
    }
)
_DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {"n_windows": 4, "train_window": "growing", "n_groups": 6, "n_test_groups": 2}
)
_MOST_TRAININGS = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ValidationConfig:
    """How a configuration is judged: one training and one window, or several of both.

    A path is one complete out-of-sample series of returns, glued from the windows of as many
    trainings. With more than one training a trial runs path after path, and the scheduler counts
    paths instead of timesteps. No scheme reads the test window.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    scheme: Scheme = "one_window"
    """`one_window`: train on `split.train`, judge on `split.validation`. `walk_forward`: cut what
    is judged into windows, each after a training on the rows before it. `cpcv`: combinatorial
    purged cross-validation over train and validation together, whose trainings also read rows that
    come after those they are judged on: to rank configurations, not to promise returns."""
    n_windows: int | None = None
    """walk_forward: windows that are judged one after the other; 4 when null."""
    train_window: Literal["growing", "rolling"] | None = None
    """walk_forward: train on all rows before each window (`growing`, when null), or on as many as
    before the first one."""
    start: date | None = None
    """walk_forward: first date that is judged; the start of `split.validation` when null."""
    n_groups: int | None = None
    """cpcv: equal groups of rows, of which some are judged at a time; 6 when null."""
    n_test_groups: int | None = None
    """cpcv: groups judged by each training, a divisor of `n_groups`; 2 when null. All choices are
    trained: C(n_groups, n_test_groups) of them, in C(n_groups - 1, n_test_groups - 1) paths."""
    purge: int | None = None
    """walk_forward, cpcv: rows left out of training on either side of judged rows, at least as many
    as a reward reaches ahead; 1 when null (2 with `env.fill: next_open`)."""
    embargo: int | None = None
    """cpcv: further rows left out after judged rows, at least as many as the features look back;
    the rows of warm-up of the data when null."""
    seeds: int = 1
    """Trainings of each window, each with a seed of its own."""
    objective: Literal["active_sharpe_lcb", "metric"] | None = None
    """With more than one training: what is maximised. `active_sharpe_lcb` (when null): the mean
    over all trainings of the annual Sharpe ratio of the returns beyond buy & hold, less its
    standard error. `metric`: the mean of `evaluation.metric`."""

    def __post_init__(self) -> None:
        own = _OPTIONS_OF[self.scheme]
        for name in dict.fromkeys(name for names in _OPTIONS_OF.values() for name in names):
            owners = [scheme for scheme, names in _OPTIONS_OF.items() if name in names]
            require(
                name in own or getattr(self, name) is None,
                f"{name} is an option of {' and '.join(owners)}, not of scheme {self.scheme!r}; "
                "leave it out, or set scheme to one of these",
            )
        for name, least in (("n_windows", 1), ("n_groups", 2), ("n_test_groups", 1), ("seeds", 1)):
            value = self.option(name)
            require(value >= least, f"{name} must be >= {least}, got {value}")
        for name in ("purge", "embargo"):
            value = getattr(self, name)
            require(value is None or value >= 0, f"{name} must be >= 0 rows, got {value}")
        groups, tested = self.option("n_groups"), self.option("n_test_groups")
        require(
            self.scheme != "cpcv" or (tested < groups and groups % tested == 0),
            "n_test_groups must divide n_groups and be less than it, so that every path is made of "
            f"trainings of its own, got {tested} and {groups}",
        )
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

    def option(self, name: str) -> Any:
        """Return an option as given, else its default (None where that depends on the data)."""
        value = getattr(self, name)
        return _DEFAULTS.get(name) if value is None else value

    @property
    def own_options(self) -> tuple[str, ...]:
        """Names of the options that the scheme has."""
        return _OPTIONS_OF[self.scheme]

    @property
    def has_paths(self) -> bool:
        """Whether a trial trains more than once."""
        return self.scheme != "one_window" or self.seeds > 1

    @property
    def paths_per_seed(self) -> int:
        """Complete out-of-sample series that one seed gives."""
        if self.scheme != "cpcv":
            return 1
        return comb(self.option("n_groups") - 1, self.option("n_test_groups") - 1)

    @property
    def n_paths(self) -> int:
        """Complete out-of-sample series that a whole trial gives."""
        return self.paths_per_seed * self.seeds

    @property
    def trainings_per_path(self) -> int:
        """Trainings that one path is made of."""
        if self.scheme == "walk_forward":
            return int(self.option("n_windows"))
        if self.scheme == "cpcv":
            return int(self.option("n_groups") // self.option("n_test_groups"))
        return 1

    @property
    def n_trainings(self) -> int:
        """Trainings of a whole trial."""
        return self.n_paths * self.trainings_per_path
