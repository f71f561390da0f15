"""The `search` section of the YAML: what is sampled, by what, and within which limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, get_args

from finrl_ray.config.agent import Algorithm
from finrl_ray.config.checks import FORBID_UNKNOWN, may_change, require, require_numbers
from finrl_ray.config.schedulers import AshaConfig, Scheduler
from finrl_ray.config.trial.own_metrics import check_metric_name
from finrl_ray.metrics.registry import METRICS


@dataclass(frozen=True, kw_only=True, slots=True)
class SearcherEntry:
    """One searcher: what it samples, and what it goes together with.

    Parameters
    ----------
    samples : what it samples, for the table in docs/search.md
    maker : the function that returns Ray's searcher, as `module:name`; None where samples are drawn
        without regard to results
    extra : of finrl-ray, which it needs; None: none
    whole_grids : it samples every combination of the options
    starts_populations : population based training may begin with its samples
    at_rungs : it learns from results at the rungs of HyperBand, and works with HyperBand alone
    several_objectives : it can maximise more than one
    own_entries : where `agent.algorithm` is searched, its samples have the entries of one algorithm
    """

    samples: str
    maker: str | None = None
    extra: str | None = None
    whole_grids: bool = False
    starts_populations: bool = False
    at_rungs: bool = False
    several_objectives: bool = False
    own_entries: bool = False

    @property
    def learns(self) -> bool:
        """Whether what it samples depends on results."""
        return self.maker is not None


_MAKERS = "finrl_ray.search.sampling.ray_searchers"

SEARCHERS: Mapping[str, SearcherEntry] = MappingProxyType(
    {
        "random": SearcherEntry(
            samples="independently, each fixed by the seed and drawn when its trial starts, so "
            "that `num_samples` may be any number",
            starts_populations=True,
        ),
        "grid": SearcherEntry(
            samples="every combination of `choice`, `grid`, `randint` and `quniform` entries, "
            "`num_samples` times (set it to 1); a `uniform` or `loguniform` entry is refused",
            whole_grids=True,
        ),
        "optuna": SearcherEntry(
            samples="Optuna's TPE; the first 10 at random",
            maker=f"{_MAKERS}:make_optuna",
            several_objectives=True,
            own_entries=True,
        ),
        "hyperopt": SearcherEntry(
            samples="HyperOpt's TPE (`pip install 'finrl-ray[hyperopt]'`); the first 10 at random",
            maker=f"{_MAKERS}:make_hyperopt",
            extra="hyperopt",
        ),
        "bohb": SearcherEntry(
            samples="BOHB (`pip install 'finrl-ray[bohb]'`, which needs a C compiler); only with "
            "`scheduler.type: hyperband`",
            maker=f"{_MAKERS}:make_bohb",
            extra="bohb",
            at_rungs=True,
        ),
    }
)
"""The choices of `search.searcher`: a new one is an entry here and the function that makes it."""

FORMER_SEARCHER = "random"
"""`search.searcher` of searches of earlier versions that do not name one."""
_AUTO = "auto"

RANK_BY_OBJECTIVE = "objective"
"""`search.rank_by` of searches of earlier versions, in whose place this key was not."""

NAMED_POINTS = ("finrl", "rl_zoo3")
"""Initial points that stand for an algorithm's defaults; also as `ppo.finrl`."""

if TYPE_CHECKING:
    NamedPoint: TypeAlias = str
    Metric: TypeAlias = str
    RankBy: TypeAlias = str
    SearcherType: TypeAlias = str
else:
    NamedPoint = Literal[
        (*NAMED_POINTS, *(f"{one}.{name}" for one in get_args(Algorithm) for name in NAMED_POINTS))
    ]
    Metric = Literal[METRICS]
    RankBy = Literal[(*METRICS, RANK_BY_OBJECTIVE)]
    SearcherType = Literal[(_AUTO, *SEARCHERS)]
