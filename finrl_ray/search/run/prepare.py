"""Loading the data and checking all that can be checked before a search writes anything."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finrl_ray.agents.algorithm_registry import entry_of
from finrl_ray.agents.hyperparameters import TrialSettings
from finrl_ray.config.dump import config_to_dict
from finrl_ray.config.evaluation import earliest_stop, settled_periods_per_year
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.config.trial.options import ALGORITHM, is_option, searched_algorithms
from finrl_ray.data.chosen_features import market_of_sample
from finrl_ray.data.load import market_data_of
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.periods_per_year import with_periods_per_year
from finrl_ray.data.price_findings import PriceFinding, market_findings, price_findings
from finrl_ray.data.sources.registry import read_source
from finrl_ray.data.windows.folds import ValidationPlan, plan_validation
from finrl_ray.data.windows.split import Split, make_split
from finrl_ray.env.make import make_vec_env
from finrl_ray.env.scaling import fitted_scaling
from finrl_ray.env.slow_investment import SlowInvestment
from finrl_ray.errors import ConfigError, FinRLRayError
from finrl_ray.files.writable_folder import require_writable
from finrl_ray.own_code.code_files import CodeFiles
from finrl_ray.own_code.failures import OwnCodeError, naming_own_code
from finrl_ray.search.folder.own_code import code_of, run_code
from finrl_ray.search.run.own_env import own_env_doubts
from finrl_ray.search.run.plan_checks import check_plan
from finrl_ray.search.run.trial_resources import require_local_capacity, starts_own_ray
from finrl_ray.search.sampling.domains import (
    Domain,
    build_space,
    corner_samples,
    count_trials,
    resolve_corners,
)
from finrl_ray.search.sampling.formulations import formulations, slow_formulations
from finrl_ray.search.sampling.searched_data import data_of_search
from finrl_ray.statistics.detectable_sharpe import detectable_sharpe
from finrl_ray.statistics.verdict_text import detectable_sentence
from finrl_ray.storage.object_store import require_usable
from finrl_ray.storage.url import is_url
from finrl_ray.support.progress import Progress, no_progress
from finrl_ray.support.text import counted
from finrl_ray.training.agent import make_trial_envs
from finrl_ray.training.own_agent import check_own_agent
from finrl_ray.training.own_metrics import metrics_of

MIN_VALIDATION_ROWS = 4
_MOST_DOUBTS = 12
# what SB3 and torch raise for values that they cannot build a model with
_BUILD_ERRORS = (
    TypeError,
    AssertionError,
    ValueError,
    AttributeError,
    LookupError,
    RuntimeError,
    ArithmeticError,
    MemoryError,
)


@dataclass(frozen=True, kw_only=True)
class PreparedSearch:
    """A search that has passed every check and has not yet left a trace.

    Parameters
    ----------
    config : with the data source's path made absolute, and `evaluation.periods_per_year` and
        `search.threads_per_trial` numbers
    space : the search space, every option and bound of which has been checked
    market_data, data_report, split : what it will run on
    planned : number of trials
    periods_per_year : bars in a year, as in the config
    plan : the folds of each trial; None where a trial trains once
    doubts : sentences about prices and account that should be looked at before trials are trusted
    code : the user's own code that the config names
    """

    config: ExperimentConfig
    space: Mapping[str, Domain]
    market_data: MarketData
    data_report: dict[str, Any]
    split: Split
    planned: int
    periods_per_year: float
    plan: ValidationPlan | None = None
    doubts: tuple[str, ...] = ()
    code: CodeFiles = field(default_factory=CodeFiles)

    def describe(self) -> str:
        """Return what is about to run, in a few lines; dropped tickers and rows among them."""
        data, config = self.market_data, self.config
        each = "each at most" if self.plan is None else "per training"
        trials = (
            f"{counted(self.planned, 'trial')} of {' or '.join(searched_algorithms(config))}, "
            f"{config.agent.total_timesteps:,} timesteps {each}, "
            f"{config.search.searcher} search, {config.search.scheduler.type}"
        )
        features = (
            f"{counted(data.n_assets, 'ticker')}, {counted(len(data.feature_names), 'feature')}"
        )
        lines = [*self.data_report["lines"], features, *self.split.describe(), trials]
        if self.plan is not None:
            lines.append(self._describe_plan(self.plan))
        lines.append(self._describe_detectable())
        if config.search.has_ensemble:
            lines.append(
                f"the {config.search.ensemble} trials that rank first act together as the winner: "
                f"one look more, {self._looks_in_n():,} in all"
            )
        kind = config.search.scheduler.type
        lines += [f"warning: {doubt}" for doubt in self.doubts[:_MOST_DOUBTS]]
        if len(self.doubts) > _MOST_DOUBTS:
            lines.append(
                f"warning: {len(self.doubts) - _MOST_DOUBTS} more such doubts; see finrl-ray doctor"
            )
        if self._looks() == 1 and kind != "fifo":
            lines.append(f"note: with one evaluation per trial, at its end, {kind} can do nothing")
        return "\n".join(lines)

    def _looks(self) -> int:
        """Return how often a trial is looked at before its end, and at it."""
        if self.plan is not None:
            return self.config.validation.n_paths
        evaluation, agent = self.config.evaluation, self.config.agent
        return 1 if evaluation.eval_freq >= agent.total_timesteps else 2

    def _describe_detectable(self) -> str:
        """Return what the search would have to show to be told from luck."""
        segments = [(self.split.validation.first_row, self.split.validation.stop_row)]
        if self.plan is not None:
            segments = list(self.plan.judged_segments())
        n_periods = sum(stop - first - 1 for first, stop in segments)
        looks = self._looks_in_n()
        needed = detectable_sharpe(n_periods, looks, self.periods_per_year)
        series = self.planned + int(self.config.search.has_ensemble)
        return detectable_sentence(needed, n_periods, looks, series)

    def _looks_in_n(self) -> int:
        """Return N of the verdict, as far as it is known before the search."""
        looks = self.planned
        if self.config.search.select == "best":
            looks *= -(-self.config.agent.total_timesteps // self.config.evaluation.eval_freq)
        return looks + int(self.config.search.has_ensemble)

    def _describe_plan(self, plan: ValidationPlan) -> str:
        validation = self.config.validation
        n_days = sum(stop - first - 1 for first, stop in plan.judged_segments())
        left_out = f", {counted(plan.purge, 'row')} purged" if plan.purge else ""
        left_out += f", {plan.embargo} under embargo" if plan.embargo else ""
        return (
            f"each trial: {counted(len(plan.folds), 'training')} ({validation.scheme}, seeds "
            f"{validation.seeds}) in {counted(validation.n_paths, 'path')} of "
            f"{counted(n_days, 'return')}"
            f"{left_out}"
        )


def prepare_search(
    config: ExperimentConfig,
    *,
    base_dir: Path = Path(),
    market_data: MarketData | None = None,
    address: str | None = None,
    on_ray: bool = True,
    progress: Progress = no_progress,
    code: CodeFiles | None = None,
) -> PreparedSearch:
    """Load the data and check everything that can be checked before a trial starts.

    Parameters
    ----------
    config : the experiment
    base_dir : folder that a relative `data.source`, and own code, are looked up from
    market_data : prices already in memory; `config.data` is then not read
    address : a cluster that will be joined; what this machine has is then no limit
    on_ray : whether trials will ask Ray for their CPUs and GPUs; one training in this process does
        not
    progress : told of downloads and of features
    code : own code that the config names, where it was read before; None: from `base_dir`

    Raises
    ------
    ConfigError, DataError
        For anything that would fail later.
    """
    try:
        config_to_dict(config)
    except TypeError as error:
        raise ConfigError(
            f"the config must hold plain values that YAML can keep: {error}"
        ) from error
    require_place(config)
    code = code_of(config, base_dir) if code is None else code
    run_code(config, code)
    space = build_space(config)
    check_plan(config, space)
    report: dict[str, Any] = {"source": "given in memory", "lines": []}
    if market_data is not None:
        config = _with_source(config, "memory")
        doubts = market_findings(market_data)
    else:
        # once, with every feature that a trial may choose; `finrl-ray train` chooses none
        data = data_of_search(config) if on_ray else config.data
        rows = read_source(data, base_dir, progress)
        market_data, loaded = market_data_of(rows, data, progress=progress)
        doubts = price_findings(rows, config.data)
        report = {**loaded.to_dict(), "lines": loaded.lines()}
        if (base_dir / config.data.source).is_file():
            config = _with_source(config, str((base_dir / config.data.source).absolute()))
    split = make_split(market_data, config.split)
    # of the rows that a search reads: it must not depend on those of the test window
    config = with_periods_per_year(config, market_data.dates[: split.validation.stop_row])
    search = dataclasses.replace(config.search, threads_per_trial=config.search.threads)
    config = dataclasses.replace(config, search=search)
    plan = plan_validation(market_data, split, config) if config.validation.has_paths else None
    _check_size(split)
    if on_ray and starts_own_ray(address):
        require_local_capacity(config)
    sampled = {name: d for name, d in space.items() if on_ray or not is_option(name)}
    samples = corner_samples(sampled)
    _check_features(config, samples, market_data)
    own_doubts: list[str] = []
    for sample in formulations(config, samples):
        _check_windows(config, sample, market_data, split)
        own_doubts += own_env_doubts(config, sample, market_data, split, plan)
    corners = resolve_corners(sampled, config)
    _check_early_stop(config, corners)
    _check_models(config, list(zip(samples, corners, strict=True)), market_data, split)
    metrics_of(config)  # refuses those of the user that fail on made-up accounts
    planned = count_trials(space, config.search)
    require_usable("search.storage_path", config.search.storage_path)
    return PreparedSearch(
        config=config,
        space=space,
        market_data=market_data,
        data_report=report,
        split=split,
        planned=planned,
        periods_per_year=settled_periods_per_year(config.evaluation),
        plan=plan,
        code=code,
        doubts=(
            *dict.fromkeys(own_doubts),
            *_in_words([*doubts, *slow_formulations(config, samples, market_data, split)]),
        ),
    )


def _in_words(doubts: Sequence[PriceFinding | SlowInvestment]) -> tuple[str, ...]:
    return tuple(f"{item.what}; {item.remedy}" for item in doubts)


def _check_features(
    config: ExperimentConfig, samples: Sequence[Mapping[str, Any]], market_data: MarketData
) -> None:
    """Refuse features, of the space and of initial points, that the market lacks."""
    points = [point for point in config.search.initial_points if isinstance(point, dict)]
    for sample in (*samples, *points):
        market_of_sample(market_data, sample)


def require_place(config: ExperimentConfig) -> None:
    """Check that the search's own folder can be made on this machine.

    Raises
    ------
    ConfigError
        If it cannot.
    """
    key = "local_path" if is_url(config.search.storage_path) else "storage_path"
    require_writable(f"search.{key}", getattr(config.search, key))


def _with_source(config: ExperimentConfig, source: str) -> ExperimentConfig:
    data = dataclasses.replace(config.data, source=source, source_kwargs={})
    return dataclasses.replace(config, data=data)


def _check_windows(
    config: ExperimentConfig, sample: Mapping[str, Any], market_data: MarketData, split: Split
) -> None:
    """Build the env of each window, so that none lacks what the env needs; nothing is run."""
    config = config_of_sample(config, sample)
    market_data = market_of_sample(market_data, sample)
    try:
        scaling = fitted_scaling(config.env, split.train.cut(market_data))
    except FinRLRayError as error:
        raise type(error)(f"the train window: {error}") from error
    for window in split.windows:
        if not window.is_usable:
            continue  # a test window without rows; the others have some
        try:
            make_vec_env(window.cut(market_data), config.env, scaling=scaling, training=False)
        except OwnCodeError:
            raise  # which is not of the window
        except FinRLRayError as error:
            raise type(error)(f"the {window.name} window: {error}") from error


def _check_size(split: Split) -> None:
    if split.validation.n_rows < MIN_VALIDATION_ROWS:
        raise ConfigError(
            f"split.validation must hold at least {MIN_VALIDATION_ROWS} dates for a Sharpe ratio, "
            f"got {split.validation.n_rows}"
        )


def _check_early_stop(config: ExperimentConfig, corners: Sequence[TrialSettings]) -> None:
    """Refuse patience that no trial can run out of because its rollouts are too long."""
    if config.evaluation.max_no_improvement_evals is None:
        return
    first_stop = earliest_stop(config.evaluation)
    most = 0
    for settings in corners:
        algorithm = settings.options.get(ALGORITHM, config.agent.algorithm)
        n_steps = {**entry_of(algorithm).defaults, **settings.model_kwargs}.get("n_steps", 1)
        rollout = n_steps * settings.n_envs
        between = -(-config.evaluation.eval_freq // rollout) * rollout
        most = max(most, -(-config.agent.total_timesteps // between))
    if first_stop > most:
        raise ConfigError(
            f"early stopping can fire at evaluation {first_stop} at the earliest, but evaluations "
            f"fall on the ends of rollouts (n_steps x n_envs) and no trial has more than {most}; "
            "lower evaluation.max_no_improvement_evals, n_steps or n_envs"
        )


def _check_models(
    config: ExperimentConfig,
    corners: Sequence[tuple[Mapping[str, Any], TrialSettings]],
    market_data: MarketData,
    split: Split,
) -> None:
    """Build the envs and a model per option of the space, so that no trial fails on these."""
    train_data, validation_data = split.train.cut(market_data), split.validation.cut(market_data)
    for sample, settings in corners:
        trial = config_of_sample(config, sample)
        windows = [market_of_sample(data, sample) for data in (train_data, validation_data)]
        try:
            with naming_own_code("when the model was built"):
                env, eval_env = make_trial_envs(trial, settings, 0, *windows)
                check_own_agent(trial, settings, env)
        except FinRLRayError:
            raise
        except _BUILD_ERRORS as error:
            raise ConfigError(
                f"agent or search.space: {trial.agent.algorithm} cannot be built with "
                f"{settings.flat()}: {error}"
            ) from error
        env.close()
        eval_env.close()
