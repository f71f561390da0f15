"""Every setting of the YAML: typed, frozen, with its one default and its meaning.

`finrl_ray.config.load.load_config` checks a file completely before anything starts; `data`, `env`,
`agent` and `search` read these values and hold no defaults of their own. It is long because it is
the one list of all keys.
"""

import re
from dataclasses import dataclass, field, fields
from datetime import date
from itertools import pairwise
from typing import Any, ClassVar, Literal

from finrl_ray.config.search import (
    FORBID_UNKNOWN,
    POPULATION,
    Metric,
    SearchConfig,
    check_search_times,
    require,
)
from finrl_ray.config.validation import ValidationConfig
from finrl_ray.errors import ConfigError
from finrl_ray.storage.url import check_url, require_no_secret
from finrl_ray.support.float32_range import FLOAT32_MAX, FLOAT32_TINY
from finrl_ray.support.time_zones import require_timezone

Algorithm = Literal["a2c", "ppo", "ddpg", "td3", "sac"]
Learner = Literal["fused", "exact", "sb3"]
Fill = Literal["close", "next_open"]
Window = tuple[date | None, date | None]
NOT_IN_FINRL = (
    "fill",
    "fractional_shares",
    "random_start",
    "cash_penalty_proportion",
    "stop_loss",
    "profit_loss_ratio",
    "lot_size",
    "cooldown",
)
"""Options of the env that have no meaning together with `parity`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Where prices come from and which features are computed on them."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    source: str = "bundled"
    """`bundled`, `sp500`, `yahoo`, a generated market (`noise`, without anything to find, or
    `planted`, with a known edge), or the path of a .csv, .csv.gz or .parquet file in FinRL's long
    format; a relative path is looked up from the folder of the config file."""
    tickers: tuple[str, ...] | None = None
    """Names to keep, in this order; all of the source's in alphabetical order when null."""
    start: date | None = None
    """First date read, inclusive."""
    end: date | None = None
    """First date not read."""
    timezone: str | None = None
    """Zone (`Europe/London`) that dates with a time zone and a time of day are converted to; null:
    UTC. A row is one instant, so bars of exchanges in several zones need one clock. Dates without a
    time zone are left as they are, and days (midnight where they were written) keep their date."""
    features: tuple[str, ...] | Literal["finrl"] = "finrl"
    """Indicators by FinRL's (stockstats') names, or numeric columns of the source, in observation
    order. `finrl` is FinRL's list of eight, less those that a close-only source cannot have."""
    turbulence: bool = False
    """Compute FinRL's turbulence index as the market series `turbulence` (252 rows of warm-up)."""
    market_columns: tuple[str, ...] = ()
    """Columns of the source that have one value per date (such as `vix`)."""
    max_late_rows: int = 252
    """A ticker first quoted later than this many rows after the first date is dropped; for an
    earlier one the rows before its first quote are dropped. Both are reported."""
    cache_dir: str = "~/.cache/finrl_ray"
    """Where downloads are kept."""

    def __post_init__(self) -> None:
        require(self.tickers is None or len(self.tickers) > 0, "tickers must not be an empty list")
        require(
            self.start is None or self.end is None or self.start < self.end,
            f"start must be before end, got {self.start} and {self.end}",
        )
        require(self.max_late_rows >= 0, f"max_late_rows must be >= 0, got {self.max_late_rows}")
        if self.timezone is not None:
            require_timezone(self.timezone)


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitConfig:
    """Three windows of dates, each half-open: `[first, end)`. They may touch, never overlap."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    train: Window | None = None
    """What agents learn on. A null start means the first row with complete features."""
    validation: Window | None = None
    """What trials are compared on."""
    test: Window | None = None
    """Sealed: read by `backtest` alone. A null end means the end of the data. When all three
    windows are null, the rows are split 60/20/20."""

    def __post_init__(self) -> None:
        given = [w for w in (self.train, self.validation, self.test) if w is not None]
        require(
            len(given) in (0, 3),
            "train, validation and test must be given together, or all left out for 60/20/20",
        )
        if given:
            self._check_order()

    def _check_order(self) -> None:
        assert self.train is not None
        assert self.validation is not None
        assert self.test is not None
        ends = (self.train[1], *self.validation, self.test[0])
        require(
            all(value is not None for value in ends),
            "only the start of train and the end of test may be null",
        )
        flat = [*self.train, *self.validation, *self.test]
        known = [value for value in flat if value is not None]
        names = "train, validation, test"
        for first, second in pairwise(known):
            require(
                first <= second,
                f"the windows must be in the order {names} and must not overlap, "
                f"but {first} comes before {second} in the file",
            )
        for name, window in zip(
            ("train", "validation", "test"), (self.train, self.validation, self.test), strict=True
        ):
            require(
                None in window or window[0] != window[1],
                f"the {name} window must hold at least one date, got [{window[0]}, {window[1]})",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvConfig:
    """The account and the trading rules. Cost rates are fractions (0.001 is 0.1 %)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    hmax: int | float = 100
    """Most shares of one ticker that one action can trade; an action of 1.0 orders hmax shares.
    A whole number unless `fractional_shares`."""
    initial_amount: float = 1_000_000.0
    """Cash at the start, in the account's currency."""
    buy_cost_pct: float = 0.001
    """Cost of buying, as a fraction of the amount."""
    sell_cost_pct: float = 0.001
    """Cost of selling, as a fraction of the amount."""
    reward_scaling: float = 1e-4
    """Reward per unit of change of the account value."""
    turbulence_threshold: float | None = None
    """At or above this value of `risk_indicator_col` everything is sold and nothing is bought."""
    risk_indicator_col: str = "turbulence"
    """The market series compared with the threshold."""
    fill: Fill = "close"
    """`close`: orders fill at the close that the agent has just seen, as in FinRL. `next_open`:
    at the following open, at which the agent could really have traded."""
    fractional_shares: bool = False
    """Trade fractions of shares instead of truncating orders to whole ones."""
    random_start: bool = False
    """Start training episodes on a random day of the first half of the window, from the env's seed;
    evaluation and backtest always start on the first day."""
    cash_penalty_proportion: float = 0.0
    """Share of the account value that should stay cash: what is missing of it at the end of a step
    is taken off that step's reward. The account itself is not touched."""
    stop_loss: float | None = None
    """Sell a whole position when its close is below this fraction of its average buy price
    (0.9: a loss of 10 %); null: never."""
    profit_loss_ratio: float | None = None
    """With `stop_loss`, also sell a whole position when its close has gained this many times the
    loss that would have sold it (stop_loss 0.9 and 2.0: a gain of 20 %); null: never."""
    lot_size: float | tuple[float, ...] | None = None
    """Orders are rounded toward zero to multiples of this number of shares, or of one number per
    ticker; below 1 it needs `fractional_shares`; null: no lots."""
    cooldown: int = 0
    """Periods after a trade in a ticker during which orders in it are ignored."""
    observation_scaling: Literal["none", "train"] = "none"
    """`train`: standardise prices and features by their mean and deviation on the train window and
    express cash and positions as fractions of `initial_amount`."""
    parity: bool = False
    """Reproduce FinRL's StockTradingEnv with its quirks; see docs/environment.md."""

    def __post_init__(self) -> None:
        whole = self.hmax >= 1 and float(self.hmax).is_integer()
        require(
            whole or (self.fractional_shares and self.hmax > 0),
            "hmax must be >= 1 and a whole number of shares (with fractional_shares any number "
            f"> 0), got {self.hmax}",
        )
        require(self.initial_amount > 0, f"initial_amount must be > 0, got {self.initial_amount}")
        for name in ("buy_cost_pct", "sell_cost_pct"):
            value = getattr(self, name)
            require(
                0 <= value < 1,
                f"{name} is a fraction and must be within [0, 1), got {value} (0.1 % is 0.001)",
            )
        require(self.reward_scaling > 0, f"reward_scaling must be > 0, got {self.reward_scaling}")
        self._check_range()
        self._check_limits()
        changed = [
            item.name
            for item in fields(self)
            if item.name in NOT_IN_FINRL and getattr(self, item.name) != item.default
        ]
        require(
            not (self.parity and changed),
            f"parity reproduces FinRL, which has no {', '.join(NOT_IN_FINRL[:-1])} or "
            f"{NOT_IN_FINRL[-1]} options; leave {changed} at the default or set parity to false",
        )

    def _check_range(self) -> None:
        """Refuse what the float32 of actions, observations and rewards cannot hold."""
        for name in ("hmax", "initial_amount", "reward_scaling"):
            value = getattr(self, name)
            require(
                value <= FLOAT32_MAX,
                f"{name} must be at most {FLOAT32_MAX:.2g}, the largest float32, in which agents "
                f"act, see their account and are paid; got {value:g}",
            )
        # a step that moves the account by a hundredth of a per cent must still be seen
        least = self.initial_amount * self.reward_scaling * 1e-4
        require(
            FLOAT32_TINY <= least <= FLOAT32_MAX,
            f"initial_amount ({self.initial_amount:g}) times reward_scaling "
            f"({self.reward_scaling:g}) gives rewards that float32 cannot hold: about {least:.2g} "
            f"for a change of 0.01 %, and it must be within {FLOAT32_TINY:.2g} and "
            f"{FLOAT32_MAX:.2g}",
        )

    def _check_limits(self) -> None:
        share, stop, ratio = self.cash_penalty_proportion, self.stop_loss, self.profit_loss_ratio
        require(0 <= share <= 1, f"cash_penalty_proportion must be within [0, 1], got {share}")
        require(
            stop is None or 0 < stop < 1,
            "stop_loss is a fraction of the average buy price and must be within (0, 1), got "
            f"{stop} (0.9 sells after a loss of 10 %)",
        )
        require(
            ratio is None or (stop is not None and ratio > 0),
            f"profit_loss_ratio must be > 0 and needs stop_loss, got {ratio} with stop_loss {stop}",
        )
        require(self.cooldown >= 0, f"cooldown must be >= 0 periods, got {self.cooldown}")
        lots = self.lot_size if isinstance(self.lot_size, tuple) else (self.lot_size,)
        for lot in lots:
            whole = self.fractional_shares or lot is None or float(lot).is_integer()
            require(
                lot is None or (lot > 0 and whole),
                "lot_size must be > 0 shares, and whole unless fractional_shares is true, got "
                f"{self.lot_size}",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentConfig:
    """Which SB3 algorithm is trained, for how long, and on how many accounts at once."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    algorithm: Algorithm = "ppo"
    total_timesteps: int = 20_000
    """Env steps summed over the `n_envs` accounts."""
    n_envs: int = 1
    """Accounts stepped together."""
    learner: Learner = "fused"
    """The code that trains: `fused`, the fastest; `exact`, SB3's numbers bit for bit; or `sb3`.
    A model that needs a slower one gets it, and the log says why (see docs/performance.md)."""
    policy: Literal["MlpPolicy"] = "MlpPolicy"
    """SB3's policy for flat observations, the only ones that the env gives."""
    model_kwargs: dict[str, Any] = field(default_factory=dict)
    """Keywords of the SB3 class, over FinRL's defaults; a sampled value wins over both."""
    normalize: Literal[False, True, "observations", "rewards"] = False
    """Wrap the env in SB3's VecNormalize (running mean and deviation of observations and rewards,
    or of one of them, from training alone); its statistics travel with the model."""

    def __post_init__(self) -> None:
        require(
            self.total_timesteps >= 1, f"total_timesteps must be >= 1, got {self.total_timesteps}"
        )
        require(
            1 <= self.n_envs <= self.total_timesteps,
            f"n_envs must be within 1..total_timesteps ({self.total_timesteps}), got {self.n_envs}",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationConfig:
    """How often, and by which measure, an agent is judged on the validation window."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    eval_freq: int = 2_000
    """Timesteps between evaluations; the last one always falls on the end of training, the only one
    if this is more than `agent.total_timesteps`."""
    metric: Metric = "sharpe_ratio"
    """What is maximised (max_drawdown is <= 0, so it is maximised too)."""
    periods_per_year: float | None = None
    """Bars in a year; null: from the spacing of the dates (252 for daily bars without weekends,
    365 with them; see docs/environment.md for bars within the day)."""
    risk_free_rate: float = 0.0
    """Simple annual rate."""
    index_column: str | None = None
    """One of `data.market_columns`, the level of an index, shown beside the other baselines."""
    max_no_improvement_evals: int | None = None
    """Stop training when more than this many evaluations in a row bring no new best, as SB3's
    StopTrainingOnNoModelImprovement does; null: never."""
    min_evals: int = 0
    """Evaluations before `max_no_improvement_evals` starts to count."""

    def __post_init__(self) -> None:
        require(self.eval_freq >= 1, f"eval_freq must be >= 1 timestep, got {self.eval_freq}")
        periods = self.periods_per_year
        require(
            periods is None or periods > 0, f"periods_per_year must be > 0 or null, got {periods}"
        )
        patience = self.max_no_improvement_evals
        require(
            patience is None or patience >= 1,
            f"max_no_improvement_evals must be >= 1 or null, got {patience}",
        )
        require(self.min_evals >= 0, f"min_evals must be >= 0, got {self.min_evals}")


def settled_periods_per_year(evaluation: EvaluationConfig) -> float:
    """Return `periods_per_year`, settled by `data.periods_per_year.with_periods_per_year`.

    Raises
    ------
    ConfigError
        If it is still null.
    """
    periods = evaluation.periods_per_year
    if periods is None:
        raise ConfigError(
            "evaluation.periods_per_year is still null; give it a number, or call "
            "with_periods_per_year(config, dates) first"
        )
    return periods


def earliest_stop(evaluation: EvaluationConfig) -> int:
    """Return the first evaluation, counted from 1, at which early stopping can end training.

    The first evaluation is always a new best, and those up to `min_evals` do not count.
    """
    patience = evaluation.max_no_improvement_evals
    if patience is None:
        raise ValueError("max_no_improvement_evals is null: early stopping is off")
    return max(evaluation.min_evals, 1) + patience + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentConfig:
    """One experiment: data, windows, account, agent, evaluation and search."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    name: str = "experiment"
    seed: int = 0
    """Every random stream of the search is derived from this number."""
    data: DataConfig = field(default_factory=DataConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    env: EnvConfig = field(default_factory=EnvConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    search: SearchConfig = field(default_factory=SearchConfig)

    def __post_init__(self) -> None:
        require(
            re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", self.name) is not None,
            "name must be 1 to 100 letters, digits, '.', '_' or '-', starting with a letter or "
            f"digit (it names a folder), got {self.name!r}",
        )
        require(0 <= self.seed < 2**32, f"seed must be within 0..2**32-1, got {self.seed}")
        require_no_secret("search.storage_path", self.search.storage_path)
        check_url("search.storage_path", self.search.storage_path)
        self._check_evaluations()
        self._check_paths()
        self._check_market_series()

    def _check_evaluations(self) -> None:
        total, evaluation = self.agent.total_timesteps, self.evaluation
        patience = evaluation.max_no_improvement_evals
        if patience is not None:
            evals = earliest_stop(evaluation)
            first_stop = evals * evaluation.eval_freq
            require(
                first_stop <= total,
                f"early stopping can fire at timestep {first_stop} at the earliest (evaluation "
                f"{evals}, with min_evals {evaluation.min_evals} and max_no_improvement_evals "
                f"{patience}, x eval_freq {evaluation.eval_freq}), which is past "
                f"agent.total_timesteps {total}; lower "
                "evaluation.max_no_improvement_evals or evaluation.eval_freq",
            )
        if not self.validation.has_paths:
            check_search_times(self.search.scheduler, total)
        objectives, metric = self.search.objectives, evaluation.metric
        require(
            not objectives or objectives[0] == metric,
            f"search.objectives must begin with evaluation.metric ({metric}), by which trials are "
            f"ranked and stopped, got {list(objectives)}",
        )

    def _check_paths(self) -> None:
        """Refuse what has no meaning where a trial trains several times."""
        validation, search = self.validation, self.search
        if not validation.has_paths:
            return
        several = "with several windows or seeds (section validation) "
        kind = search.scheduler.type
        require(
            kind not in POPULATION and search.searcher != "bohb",
            f"{several}trials are judged after whole trainings; search.scheduler.type must be "
            f"'asha', 'hyperband', 'median' or 'fifo' and search.searcher not 'bohb', got {kind!r} "
            f"and {search.searcher!r}",
        )
        require(search.select == "last", f"{several}search.select must be 'last', got 'best'")
        require(
            not search.objectives or validation.objective == "metric",
            f"{several}search.objectives need validation.objective 'metric'",
        )
        require(
            self.evaluation.max_no_improvement_evals is None,
            f"{several}each training is evaluated once, at its end; leave "
            "evaluation.max_no_improvement_evals out",
        )
        check_search_times(
            search.scheduler, validation.n_paths, "the paths of a whole trial", "paths"
        )

    def _check_market_series(self) -> None:
        index = self.evaluation.index_column
        require(
            index is None or index in self.data.market_columns,
            f"evaluation.index_column must be one of data.market_columns "
            f"{list(self.data.market_columns)}, got {index!r}; list the column there, so that it "
            "is read from the source",
        )
        column = self.env.risk_indicator_col
        if self.env.turbulence_threshold is None:
            return
        known = [*self.data.market_columns, *(["turbulence"] if self.data.turbulence else [])]
        require(
            column in known,
            f"env.turbulence_threshold needs the series {column!r}, but the data has {known}; set "
            "data.turbulence to true, or name the column in data.market_columns",
        )