Tracker = Literal["mlflow", "wandb"]
_AVERAGED = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchConfig:
    """What is sampled, how many times, how it is scheduled, and where results go."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    num_samples: int = field(
        default=16, metadata=may_change("more trials; the first ones stay as they are")
    )
    """Trials started (with `grid` in the space, or the grid searcher: repetitions of the grid)."""
    searcher: SearcherType = _AUTO
    """What chooses the samples of the trials: docs/search.md says what each samples. Some are
    extras. `auto` is `optuna`, and `random` where that cannot be: with the schedulers `pbt`, `pb2`
    and `hyperband`, and with `grid` in the space; the search notes which it is."""
    scheduler: Scheduler = field(default_factory=AshaConfig)
    space: dict[str, Any] = field(default_factory=dict)
    """Per hyperparameter one of `{choice: [...]}`, `{uniform: [a, b]}`, `{loguniform: [a, b]}`,
    `{randint: [a, b]}`, `{quniform: [a, b, q]}`, `{grid: [...]}`, or a plain value; laid over the
    default space of the algorithm. Options of the config have dotted names: `env.hmax`,
    `agent.normalize`, `agent.algorithm`, `data.features` (see docs/search.md)."""
    default_space: bool = True
    """Start from the algorithm's default space; false: search over `space` alone."""
    initial_points: tuple[dict[str, Any] | NamedPoint, ...] = ()
    """Samples to run first, as they are: values by name of the space (what is missing is drawn),
    `finrl` for FinRL's defaults of the algorithm, or `rl_zoo3` for rl-zoo3's; `sac.rl_zoo3` where
    `agent.algorithm` is searched. They count towards `num_samples`, except beside a grid."""
    objectives: tuple[Metric | str, ...] = ()
    """Two or more measures that Optuna maximises together, your own by import path among them; the
    first must be `evaluation.metric`, by which trials are stopped."""
    rank_by: RankBy | str = "appraisal_ratio"
    """By what the winner and the table are ranked: a measure on the validation window, or where
    trials train several times its mean less its standard error. The default is what the verdict
    judges: the return beside the market per risk. `objective`: what schedulers compare
    (`evaluation.metric` or `validation.objective`), as searches of earlier versions were ranked. Or
    your own by import path."""
    select: Literal["last", "best", "mean"] = "last"
    """Which evaluation stands for a trial. `last` counts one look per trial; `best` is the one
    that ranks highest of its evaluations, which flatters trials that are evaluated more often;
    `mean` ranks by the mean over the last `select_last` of them, and is otherwise `last`."""
    select_last: int | None = None
    """With `select: mean`: over how many evaluations, the last one among them; of a trial with
    fewer over all. 3 when null."""
    ensemble: int | None = None
    """How many trials, those that rank first, act together as the winner: each sees the account in
    its own way, and what is traded is the mean of what they want (docs/search.md). It is one look
    more. null or 1: the winner is the trial that ranks first."""
    max_drawdown_limit: float | None = None
    """A trial whose validation drawdown falls below this (such as -0.4) is ended."""
    max_concurrent_trials: int | None = field(
        default=None, metadata=may_change("how many trials run at once")
    )
    """Trials at once; as many as the CPUs (and GPUs) allow when null."""
    cpus_per_trial: float = field(
        default=1.0,
        metadata=may_change("what a trial reserves; it computes with threads_per_trial"),
    )
    """CPUs reserved by one trial; also written `resources: {cpu: 1}`."""
    threads_per_trial: int | None = None
    """Threads that one trial computes with; the whole CPUs that it reserves, at least one, when
    null. Sums come out differently in their last digit with another number, so a search keeps the
    one that it began with."""
    gpus_per_trial: float = 0.0
    """GPUs reserved by one trial; with 0.25 four share one; also `resources: {gpu: 0.25}`."""
    max_failures: int = field(
        default=2, metadata=may_change("how often a crashed trial is tried again")
    )
    """How often a crashed trial is restarted from its last checkpoint before it has failed. One
    whose parameters are no numbers any more is not: it would come to the same."""
    trial_timeout_s: float | None = field(
        default=None, metadata=may_change("how long a silent trial is waited for")
    )
    """A trial that reports nothing for this long is killed and counts as crashed; null: never."""
    time_budget_s: float | None = field(default=None, metadata=may_change("when the search ends"))
    """Seconds after which the search starts and trains nothing more; null: no limit."""
    timesteps_budget: int | None = field(default=None, metadata=may_change("when the search ends"))
    """Timesteps, summed over all trials, after which the search ends; null: no limit."""
    stop_after_no_improvement: int | None = field(
        default=None, metadata=may_change("when the search ends")
    )
    """The search ends after this many ended trials in a row without a new best objective; null:
    never."""
    keep_checkpoints: int = field(default=2, metadata=may_change("which checkpoints stay"))
    """Best checkpoints kept per trial, beside the newest two."""
    max_disk_gb: float | None = field(default=None, metadata=may_change("when the search ends"))
    """Gigabytes (10^9 bytes) that the checkpoints of the search may take; null: no limit."""
    storage_path: str = field(
        default="runs", metadata=may_change("a path; the folder stays where it is")
    )
    """Folder under which each search gets a folder of its own, or a URL such as `s3://bucket/runs`
    for its checkpoints and a copy of that folder."""
    trackers: tuple[Tracker, ...] = field(default=(), metadata=may_change("who is told"))
    """Experiment trackers that are told of every trial, through Ray's callbacks: `mlflow` (into the
    folder `mlruns` of the search, or where MLFLOW_TRACKING_URI says) and `wandb` (the project has
    the experiment's name). Both are extras."""
    local_path: str = field(
        default="runs", metadata=may_change("a path; the folder stays where it is")
    )
    """With a URL as `storage_path`: the folder on this machine under which each search gets its
    own, without checkpoints."""

    def __post_init__(self) -> None:
        require_numbers(self)
        if self.searcher == _AUTO:
            object.__setattr__(self, "searcher", self._usual_searcher())
        for name in ("num_samples", "keep_checkpoints"):
            value = getattr(self, name)
            require(value >= 1, f"{name} must be >= 1, got {value}")
        require(
            self.ensemble is None or self.ensemble >= 1,
            f"ensemble is a number of trials and must be >= 1 or null, got {self.ensemble}",
        )
        limit = self.max_concurrent_trials
        require(limit is None or limit >= 1, f"max_concurrent_trials must be >= 1, got {limit}")
        require(self.cpus_per_trial > 0, f"cpus_per_trial must be > 0, got {self.cpus_per_trial}")
        threads = self.threads_per_trial
        require(threads is None or threads >= 1, f"threads_per_trial must be >= 1, got {threads}")
        gpus = self.gpus_per_trial
        require(
            gpus >= 0 and (gpus <= 1 or float(gpus).is_integer()),
            f"gpus_per_trial must be 0, a fraction of one GPU, or a whole number, got {gpus}",
        )
        require(self.max_failures >= 0, f"max_failures must be >= 0, got {self.max_failures}")
        self._check_budgets()
        for name in ("storage_path", "local_path"):
            path = getattr(self, name)
            require(path != "" and "\0" not in path, f"{name} must be a folder, got {path!r}")
        require("://" not in self.local_path, "local_path must be a folder of this machine")
        drawdown = self.max_drawdown_limit
        require(
            drawdown is None or -1 <= drawdown < 0,
            f"max_drawdown_limit is a fraction within [-1, 0), got {drawdown} (-40 % is -0.4)",
        )
        require(
            len(set(self.trackers)) == len(self.trackers),
            f"trackers must name each tracker once, got {list(self.trackers)}",
        )
        self._check_select()
        self._check_together()
        self._check_objectives()

    @property
    def averaged(self) -> int:
        """How many evaluations of a trial, at most, are ranked by together."""
        return (self.select_last or _AVERAGED) if self.select == "mean" else 1

    @property
    def has_ensemble(self) -> bool:
        """Whether several trials together are the winner."""
        return self.ensemble is not None and self.ensemble > 1

    @property
    def threads(self) -> int:
        """Threads that one trial computes with."""
        return self.threads_per_trial or max(1, int(self.cpus_per_trial))

    def _usual_searcher(self) -> str:
        """Return `optuna`, or `random` where the scheduler or the space do not go with it."""
        waits = self.scheduler.is_population or self.scheduler.pauses_trials
        return "random" if waits or self._has_grid else "optuna"

    @property
    def _has_grid(self) -> bool:
        return any(isinstance(entry, dict) and "grid" in entry for entry in self.space.values())

    def _check_select(self) -> None:
        count, select = self.select_last, self.select
        require(
            count is None or select == "mean",
            "select_last is the number of evaluations of select 'mean'; leave it out, or set "
            f"select to 'mean', got select_last {count} with select {select!r}",
        )
        require(count is None or count >= 1, f"select_last must be >= 1 or null, got {count}")

    def _check_budgets(self) -> None:
        for name in ("trial_timeout_s", "time_budget_s", "max_disk_gb"):
            value = getattr(self, name)
            require(value is None or value > 0, f"{name} must be > 0 or null, got {value}")
        for name in ("timesteps_budget", "stop_after_no_improvement"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"{name} must be >= 1 or null, got {value}")

    def _check_together(self) -> None:
        """Refuse searchers and schedulers that do not work together."""
        searcher, scheduler = self.searcher, self.scheduler.type
        require(
            searcher in SEARCHERS,
            f"searcher must be one of {', '.join(SEARCHERS)}, got {searcher!r}",
        )
        entry = SEARCHERS[searcher]
        require(
            not self.scheduler.is_population or entry.starts_populations,
            f"scheduler.type {scheduler!r} changes the hyperparameters itself and starts from "
            f"random ones; set searcher to 'random', got {searcher!r}",
        )
        require(
            not entry.at_rungs or scheduler == "hyperband",
            f"searcher {searcher!r} decides together with HyperBand; set scheduler.type to "
            f"'hyperband', got {scheduler!r}",
        )
        require(
            scheduler != "hyperband" or entry.at_rungs or not entry.learns,
            "scheduler.type 'hyperband' compares trials that have all been sampled before one "
            f"ends, from which searcher {searcher!r} could learn nothing; set searcher to 'bohb' "
            "or 'random', or scheduler.type to 'asha'",
        )
        points = len(self.initial_points)
        require(
            entry.whole_grids or self._has_grid or points <= self.num_samples,
            f"initial_points count towards num_samples ({self.num_samples}), got {points} of them",
        )

    def _check_objectives(self) -> None:
        names = self.objectives
        check_metric_name("rank_by", self.rank_by, (RANK_BY_OBJECTIVE,))
        for name in names:
            check_metric_name("objectives", name)
        if not names:
            return
        require(
            len(names) > 1 and len(set(names)) == len(names),
            f"objectives must be two or more different measures, got {list(names)}; one alone is "
            "evaluation.metric",
        )
        require(
            SEARCHERS[self.searcher].several_objectives,
            f"objectives are searched by Optuna; set searcher to 'optuna', got {self.searcher!r}",
        )
        require(
            self.select == "last",
            f"objectives are measures of one evaluation; set select to 'last', got {self.select!r}",
        )
