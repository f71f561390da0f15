"""`DRLlibv2`: the arguments of FinRL's RLlib agent, as a search of this package."""

import inspect
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from stable_baselines3.common.base_class import BaseAlgorithm

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.model_files import MODEL_FILE
from finrl_ray.agents.models import as_vec_env, load_model
from finrl_ray.agents.normalization import read_statistics, under_statistics
from finrl_ray.compat.ray_objects import read_scheduler, read_searcher, translate_params
from finrl_ray.compat.unpacked_env import UnpackedEnv, experiment_of, observe_as_trained, unpack_env
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.search.folder.folder import open_folder
from finrl_ray.search.results.table import trial_table, winner
from finrl_ray.search.results.winner import load_single_winner
from finrl_ray.search.run.runner import SearchResult, resume_search, run_search

logger = logging.getLogger(__name__)

DEFAULT_TIMESTEPS_PER_ITERATION = 1_000


class DRLlibv2:
    """Tune an SB3 algorithm under the arguments of FinRL's `DRLlibv2`; no RLlib is involved.

    Of `train_env`'s days the first three fifths train, the next fifth compares trials, and the last
    stays sealed for `finrl-ray backtest`. Arguments are FinRL's, in its order; then our own.

    Parameters
    ----------
    trainable : name of an algorithm, in any case: `PPO`, `A2C`, `SAC`, `TQC`, ...
    train_env_name : taken for the name of the run if `run_name` is not given
    params : keywords of the algorithm: values, Ray Tune's domains (`tune.loguniform(...)`), or
        entries of `search.space`; under RLlib's names (`lr`, `entropy_coeff`, `lambda`) or SB3's.
        Only what is named is searched over.
    train_env : StockTradingEnv, a vec env of it, MarketData, or a function that makes one of them
    run_name : names the folder
    framework, log_level, num_gpus, reuse_actors, checkpoint_freq : without effect, which is logged
    local_dir : folder under which the run gets a folder of its own
    num_workers : accounts stepped together in a trial
    search_alg : None or `random`, `optuna`, or Ray's BasicVariantGenerator or OptunaSearch, alone
        or in a ConcurrencyLimiter
    concurrent_trials : trials at once; 0: `num_cpus`
    num_samples : trials (with a grid: repetitions of it)
    scheduler : None or `fifo`, `asha`, or Ray's FIFOScheduler or ASHAScheduler
    num_cpus : CPUs for the search; a trial takes one
    dataframe_save : file that `infer_results` writes
    metric : a metric of the evaluation section, on the validation window, by which trials are
        stopped and ranked; RLlib's `episode_reward_mean` means `total_return`
    mode : `max`; every metric is maximised (drawdowns are negative)
    max_failures : restarts of a crashed trial
    training_iterations : evaluations per trial
    checkpoint_num_to_keep : best checkpoints kept per trial
    timesteps_per_iteration : timesteps between evaluations; None: a `train_batch_size` in `params`
        that is one number, else 1,000
    env : account and rules, for a `train_env` that is MarketData
    seed : of the search

    Raises
    ------
    ConfigError
        If an argument has no counterpart here, or the configuration cannot be run.
    """

    def __init__(
        self,
        trainable: str,
        train_env_name: str = "",
        params: Mapping[str, Any] | None = None,
        train_env: Any = None,
        run_name: str = "",
        framework: str = "torch",
        local_dir: str | Path = "tune_results",
        num_workers: int = 1,
        search_alg: Any = None,
        concurrent_trials: int = 0,
        num_samples: int = 1,
        scheduler: Any = None,
        log_level: str = "WARN",
        num_gpus: float = 0,
        num_cpus: float = 2,
        dataframe_save: str | Path = "tune.csv",
        metric: str = "episode_reward_mean",
        mode: str = "max",
        max_failures: int = 0,
        training_iterations: int = 100,
        checkpoint_num_to_keep: int | None = None,
        checkpoint_freq: int = 0,
        reuse_actors: bool = False,
        *,
        timesteps_per_iteration: int | None = None,
        env: EnvConfig | None = None,
        seed: int = 0,
    ) -> None:
        _check_fixed(mode, framework)
        _mention_unused(num_gpus, checkpoint_freq, reuse_actors, log_level != "WARN")
        self.algorithm = _algorithm(trainable)
        self.dataframe_save = Path(dataframe_save)
        self.path: Path | None = None
        self._unpacked = _unpack(train_env, env or EnvConfig())
        per_iteration = timesteps_per_iteration or _batch_in(params or {})
        settings = read_scheduler(scheduler, per_iteration, training_iterations)
        searcher = read_searcher(search_alg)
        at_once = concurrent_trials or searcher.get("max_concurrent_trials") or int(num_cpus)
        self._search: dict[str, Any] = {
            **searcher,
            "num_samples": num_samples,
            "default_space": False,
            "space": translate_params(params or {}, self.algorithm, num_workers),
            "scheduler": settings.section,
            "max_concurrent_trials": max(1, at_once),
            "max_failures": max_failures,
            "storage_path": str(local_dir),
        }
        if checkpoint_num_to_keep is not None:
            self._search["keep_checkpoints"] = checkpoint_num_to_keep
        self._name, self._seed = run_name or train_env_name or "tune_run", seed
        self._n_envs, self._per_iteration = max(1, num_workers), per_iteration
        self._iterations = settings.iterations
        self._metric = self._search["rank_by"] = _metric(metric)
        self.to_config()

    def to_config(self) -> ExperimentConfig:
        """Return the experiment that these arguments describe.

        Raises
        ------
        ConfigError
            If it cannot be run.
        """
        agent = {
            "algorithm": self.algorithm,
            "total_timesteps": self._iterations * self._per_iteration,
            "n_envs": self._n_envs,
        }
        sections = {
            "agent": agent,
            "evaluation": {"eval_freq": self._per_iteration, "metric": self._metric},
            "search": self._search,
        }
        return experiment_of(self._unpacked, self._name, self._seed, sections, type(self))

    def train_tune_model(self) -> SearchResult:
        """Run the search; see `finrl_ray.search.run.runner.run_search`."""
        result = run_search(self.to_config(), market_data=self._unpacked.market_data)
        self.path = result.path
        return result

    def infer_results(
        self, to_dataframe: str | Path | None = None, mode: Literal["w", "a"] = "w"
    ) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Return the table of trials, best first, and the winner's row; write the table as CSV.

        Parameters
        ----------
        to_dataframe : the file; None: `dataframe_save`
        mode : `w` writes the file anew, `a` adds to it

        Raises
        ------
        SearchError
            If nothing was trained, or no trial can win.
        """
        folder = open_folder(self._require_path())
        records = folder.records().in_order()
        table = trial_table(records, folder.config)
        table.to_csv(to_dataframe or self.dataframe_save, mode=mode, index=False)
        best = winner(records, folder.config)
        row = table[table["trial"] == best.index].iloc[0]
        return table, {str(name): value for name, value in row.items()}

    def restore_agent(
        self,
        checkpoint_path: str | Path = "",
        restore_search: bool = False,
        resume_unfinished: bool = True,
        resume_errored: bool = False,
        restart_errored: bool = False,
        *,
        trust: bool = False,
    ) -> SearchResult:
        """Go on with an interrupted search; ended trials stay.

        Parameters
        ----------
        checkpoint_path : folder of the search; empty: the one of `train_tune_model`
        restore_search, resume_unfinished : always so
        resume_errored, restart_errored : refused; a failed trial is a result
        trust : as for `resume_search`

        Raises
        ------
        ConfigError
            If failed trials are to be run again.
        SearchError
            If the folder is no search's, or Ray fails.
        """
        if resume_errored or restart_errored or not resume_unfinished:
            raise ConfigError(
                "a failed trial is a result and is not run again, and unfinished ones always go "
                "on; leave resume_errored, restart_errored and resume_unfinished out (max_failures "
                "restarts crashed trials while the search runs)"
            )
        result = resume_search(checkpoint_path or self._require_path(), trust=trust)
        self.path = result.path
        return result

    def get_test_agent(
        self,
        test_env_name: str = "",
        test_env: Any = None,
        checkpoint: str | Path | None = None,
        *,
        trust: bool = False,
    ) -> BaseAlgorithm:
        """Return the winner's model, for `DRLAgent.DRL_prediction(model, test_env)`.

        Parameters
        ----------
        test_env_name : without effect
        test_env : needed where the search normalised observations: the model comes attached to
            this env with the statistics of its training; and where they are stationary, which this
            env standardises by the search's train window from here on
        checkpoint : folder of another trial's checkpoint
        trust : run code that is in the model, where it is not one that this package has written

        Raises
        ------
        ConfigError
            If the model needs `test_env` or `trust`, or is damaged.
        SearchError
            If nothing was trained or the model is not on disk.
        """
        self._let_observe(test_env)
        if checkpoint is not None:
            file = Path(checkpoint) / MODEL_FILE
            model = load_model(self.algorithm, file, trust=trust)
        else:
            _, model, file = load_single_winner(open_folder(self._require_path()), trust=trust)
        statistics = read_statistics(file, trust=trust)
        if statistics is None:
            return model
        if test_env is None:
            raise ConfigError(
                f"this model was trained under VecNormalize ({statistics.source}); pass test_env, "
                "so that it sees what it was trained on"
            )
        env = under_statistics(as_vec_env(test_env), statistics, evaluating=True)
        return load_model(self.algorithm, file, env=env, device="cpu", trust=trust)

    def _let_observe(self, test_env: Any) -> None:
        """Standardise the observations of `test_env` as in training, where they are."""
        if self._unpacked.env.observation == "finrl":
            return
        if test_env is None:
            raise ConfigError(
                "this model was trained on observations that are standardised by the train window; "
                "pass test_env, so that it shows the same"
            )
        observe_as_trained(test_env, "test_env", open_folder(self._require_path()))

    def _require_path(self) -> Path:
        if self.path is None:
            raise SearchError("nothing was trained yet; call train_tune_model() first")
        return self.path


def _check_fixed(mode: str, framework: str) -> None:
    if mode != "max":
        raise ConfigError(
            f"mode must be 'max', got {mode!r}: every metric is maximised, max_drawdown (<= 0) too"
        )
    if framework != "torch":
        raise ConfigError(f"framework must be 'torch', the only one here, got {framework!r}")


def _mention_unused(*given: object) -> None:
    reasons = (
        "num_gpus has no effect: trials train on CPUs",
        "checkpoint_freq has no effect: there is a checkpoint at every evaluation",
        "reuse_actors has no effect: workers are always reused",
        "log_level has no effect: use logging.getLogger('finrl_ray').setLevel",
    )
    for argument, reason in zip(given, reasons, strict=True):
        if argument:
            logger.warning("%s", reason)


def _algorithm(trainable: Any) -> str:
    name = trainable.lower() if isinstance(trainable, str) else ""
    if name not in ALGORITHMS:
        raise ConfigError(
            f"trainable must be the name of one of {sorted(ALGORITHMS)}, got {trainable!r}; "
            "RLlib's algorithms and trainables of your own are not run here"
        )
    return name


def _unpack(train_env: Any, env: EnvConfig) -> UnpackedEnv:
    made = train_env
    if callable(train_env):
        # RLlib's creators take the env's config; here it is empty
        takes_config = len(inspect.signature(train_env).parameters) > 0
        made = train_env({}) if takes_config else train_env()
    if isinstance(made, MarketData):
        return UnpackedEnv(market_data=made, env=env, n_envs=1, normalize=False)
    return unpack_env(made, "train_env")


def _batch_in(params: Mapping[str, Any]) -> int:
    batch = params.get("train_batch_size")
    return batch if isinstance(batch, int) else DEFAULT_TIMESTEPS_PER_ITERATION


def _metric(metric: str) -> str:
    if metric == "episode_reward_mean":
        logger.info(
            "metric 'episode_reward_mean' means total_return on the validation window, which ranks "
            "trials as FinRL's rewards do"
        )
        return "total_return"
    return metric.removeprefix("eval/")
