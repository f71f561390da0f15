"""`ExperimentConfig`: the whole YAML, one typed and frozen section each, checked together.

Every key has its one default and its meaning in the file of its section. `config.load.load_config`
checks a file completely before anything starts; `data`, `env`, `agents` and `search` read these
values and hold no defaults of their own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from finrl_ray.config.after_search.deploy import DeployConfig
from finrl_ray.config.agent import OF_ONE_CHOICE, WITHOUT_CHOICES, AgentConfig
from finrl_ray.config.checks import FORBID_UNKNOWN, may_change, require, require_numbers
from finrl_ray.config.data import DataConfig, SplitConfig
from finrl_ray.config.env import PER_TICKER, EnvConfig
from finrl_ray.config.env_options.trading import check_combinations
from finrl_ray.config.evaluation import EvaluationConfig, earliest_stop
from finrl_ray.config.search import SEARCHERS, SearchConfig
from finrl_ray.config.trial.order_size import check_tickers
from finrl_ray.config.trial.own_metrics import is_own_metric
from finrl_ray.config.validation import OneWindow, ValidationScheme
from finrl_ray.metrics.registry import measure_name
from finrl_ray.storage.url import check_url, require_no_secret


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentConfig:
    """One experiment: data, windows, account, agent, evaluation, search and what follows it."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    name: str = field(default="experiment", metadata=may_change("a label"))
    seed: int = 0
    """Every random stream of the search is derived from this number."""
    data: DataConfig = field(default_factory=DataConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    validation: ValidationScheme = field(default_factory=OneWindow)
    env: EnvConfig = field(default_factory=EnvConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    deploy: DeployConfig = field(default_factory=DeployConfig)

    def __post_init__(self) -> None:
        require_numbers(self)
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
        self._check_tickers()
        self._check_actions()

    @property
    def own_metrics(self) -> Mapping[str, Mapping[str, Any]]:
        """The references of the user's metrics that are named, each with its keywords.

        `evaluation.metric_kwargs` are those of `evaluation.metric`; others have none.
        """
        evaluation, search = self.evaluation, self.search
        named = dict.fromkeys((evaluation.metric, *search.objectives, search.rank_by))
        return {
            metric: evaluation.metric_kwargs if metric == evaluation.metric else {}
            for metric in named
            if is_own_metric(metric)
        }

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
            self.search.scheduler.check_times(total, "agent.total_timesteps", "timesteps")
        objectives, metric = self.search.objectives, evaluation.metric
        require(
            not objectives or objectives[0] == metric,
            f"search.objectives must begin with evaluation.metric ({metric}), by which trials are "
            f"stopped, got {list(objectives)}",
        )
        names = [measure_name(metric) for metric in self.own_metrics]
        require(
            len(set(names)) == len(names),
            "own metrics must differ in the last part of their import path, which is their name in "
            f"results, got {list(self.own_metrics)}; rename one of the functions",
        )

    def _check_paths(self) -> None:
        """Refuse what has no meaning where a trial trains several times."""
        validation, search = self.validation, self.search
        if not validation.has_paths:
            return
        several = "with several windows or seeds (section validation) "
        kind = search.scheduler.type
        require(
            not search.scheduler.is_population and not SEARCHERS[search.searcher].at_rungs,
            f"{several}trials are judged after whole trainings; search.scheduler.type must be "
            f"'asha', 'hyperband', 'median' or 'fifo' and search.searcher not 'bohb', got {kind!r} "
            f"and {search.searcher!r}",
        )
        require(
            search.select == "last",
            f"{several}each result counts all trainings so far; search.select must be 'last', got "
            f"{search.select!r}",
        )
        require(
            not search.objectives or validation.objective == "metric",
            f"{several}search.objectives need validation.objective 'metric'",
        )
        require(
            self.evaluation.max_no_improvement_evals is None,
            f"{several}each training is evaluated once, at its end; leave "
            "evaluation.max_no_improvement_evals out",
        )
        search.scheduler.check_times(validation.n_paths, "the paths of a whole trial", "paths")

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

    def _check_tickers(self) -> None:
        """Refuse options that have not one value for each ticker, where the tickers are known."""
        if self.data.tickers is not None:
            for name in PER_TICKER:
                check_tickers(f"env.{name}", getattr(self.env, name), self.data.tickers)
            check_combinations(self.env, len(self.data.tickers))

    def _check_actions(self) -> None:
        """Refuse an algorithm that cannot give the actions that the env takes."""
        if self.env.class_ is not None:
            return  # which has an action space of its own
        kind, algorithm = self.env.discrete_actions, self.agent.algorithm
        require(
            kind == "none" or algorithm not in WITHOUT_CHOICES,
            f"env.discrete_actions must be none with agent.algorithm {algorithm}, whose actions "
            f"are numbers, got {kind!r}; a choice for each ticker is made by ppo, a2c, trpo and "
            "recurrent_ppo, and one of a product by them and dqn",
        )
        require(
            kind == "none" or self.agent.policy != "PerTickerPolicy",
            f"agent.policy {self.agent.policy} gives a number for each ticker; with "
            f"env.discrete_actions {kind!r} set agent.policy to MlpPolicy",
        )
        tickers = self.data.tickers
        one = kind == "product" or (kind == "per_ticker" and (tickers is None or len(tickers) == 1))
        require(
            algorithm not in OF_ONE_CHOICE or one,
            f"agent.algorithm {algorithm} chooses one of so many actions; set "
            f"env.discrete_actions to product (per_ticker is enough with one ticker), got {kind!r}",
        )
