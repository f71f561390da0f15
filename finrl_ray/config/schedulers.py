"""The `search.scheduler` section of the YAML: which trials are stopped or changed, and when.

Each type of scheduler is a class with its own options. To add one, write its class here, name it in
`Scheduler`, and write `finrl_ray/search/schedulers/TYPE.py` with a function `make`.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from finrl_ray.config.checks import FORBID_UNKNOWN, require, require_numbers
from finrl_ray.config.tagged_sections import TaggedBy


@dataclass(frozen=True, kw_only=True, slots=True)
class SchedulerConfig:
    """Which trials are stopped early or changed, and when."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN
    is_population: ClassVar[bool] = False
    """Whether the scheduler changes the hyperparameters of trials while these train."""
    pauses_trials: ClassVar[bool] = False
    """Whether the scheduler lets trials wait for each other."""

    type: str
    """`asha`: asynchronous successive halving; `hyperband`: synchronous halving in brackets;
    `median`: stops what is below the median; `pbt`, `pb2`: population based training; `fifo`: every
    trial runs to its end."""

    def check_times(self, total: int, name_of_total: str, unit: str) -> None:
        """Refuse options in timesteps, or in paths, with which the scheduler could never act.

        Parameters
        ----------
        total : what a whole trial takes
        name_of_total, unit : of `total`, for the messages

        Raises
        ------
        ConfigError
            Naming the option and the total.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class AshaConfig(SchedulerConfig):
    """Asynchronous successive halving."""

    type: Literal["asha"] = "asha"
    grace_period: int | None = None
    """asha, hyperband, median: timesteps before a trial may be stopped; an eighth of
    `agent.total_timesteps` when null. Where trials train several times (section `validation`) it
    counts whole paths; one when null."""
    reduction_factor: float = 2.0
    """asha, hyperband: one in this many trials survives each rung; 2 when null."""
    brackets: int = 1
    """asha: brackets, each with a grace period `reduction_factor` times the one before; 1 when
    null."""

    def __post_init__(self) -> None:
        require_numbers(self)
        _require_timesteps(grace_period=self.grace_period)
        _require_reduction(self.reduction_factor)
        require(self.brackets >= 1, f"brackets must be >= 1, got {self.brackets}")

    def check_times(self, total: int, name_of_total: str, unit: str) -> None:
        """Refuse a grace period, or a last bracket, that no trial could come to."""
        _check_grace_period(self.grace_period, total, name_of_total)
        brackets, first = self.brackets, self.grace_period or max(1, total // 8)
        last = first * self.reduction_factor ** (brackets - 1)
        require(
            brackets == 1 or last < total,
            f"search.scheduler.brackets: the last of {brackets} brackets begins at {last:,.0f} "
            f"{unit}, which must be < {name_of_total} ({total}); use fewer",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class HyperbandConfig(SchedulerConfig):
    """Synchronous successive halving in brackets."""

    pauses_trials: ClassVar[bool] = True

    type: Literal["hyperband"] = "hyperband"
    grace_period: int | None = None
    """See `AshaConfig.grace_period`."""
    reduction_factor: float = 2.0
    """See `AshaConfig.reduction_factor`."""

    def __post_init__(self) -> None:
        require_numbers(self)
        _require_timesteps(grace_period=self.grace_period)
        _require_reduction(self.reduction_factor)

    def check_times(self, total: int, name_of_total: str, unit: str) -> None:
        """Refuse a grace period that no trial could come to."""
        _check_grace_period(self.grace_period, total, name_of_total)


@dataclass(frozen=True, kw_only=True, slots=True)
class MedianConfig(SchedulerConfig):
    """Stops a trial that is below the median of the others."""

    type: Literal["median"] = "median"
    grace_period: int | None = None
    """See `AshaConfig.grace_period`."""
    min_samples: int = 3
    """median: trials that must have come as far before one is stopped; 3 when null."""

    def __post_init__(self) -> None:
        require_numbers(self)
        _require_timesteps(grace_period=self.grace_period)
        require(self.min_samples >= 1, f"min_samples must be >= 1, got {self.min_samples}")

    def check_times(self, total: int, name_of_total: str, unit: str) -> None:
        """Refuse a grace period that no trial could come to."""
        _check_grace_period(self.grace_period, total, name_of_total)


@dataclass(frozen=True, kw_only=True, slots=True)
class PBTConfig(SchedulerConfig):
    """Population based training."""

    is_population: ClassVar[bool] = True
    pauses_trials: ClassVar[bool] = True

    type: Literal["pbt"] = "pbt"
    perturbation_interval: int | None = None
    """pbt, pb2: timesteps between exchanges; an eighth of `agent.total_timesteps` when null."""
    burn_in: int = 0
    """pbt, pb2: timesteps before the first exchange; 0 when null."""
    quantile_fraction: float = 0.25
    """pbt, pb2: this share of the population, the worst, goes on as changed copies of the best; a
    quarter when null."""
    resample_probability: float = 0.25
    """pbt: chance that a hyperparameter is drawn anew instead of moved; a quarter when null."""
    mutations: tuple[str, ...] | None = None
    """pbt, pb2: names of `search.space` that change; all that can when null."""
    synch: bool = True
    """pbt, pb2: exchange when all trials have come as far, so that the result does not depend on
    timing (true when null), or whenever one has."""

    def __post_init__(self) -> None:
        require_numbers(self)
        _check_population(self)
        chance = self.resample_probability
        require(0 <= chance <= 1, f"resample_probability must be within [0, 1], got {chance}")

    def check_times(self, total: int, name_of_total: str, unit: str) -> None:
        """Refuse a first exchange that no trial could come to."""
        _check_exchanges(self, total, name_of_total)


@dataclass(frozen=True, kw_only=True, slots=True)
class PB2Config(SchedulerConfig):
    """Population based training whose changes a Gaussian process chooses."""

    is_population: ClassVar[bool] = True
    pauses_trials: ClassVar[bool] = True

    type: Literal["pb2"] = "pb2"
    perturbation_interval: int | None = None
    """See `PBTConfig.perturbation_interval`."""
    burn_in: int = 0
    """See `PBTConfig.burn_in`."""
    quantile_fraction: float = 0.25
    """See `PBTConfig.quantile_fraction`."""
    mutations: tuple[str, ...] | None = None
    """See `PBTConfig.mutations`."""
    synch: bool = True
    """See `PBTConfig.synch`."""

    def __post_init__(self) -> None:
        require_numbers(self)
        _check_population(self)

    def check_times(self, total: int, name_of_total: str, unit: str) -> None:
        """Refuse a first exchange that no trial could come to."""
        _check_exchanges(self, total, name_of_total)


@dataclass(frozen=True, kw_only=True, slots=True)
class FifoConfig(SchedulerConfig):
    """Every trial runs to its end, the first one first."""

    type: Literal["fifo"] = "fifo"


Scheduler = Annotated[
    AshaConfig | HyperbandConfig | MedianConfig | PBTConfig | PB2Config | FifoConfig,
    TaggedBy(key="type", base=SchedulerConfig, lists_options=True),
]
"""The `search.scheduler` section: the class that its `type` names."""


def _require_timesteps(**options: int | None) -> None:
    for name, value in options.items():
        require(value is None or value >= 1, f"{name} must be >= 1 timestep, got {value}")


def _require_reduction(factor: float) -> None:
    require(factor > 1, f"reduction_factor must be > 1, got {factor}")


def _check_grace_period(given: int | None, total: int, name_of_total: str) -> None:
    require(
        given is None or given < total,
        f"search.scheduler.grace_period must be < {name_of_total} ({total}), got {given}: no trial "
        "could ever be stopped early",
    )


def _check_population(options: PBTConfig | PB2Config) -> None:
    _require_timesteps(perturbation_interval=options.perturbation_interval)
    quantile, burn_in = options.quantile_fraction, options.burn_in
    require(0 < quantile <= 0.5, f"quantile_fraction must be within (0, 0.5], got {quantile}")
    require(burn_in >= 0, f"burn_in must be >= 0 timesteps, got {burn_in}")
    require(options.mutations != (), "mutations must not be an empty list; leave it out for all")


def _check_exchanges(options: PBTConfig | PB2Config, total: int, name_of_total: str) -> None:
    for name in ("perturbation_interval", "burn_in"):
        value = getattr(options, name)
        require(
            value is None or value < total,
            f"search.scheduler.{name} must be < {name_of_total} ({total}), got {value}: no trial "
            "could ever be changed",
        )
